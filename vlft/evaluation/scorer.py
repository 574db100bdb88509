"""What a scorer is: records to samples with a model, and samples to metrics without one."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

from vlft.data.records import Record
from vlft.evaluation.benchmark import BenchmarkSpec
from vlft.results import Metric, Sample


class Scored(NamedTuple):
    """Samples with their scores, and what they come to.

    Attributes:
        samples: As they came, ``score`` filled in.
        metrics: Numbers over all samples.
        groups: Numbers of each group.
    """

    samples: list[Sample]
    metrics: list[Metric]
    groups: dict[str, tuple[Metric, ...]]


@dataclass(frozen=True)
class Scorer:
    """One way of measuring.

    Attributes:
        requires: Capabilities (protocols of ``vlft.types``): ``predict`` needs any one of them.
        predict: Ask a model. Takes the capability, the records in batches, and the benchmark;
            yields samples in the order of the records.
        score: Judge samples, whoever made them. Takes all samples and the benchmark.
    """

    requires: tuple[type, ...]
    predict: Callable[[Any, Iterable[Sequence[Record]], BenchmarkSpec], Iterator[Sample]]
    score: Callable[[Sequence[Sample], BenchmarkSpec], Scored]
