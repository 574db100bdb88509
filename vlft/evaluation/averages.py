"""Averages over cases and over groups of cases, some of which a protocol leaves out."""

from collections import Counter
from collections.abc import Sequence
from typing import NamedTuple

from vlft.errors import EvaluationError
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
    """

    groups: frozenset[str]
    excluded: int
    small: int


def kept_groups(names: Sequence[str], rule: GroupRule, *, where: str) -> Kept:
    """Return the groups that count.

    Args:
        names: The group of each case.
        rule: Which groups count.
        where: Name of the benchmark, for the message.

    Raises:
        EvaluationError: None is left.
    """
    sizes = Counter(names)
    allowed = {name: size for name, size in sizes.items() if name not in rule.exclude}
    groups = frozenset(name for name, size in allowed.items() if size >= rule.min_cases)
    if names and not groups:
        largest = max(allowed, key=allowed.__getitem__, default=None)
        near = f"the largest one, {largest!r}, has {allowed[largest]}" if largest else "no other"
        raise EvaluationError(
            f"{where}: the macro average would have no group left: of {len(sizes)} groups in "
            f"{len(names)} cases {len(sizes) - len(allowed)} are excluded by name, and the others "
            f"have fewer than {rule.min_cases} cases ({near}); measure more cases, or change "
            "settings.macro_exclude or settings.macro_min_cases"
        )
    return Kept(groups, len(sizes) - len(allowed), len(allowed) - len(groups))


def macro_shares(
    suffix: str,
    scores: Sequence[float],
    names: Sequence[str],
    kept: Kept,
    *,
    chances: Sequence[float] | None = None,
) -> tuple[Metric, Metric]:
    """Return ``macro_accuracy`` over the groups that count, and ``macro_accuracy_all``.

    Args:
        suffix: Ends both names.
        scores: One per case, in 0..1.
        names: The group of each case.
        kept: The groups that count.
        chances: What guessing gives for each case.
    """
    rows = [row for row, name in enumerate(names) if name in kept.groups]
    return (
        macro_share(
            f"macro_accuracy{suffix}",
            [scores[row] for row in rows],
            [names[row] for row in rows],
            chances=None if chances is None else [chances[row] for row in rows],
        ),
        macro_share(f"macro_accuracy_all{suffix}", scores, names, chances=chances),
    )
