"""Averages over cases and over groups of cases, some of which a protocol leaves out."""

from collections import Counter
from collections.abc import Sequence
from typing import NamedTuple

from vlft.evaluation.metrics import macro_share
from vlft.results import Metric


class GroupRule(NamedTuple):
    """Which groups a macro average counts.

    Attributes:
        exclude: Names of groups that it leaves out.
        min_cases: Smallest number of cases of a group that it counts.
    """

    exclude: frozenset[str] = frozenset()
    min_cases: int = 1


class Kept(NamedTuple):
    """The groups that a macro average counts, and why it leaves out others.

    Attributes:
        groups: Names of those that count.
        excluded: Number of groups left out by their names.
        small: Number of others left out by their sizes.
        lacking: Why none is left; empty where some are.
    """

    groups: frozenset[str]
    excluded: int
    small: int
    lacking: str = ""


def kept_groups(names: Sequence[str], rule: GroupRule) -> Kept:
    """Return the groups that count.

    Args:
        names: The group of each case.
        rule: Which groups count.
    """
    sizes = Counter(names)
    allowed = {name: size for name, size in sizes.items() if name not in rule.exclude}
    groups = frozenset(name for name, size in allowed.items() if size >= rule.min_cases)
    excluded, small = len(sizes) - len(allowed), len(allowed) - len(groups)
    if groups or not names:
        return Kept(groups, excluded, small)
    largest = max(allowed, key=allowed.__getitem__, default=None)
    near = f"the largest one, {largest!r}, has {allowed[largest]}" if largest else "no other"
    return Kept(
        groups,
        excluded,
        small,
        f"no group is left for the macro average: of {len(sizes)} groups in {len(names)} cases "
        f"{excluded} are excluded by name, and the others have fewer than {rule.min_cases} cases "
        f"({near}); measure more cases, or change settings.macro_exclude or "
        "settings.macro_min_cases",
    )


def macro_weights(names: Sequence[str], kept: Kept) -> list[float]:
    """Return what each case counts in the mean over the groups that count; 0 in other groups."""
    sizes = Counter(names)
    return [1 / (len(kept.groups) * sizes[name]) if name in kept.groups else 0.0 for name in names]


def macro_shares(
    suffix: str,
    scores: Sequence[float],
    names: Sequence[str],
    kept: Kept,
    *,
    chances: Sequence[float] | None = None,
) -> list[Metric]:
    """Return ``macro_accuracy`` over the groups that count, if any, and ``macro_accuracy_all``.

    Args:
        suffix: Ends both names.
        scores: One per case, in 0..1.
        names: The group of each case.
        kept: The groups that count.
        chances: What guessing gives for each case.
    """
    everything = macro_share(f"macro_accuracy_all{suffix}", scores, names, chances=chances)
    if not kept.groups:
        return [everything]
    rows = [row for row, name in enumerate(names) if name in kept.groups]
    counted = macro_share(
        f"macro_accuracy{suffix}",
        [scores[row] for row in rows],
        [names[row] for row in rows],
        chances=None if chances is None else [chances[row] for row in rows],
    )
    return [counted, everything]
