"""Are the data of a benchmark there, and are they what it declares? No model is needed."""

from collections.abc import Iterator
from typing import NamedTuple

from vlft.data import open_dataset
from vlft.data.records import Records
from vlft.errors import DataError, EvaluationError, MissingImageError, UnknownNameError, VlftError
from vlft.evaluation.benchmark import BenchmarkSpec
from vlft.evaluation.driver import require_different_ids, scorer_of
from vlft.evaluation.light import light_record
from vlft.evaluation.places import placed, source_of

_TOLD = 3  # problems that are told


class DataCheck(NamedTuple):
    """What was found.

    Attributes:
        benchmark: Name of the benchmark.
        n: Records; 0 when the data cannot be opened.
        expected_n: Records that the benchmark declares.
        revision: What pins the data; None when they cannot be opened.
        problems: What is wrong, a line each; none: the data are fine.
    """

    benchmark: str
    n: int
    expected_n: int | None
    revision: str | None
    problems: tuple[str, ...]


def check_data(spec: BenchmarkSpec, data: str | None = None) -> DataCheck:
    """Read every record and the header of every image that the benchmark shows.

    Args:
        spec: The benchmark.
        data: Where its data are, as for ``placed``.
    """
    try:
        spec = placed(spec, data)
        records = open_dataset(spec.data)
        revision = spec.dataset_revision
    except (DataError, EvaluationError) as error:
        return DataCheck(spec.name, 0, spec.expected_n, None, (str(error),))
    found = list(_problems(records, spec))
    problems = [*map(str, found)]
    if spec.expected_n is not None and len(records) != spec.expected_n:
        problems.append(f"found {len(records)} records, and {spec.expected_n} are declared")
    told = (*problems[:_TOLD], *([f"and {len(problems) - _TOLD} more"] * (len(problems) > _TOLD)))
    if any(isinstance(one, MissingImageError) for one in found):
        told += source_of(spec)
    return DataCheck(spec.name, len(records), spec.expected_n, revision, told)


def _problems(records: Records, spec: BenchmarkSpec) -> Iterator[VlftError]:
    """Yield what is wrong with records and images, each image once."""
    found = []
    for index in range(len(records)):
        try:
            found.append(light_record(records, index, max_pixels=spec.max_image_pixels))
        except DataError as error:
            yield error
    known = set()
    try:
        scorer = scorer_of(spec)
        require_different_ids([record.id for record in found], spec)
        for request in scorer.ask(found, spec, scorer.requires[0]):
            for picture in request.pictures:
                if (name := tuple(picture.identity)) not in known:
                    known.add(name)
                    try:
                        picture.check()
                    except DataError as error:
                        yield error
    except (EvaluationError, UnknownNameError) as error:
        yield error
