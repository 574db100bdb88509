"""``vlft eval``: a run, or predictions made elsewhere, on benchmarks, with result files."""

import json
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from vlft.disk import writable
from vlft.errors import EvaluationError, VlftError

if TYPE_CHECKING:
    from vlft.evaluation.benchmark import BenchmarkSpec
    from vlft.evaluation.check import DataCheck
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


def apart(given: Sequence[str]) -> tuple[str | None, list[str]]:
    """Tell the run from the values; a run may hold ``=``, and stand behind them.

    Raises:
        EvaluationError: Several runs are named.
    """
    runs = [
        text
        for text in given
        if "=" not in text or text.startswith("hub:") or Path(text).expanduser().is_dir()
    ]
    if len(runs) > 1:
        raise EvaluationError(
            f"found {' and '.join(map(repr, runs))}: name one RUN; everything else is key=value"
        )
    return (runs[0] if runs else None), [text for text in given if text not in runs]


def run(
    run_dir: str | None,
    wanted: Wanted,
    *,
    limit: int | None,
    batch_size: int,
    policy: str | None = None,
    partial: bool = False,
) -> int:
    """Measure a run and write ``results/<benchmark>.json`` with its samples.

    A benchmark that cannot be measured, such as one whose data are not there, is told, and the
    others are measured all the same.

    Returns:
        The exit status: 2 when a benchmark could not be measured.

    Raises:
        EvaluationError: No run or no benchmark is named, by the command or by the run's recipe; or
            an option belongs to predictions.
        RunDirectoryError: The results cannot be written.
    """
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
    specs = _specs(wanted, None) if wanted.benchmarks else None  # a wrong name is told at once

    from vlft import hub
    from vlft.backbones.fingerprint import fingerprint
    from vlft.evaluation.driver import evaluate
    from vlft.evaluation.identity import identify
    from vlft.evaluation.processes import launched

    folder = hub.locate(run_dir)
    specs = specs or _specs(wanted, folder)
    target = writable(Path(wanted.out) if wanted.out else folder / "results", what="results")
    report = _Report(as_json=wanted.as_json)
    num_specs = len(specs)
    with launched() as processes:
        missing = _missing(specs, wanted.data)  # before a model is loaded, which may take minutes
        if processes.is_main:
            for name, error in missing.items():
                _tell(name, error)
        failed = len(missing)
        specs = [spec for spec in specs if spec.name not in missing]
        if not specs:
            return 2
        backbone = hub.load(folder)
        backbone.model.to(processes.device)
        identity = identify(backbone, name=wanted.name or run_dir)
        identity = identity.model_copy(update={"weights": fingerprint(backbone.model)})
        facts = {"trained_parameters": hub.trained_parameters(folder)}
        for spec in specs:
            try:
                with processes.alike():
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
                    if processes.is_main:
                        report.add(done.result, *_write(spec, done, target))
            except VlftError as error:
                failed += 1
                if processes.is_main:
                    _tell(spec.name, str(error))
            except KeyboardInterrupt:
                sys.stderr.write(
                    f"\nvlft: stopped in {spec.name}; what is answered is kept below {target}: "
                    "give the same command again to go on\n"
                )
                sys.exit(INTERRUPTED)
    report.print()
    if failed and num_specs > 1 and processes.is_main:
        sys.stderr.write(f"vlft: {failed} of {num_specs} benchmarks could not be measured\n")
    return 2 if failed else 0


def _missing(specs: "Sequence[BenchmarkSpec]", data: str | None) -> dict[str, str]:
    """Return benchmarks whose published files are not there, with what to do."""
    from vlft.evaluation.places import placed

    found = {}
    for spec in specs:
        if spec.world is not None:  # is written when it is measured
            continue
        try:
            placed(spec, data)
        except VlftError as error:
            found[spec.name] = str(error)
    return found


def score(
    run_dir: str | None,
    predictions: str,
    wanted: Wanted,
    *,
    limit: int | None,
    policy: str | None,
    partial: bool,
) -> None:
    """Score predictions made elsewhere.

    Raises:
        EvaluationError: A run is named too, or not exactly one benchmark; or an option belongs to
            runs.
        RunDirectoryError: The results cannot be written.
    """
    if run_dir is not None:
        raise EvaluationError(
            f"--predictions scores a file without a model: leave {run_dir!r} out, or name it in "
            "the result with --name"
        )
    if limit is not None:
        raise EvaluationError(
            "--limit belongs to a RUN; of predictions, score those that are there with --partial"
        )
    specs = _specs(wanted, None)
    if len(specs) != 1:
        more = f" and {len(specs) - LISTED} more" if len(specs) > LISTED else ""
        names = ", ".join(spec.name for spec in specs[:LISTED]) + more
        raise EvaluationError(
            f"--predictions: a file belongs to one benchmark, not to {names}: name one of them "
            "with --benchmark"
        )

    from vlft.evaluation.predictions import score_predictions

    done = score_predictions(
        Path(predictions),
        specs[0],
        data=wanted.data,
        policy=policy,
        partial=partial,
        name=wanted.name,
    )
    default = Path("results") / Path(predictions).stem
    target = writable(Path(wanted.out) if wanted.out else default, what="results")
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


def _tell(benchmark: str, problem: str) -> None:
    """Say what is wrong with a benchmark, in one line that begins with its name."""
    named = problem.startswith((f"{benchmark}: ", f"{benchmark}, "))
    sys.stderr.write(f"vlft: {problem}\n" if named else f"vlft: {benchmark}: {problem}\n")


def check(run_dir: str | None, wanted: Wanted) -> int:
    """Check the data of benchmarks; return the exit status: 2 when some are not as declared.

    Raises:
        EvaluationError: No benchmark is named, by the command or by the run's recipe.
    """
    from vlft.cli.report import text_table

    if wanted.benchmarks or run_dir is None:
        specs = _specs(wanted, None)
    else:
        from vlft import hub

        specs = _specs(wanted, hub.locate(run_dir))

    from vlft.evaluation.check import check_data

    found = [check_data(spec, wanted.data) for spec in specs]
    if wanted.as_json:
        for one in found:
            print(json.dumps(one._asdict()))
    else:
        rows = [
            (one.benchmark, one.n, one.expected_n or "-", one.revision or "-", _state(one))
            for one in found
        ]
        print(text_table(("benchmark", "n", "declared", "revision", "data"), rows))
    for one in found:
        for problem in one.problems:
            _tell(one.benchmark, problem)
    return 2 if any(one.problems for one in found) else 0


def _state(found: "DataCheck") -> str:
    if found.revision is None:
        return "cannot be read"
    return "not as declared" if found.problems else "fine"


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
            "--benchmark: name one (`vlft list benchmarks`, `vlft list suites`), or set "
            "evaluation.suite in the recipe"
        )
    specs: dict[str, BenchmarkSpec] = {}
    for spec in (spec for name in names for spec in load_suite(name, overrides)):
        if specs.setdefault(spec.name, spec) != spec:
            raise EvaluationError(
                f"two benchmarks are called {spec.name}, and their results would take each other's "
                "place: measure them one by one, each with an --out of its own"
            )
    return list(specs.values())


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
        header = ("benchmark, metric", "value", "95 % interval", "chance", "n")
        print(text_table(header, self._rows))
        if len(self._written) > LISTED:
            folder = self._written[0].parent
            print(f"written: {len(self._written)} files in {folder}")
        else:
            print("\n".join(f"written: {path}" for path in self._written))


LISTED = 3
"""Names of files or benchmarks that are told one by one."""


def _rows(result: "Result") -> Iterator[tuple[Any, ...]]:
    limited = result.protocol.ranking_key.coverage == "limited"
    yield (f"{result.benchmark} (limited: never ranks)" if limited else result.benchmark,)
    if result.status == "not_applicable":
        yield (f"  not applicable: {result.reason}",)
    for metric in result.metrics:
        low_high, chance = metric.interval, metric.chance
        yield (
            f"  {metric.name}",
            f"{metric.value:.4f}",
            "-" if low_high is None else f"{low_high.low:.4f} - {low_high.high:.4f}",
            "-" if chance is None else f"{chance:.4f}",
            str(metric.n),
        )
