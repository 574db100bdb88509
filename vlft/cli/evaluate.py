"""``vlft eval``: a run, or predictions made elsewhere, on benchmarks, with result files."""

import json
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from vlft.errors import EvaluationError

if TYPE_CHECKING:
    from vlft.evaluation.benchmark import BenchmarkSpec
    from vlft.evaluation.driver import Evaluated
    from vlft.results import Result

INTERRUPTED = 130
"""Exit status of a measurement that was stopped by Ctrl-C."""


class Wanted(NamedTuple):
    """What is measured, and where the numbers go.

    Attributes:
        benchmarks: Names of benchmarks and suites.
        overrides: Values that win over the benchmarks' files.
        data: Where the data are; None: where they are looked for by default.
        name: What results call the model; None: the run, or the file.
        out: Folder of the results; None: the run's own.
        as_json: Print results as JSON.
    """

    benchmarks: Sequence[str]
    overrides: Sequence[str]
    data: str | None
    name: str | None
    out: str | None
    as_json: bool


def run(
    run_dir: str | None,
    wanted: Wanted,
    *,
    limit: int | None,
    batch_size: int,
    policy: str | None = None,
    partial: bool = False,
) -> None:
    """Measure a run and write ``results/<benchmark>.json`` with its samples.

    Raises:
        EvaluationError: No run or no benchmark is named, by the command or by the run's recipe; or
            an option belongs to predictions.
    """
    from vlft import hub
    from vlft.evaluation.driver import evaluate
    from vlft.evaluation.identity import fingerprint, identify
    from vlft.evaluation.processes import launched

    if run_dir is None:
        raise EvaluationError(
            "name what to measure: a run directory, a checkpoint or hub:user/name, or a file of "
            "answers with --predictions FILE"
        )
    if policy is not None or partial:
        given = "--policy" if policy is not None else "--partial"
        raise EvaluationError(
            f"{given} belongs to --predictions FILE; of a run, change the benchmark "
            "(extraction=NAME) or use --limit"
        )
    folder = hub.locate(run_dir)
    specs = _specs(wanted, folder)
    target = Path(wanted.out) if wanted.out else folder / "results"
    report = _Report(as_json=wanted.as_json)
    with launched() as processes:
        backbone = hub.load(folder)
        backbone.model.to(processes.device)
        identity = identify(backbone, name=wanted.name or run_dir)
        identity = identity.model_copy(update={"weights": fingerprint(backbone.model)})
        facts = {"trained_parameters": hub.trained_parameters(folder)}
        for spec in specs:
            try:
                done = evaluate(
                    backbone,
                    spec,
                    data=wanted.data,
                    limit=limit,
                    identity=identity,
                    facts=facts,
                    batch_size=batch_size,
                    log_folder=target,
                    processes=processes,
                )
            except KeyboardInterrupt:
                sys.stderr.write(
                    f"\nvlft: stopped in {spec.name}; what is answered is kept below {target}: "
                    "give the same command again to go on\n"
                )
                sys.exit(INTERRUPTED)
            if processes.is_main:
                report.add(done.result, *_write(spec, done, target))
    report.print()


def score(
    run_dir: str | None, predictions: str, wanted: Wanted, *, policy: str | None, partial: bool
) -> None:
    """Score predictions made elsewhere.

    Raises:
        EvaluationError: A run is named too, or not exactly one benchmark.
    """
    from vlft.evaluation.predictions import score_predictions

    if run_dir is not None:
        raise EvaluationError(
            f"--predictions scores a file without a model: leave {run_dir!r} out, or name it in "
            "the result with --name"
        )
    specs = _specs(wanted, None)
    if len(specs) != 1:
        names = ", ".join(spec.name for spec in specs)
        raise EvaluationError(f"--predictions: a file belongs to one benchmark, not to {names}")
    done = score_predictions(
        Path(predictions),
        specs[0],
        data=wanted.data,
        policy=policy,
        partial=partial,
        name=wanted.name,
    )
    target = Path(wanted.out) if wanted.out else Path("results") / Path(predictions).stem
    report = _Report(as_json=wanted.as_json)
    report.add(done.result, *_write(specs[0], done, target))
    report.print()


def _write(spec: "BenchmarkSpec", done: "Evaluated", folder: Path) -> Iterator[Path]:
    """Write a result with its samples, and what other tools take; yield the paths.

    What was taken from a report without samples is not written as a report again: the first one
    says more.
    """
    from vlft.evaluation.driver import scorer_of
    from vlft.results import write_export, write_result

    path = write_result(folder, done.result, done.samples)
    yield path
    export = scorer_of(spec).export
    content = None if export is None or not done.samples else export(done.result)
    if content is not None:
        yield write_export(path, content)


def check(wanted: Wanted) -> int:
    """Check the data of benchmarks; return the exit status: 2 when some are not as declared."""
    from vlft.cli.report import text_table
    from vlft.evaluation.check import check_data

    found = [check_data(spec, wanted.data) for spec in _specs(wanted, None)]
    if wanted.as_json:
        for one in found:
            print(json.dumps(one._asdict()))
    else:
        rows = [
            (one.benchmark, one.n, one.expected_n or "-", one.revision or "-", _state(one.problems))
            for one in found
        ]
        print(text_table(("benchmark", "n", "declared", "revision", "data"), rows))
    for one in found:
        for problem in one.problems:
            told = problem.removeprefix(f"{one.benchmark}: ")
            sys.stderr.write(f"vlft: {one.benchmark}: {told}\n")
    return 2 if any(one.problems for one in found) else 0


def _state(problems: Sequence[str]) -> str:
    return "not as declared" if problems else "fine"


def _specs(wanted: Wanted, folder: Path | None) -> "list[BenchmarkSpec]":
    from vlft.evaluation.benchmark import load_suite

    names, overrides = list(wanted.benchmarks), list(wanted.overrides)
    if not names and folder is not None:
        from vlft import hub

        declared = hub.evaluation_of(folder)
        if declared is not None and declared.suite is not None:
            names, overrides = [declared.suite], [*declared.overrides, *overrides]
    if not names:
        raise EvaluationError(
            "--benchmark: name one (`vlft list benchmarks`), or set evaluation.suite in the recipe"
        )
    return [spec for name in names for spec in load_suite(name, overrides)]


class _Report:
    """What is printed: every result at once as JSON, or all of them as a table at the end."""

    def __init__(self, *, as_json: bool) -> None:
        self._as_json = as_json
        self._rows: list[tuple[Any, ...]] = []
        self._written: list[Path] = []

    def add(self, result: "Result", *paths: Path) -> None:
        """Take a result that stands in files now."""
        for note in result.notes:
            sys.stderr.write(f"vlft: {result.benchmark}: {note}\n")
        if self._as_json:
            print(json.dumps(result.model_dump(mode="json")), flush=True)
        self._rows += _rows(result)
        self._written += paths

    def print(self) -> None:
        """Print the table; nothing where there is nothing, or JSON was printed."""
        from vlft.cli.report import text_table

        if self._as_json or not self._written:
            return
        print(text_table(("benchmark", "metric", "value", "95 % interval", "n"), self._rows))
        print("\n".join(f"written: {path}" for path in self._written))


def _rows(result: "Result") -> Iterator[tuple[Any, ...]]:
    name = result.benchmark
    if result.status == "not_applicable":
        yield (name, "-", "not applicable", result.reason or "", "")
    for metric in result.metrics:
        low_high = metric.interval
        shown = "" if low_high is None else f"{low_high.low:.4f} - {low_high.high:.4f}"
        yield (name, metric.name, f"{metric.value:.4f}", shown, str(metric.n))
