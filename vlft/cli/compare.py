"""``vlft compare``: two runs, sample by sample."""

import json
import sys
from pathlib import Path

from vlft.errors import EvaluationError, unknown
from vlft.results.compare import Difference, compare, measured_in


def run(
    first: str,
    second: str,
    benchmarks: list[str],
    *,
    groups: bool,
    across_protocols: bool,
    as_json: bool,
) -> None:
    """Print what the second has more than the first, for each benchmark that both have.

    Raises:
        EvaluationError: They have no benchmark in common, or it cannot be compared.
    """
    own, others = (measured_in(Path(path)) for path in (first, second))
    common = [name for name in own if name in others]
    for name in benchmarks:
        if name not in common:
            raise EvaluationError(f"--benchmark: {unknown('result of both', name, common)}")
    for name in (*own, *others):
        if name not in common and not benchmarks:
            where = first if name in own else second
            sys.stderr.write(f"vlft: {name}: only in {where}\n")
    if not common:
        raise EvaluationError(
            f"{first} and {second} have no benchmark in common: {', '.join(own)} and "
            f"{', '.join(others)}"
        )
    found = [
        compare(own[name], others[name], across_protocols=across_protocols)
        for name in benchmarks or common
    ]
    if as_json:
        for one in found:
            print(json.dumps(one.model_dump(mode="json")))
        return
    _print(found, groups=groups)


def _print(found: list[Difference], *, groups: bool) -> None:
    from vlft.cli.report import text_table

    header = ("benchmark", "metric", "first", "second", "difference", "95 % interval", "p", "n")
    rows: list[tuple[str, ...]] = []
    for one in found:
        rows.append(
            (
                one.benchmark,
                one.metric,
                f"{one.first:.4f}",
                f"{one.second:.4f}",
                f"{one.difference:+.4f}",
                f"{one.interval.low:+.4f} - {one.interval.high:+.4f}",
                f"{one.p:.2g}",
                f"{one.n}",
            )
        )
        if groups:
            rows += [
                (f"  {name}", "", "", "", f"{difference:+.4f}", "", "", "")
                for name, difference in one.groups.items()
            ]
    print(text_table(header, rows))
    for one in found:
        if one.protocol_differences:
            fields = ", ".join(one.protocol_differences)
            print(f"{one.benchmark}: measured in different ways ({fields})")
    tests = {"mcnemar": "McNemar's exact test", "sign_flips": "sign flips (permutations)"}
    names = " or ".join(tests[name] for name in dict.fromkeys(one.test for one in found))
    print(f"interval: paired bootstrap; p: {names}, two-sided, over samples")
