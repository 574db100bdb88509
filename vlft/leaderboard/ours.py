"""Entries from result files of vlft."""

from pathlib import Path

from vlft.errors import EvaluationError
from vlft.leaderboard.entries import Entry, Number, Status, number_of
from vlft.leaderboard.samples import beside
from vlft.results import RankingKey, Result, read_result

COVERAGE = "coverage"
"""The field of a ranking key that is an entry's status here."""

LIMITED = "a part of the data, or data of another size than the benchmark declares"

REPORTED = "as reported"
"""Revision of a result that was taken from a report without samples."""


def entry_of(path: Path, shown: str) -> Entry:
    """Read a result file.

    Args:
        path: The file.
        shown: What the leaderboard calls it.

    Raises:
        EvaluationError: It is missing, cut off, of another schema version, empty, or no result.
    """
    result = read_result(path)
    if result.status == "scored" and not result.metrics:
        raise EvaluationError(f"{path} has no metrics: evaluate again")
    main = number_of(result.metrics[0]) if result.status == "scored" else None
    limited = main is not None and result.protocol.ranking_key.coverage == "limited"
    status: Status = "limited" if limited else "full"
    name = result.samples_file
    samples = None if name is None else beside(path, name)
    notes = result.notes
    if name is not None and samples is None:
        notes = (*notes, f"The file of samples {name!r} is not beside the result.")
    return Entry(
        origin="vlft",
        status=status if main is not None else "not_applicable",
        key=key_of(result.protocol.ranking_key, main),
        numbers=() if main is None else tuple(number_of(metric) for metric in result.metrics),
        groups={
            name: tuple(number_of(metric) for metric in metrics)
            for name, metrics in result.groups.items()
        },
        model=result.model,
        recorded=result.protocol.recorded,
        date=result.date,
        seconds=result.seconds,
        source=_source(result),
        file=shown,
        samples=None if samples is None else str(samples),
        reason=LIMITED if limited else result.reason,
        notes=notes,
    )


def key_of(key: RankingKey, main: Number | None) -> dict[str, str | int | None]:
    """Return what must be equal before two of our results may be ranked together."""
    fields: dict[str, str | int | None] = {"made_by": "vlft"}
    fields |= key.model_dump(exclude={COVERAGE})
    if main is not None:
        fields |= {"metric": main.name, "direction": main.direction}
    return fields


def _source(result: Result) -> str:
    packages = result.protocol.recorded.get("packages")
    version = packages.get("vlft") if isinstance(packages, dict) else None
    measured = "predictions" not in result.model.source
    if result.protocol.ranking_key.dataset_revision == REPORTED:
        return "report, taken as it is"
    what = "vlft" if version is None else f"vlft {version}"
    return what if measured else f"{what}, predictions made elsewhere"
