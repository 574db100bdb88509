"""``vlft compare``: two runs, sample by sample."""

import json
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

from vlft.errors import EvaluationError, unknown
from vlft.results.compare import Difference, compare, measured_in

LISTED = 5
"""Names in a line."""

LONG = 46
"""Characters of a name that has a line of its own."""

SMALLEST = 1e-99
"""Of p that is shown as it is; an exact test of many samples goes below what a float holds."""


def run(
    first: str,
    second: str,
    benchmarks: list[str],
    *,
    groups: bool,
    across_protocols: bool,
    as_json: bool,
) -> int:
    """Print what the second has more than the first, for each benchmark that both have.

    What cannot be read or compared is told, and the rest is compared all the same.

    Returns:
        The exit status: 2 when a result could not be read or compared.

    Raises:
        EvaluationError: They have no benchmark in common, or none that can be compared.
    """
    places = [measured_in(Path(path)) for path in (first, second)]
    own, others = (place.results for place in places)
    problems = [problem for place in places for problem in place.problems]
    common = [name for name in own if name in others]
    for name in benchmarks:
        if name not in common:
            raise EvaluationError(f"--benchmark: {unknown('result of both', name, common)}")
    if not common:
        raise EvaluationError(
            f"{first} and {second} have no benchmark in common: the first has {_some(list(own))}; "
            f"the second has {_some(list(others))}"
        )
    if not benchmarks:
        for place, names in ((first, own), (second, others)):
            if alone := [name for name in names if name not in common]:
                sys.stderr.write(f"vlft: only in {place}: {_some(alone)}\n")
    found: dict[str, Difference] = {}
    for name in benchmarks or common:
        try:
            found[name] = compare(own[name], others[name], across_protocols=across_protocols)
        except EvaluationError as error:
            problems.append(str(error))
    if not found:
        raise EvaluationError("; ".join(problems[:LISTED]))
    if as_json:
        for one in found.values():
            print(json.dumps(one.model_dump(mode="json")))
    else:
        _print(found, groups=groups)
    for problem in problems:
        sys.stderr.write(f"vlft: {problem}\n")
    return 2 if problems else 0


def _some(names: Sequence[str]) -> str:
    more = f" and {len(names) - LISTED} more" if len(names) > LISTED else ""
    return ", ".join(names[:LISTED]) + more


def _print(found: Mapping[str, Difference], *, groups: bool) -> None:
    from vlft.cli.report import text_table

    header = ("benchmark", "metric", "first", "second", "difference", "95 % interval", "p", "n")
    rows: list[tuple[str, ...]] = []
    for name, one in found.items():
        if len(name) > LONG:
            rows.append((name,))
        rows.append(
            (
                "" if len(name) > LONG else name,
                one.metric,
                f"{one.first:.4f}",
                f"{one.second:.4f}",
                f"{one.difference:+.4f}",
                f"{one.interval.low:+.4f} to {one.interval.high:+.4f}",
                f"{one.p:.2g}" if one.p >= SMALLEST else f"< {SMALLEST:g}",
                f"{one.n}",
            )
        )
        if groups:
            rows += [
                (f"  {group}", "", "", "", f"{difference:+.4f}", "", "", "")
                for group, difference in one.groups.items()
            ]
    print(text_table(header, rows))
    for name, one in found.items():
        if one.protocol_differences:
            fields = ", ".join(one.protocol_differences)
            print(f"{name}: measured in different ways ({fields})")
    tests = {"mcnemar": "McNemar's exact test", "sign_flips": "sign flips (permutations)"}
    names = " or ".join(tests[name] for name in dict.fromkeys(one.test for one in found.values()))
    print(f"interval: paired bootstrap; p: {names}, two-sided, over samples")
