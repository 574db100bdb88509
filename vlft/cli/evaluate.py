"""``vlft eval``: a run on benchmarks, with result files."""

import json
from pathlib import Path


def run(
    run_dir: str,
    benchmarks: list[str],
    *,
    overrides: list[str],
    limit: int | None,
    batch_size: int,
    out: str | None,
    as_json: bool,
) -> None:
    """Measure a run and write ``results/<benchmark>.json`` with its samples.

    Raises:
        EvaluationError: No benchmark is named, by the command or by the run's recipe.
    """
    from vlft import hub
    from vlft.cli.report import text_table
    from vlft.errors import EvaluationError
    from vlft.evaluation.benchmark import load_suite
    from vlft.evaluation.driver import evaluate
    from vlft.evaluation.identity import identify
    from vlft.evaluation.processes import launched
    from vlft.results import write_result

    folder = hub.locate(run_dir)
    if not benchmarks:
        declared = hub.evaluation_of(folder)
        if declared is None or declared.suite is None:
            raise EvaluationError(
                "--benchmark: name one (`vlft list benchmarks`), or set evaluation.suite in the "
                "recipe"
            )
        benchmarks, overrides = [declared.suite], [*declared.overrides, *overrides]
    specs = [spec for name in benchmarks for spec in load_suite(name, overrides)]
    target = Path(out) if out else folder / "results"
    rows, written = [], []
    with launched() as processes:
        backbone = hub.load(folder)
        backbone.model.to(processes.device)
        for spec in specs:
            done = evaluate(
                backbone,
                spec,
                limit=limit,
                identity=identify(backbone, name=run_dir),
                batch_size=batch_size,
                log_folder=target,
                processes=processes,
            )
            if not processes.is_main:
                continue
            written.append(write_result(target, done.result, done.samples))
            rows += _rows(spec.name, done.result)
            if as_json:
                print(json.dumps(done.result.model_dump(mode="json")))
    if not as_json and rows:
        print(text_table(("benchmark", "metric", "value", "95 % interval", "n"), rows))
        print("\n".join(f"written: {path}" for path in written))


def _rows(name: str, result: object) -> list[tuple[str, ...]]:
    from vlft.results import Result

    assert isinstance(result, Result)
    if result.status == "not_applicable":
        return [(name, "-", "not applicable", result.reason or "", "")]
    rows: list[tuple[str, ...]] = []
    for metric in result.metrics:
        low_high = metric.interval
        shown = "" if low_high is None else f"{low_high.low:.4f} - {low_high.high:.4f}"
        rows.append((name, metric.name, f"{metric.value:.4f}", shown, str(metric.n)))
    return rows
