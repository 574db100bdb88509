"""Captions with wrong ones: what a benchmark may set, and what a record asks.

A record is an image-text pair whose ``meta`` holds one wrong caption as ``negative``, or several as
``negatives``.
"""

from typing import Literal, NamedTuple

from pydantic import Field

from vlft.data.records import Pair, Record
from vlft.errors import EvaluationError
from vlft.evaluation.asking import texts
from vlft.evaluation.benchmark import BenchmarkSpec
from vlft.recipe.section import Section


class CaptionChoice(Section):
    """What a benchmark of caption choice may set."""

    right: Literal["first", "last"] = "first"
    """Where the right caption stands in the official order of the options."""
    identical: Literal["refused", "counted"] = "refused"
    """Whether a wrong caption may equal the right one; ``counted``: their share is a metric."""
    no_image: bool = True
    """Whether generative hosts also score the captions without the image."""
    macro_exclude: tuple[str, ...] = ()
    """Groups that ``macro_accuracy`` leaves out."""
    macro_min_cases: int = Field(1, ge=1)
    """Smallest number of cases of a group that ``macro_accuracy`` counts."""


class Case(NamedTuple):
    """What a record asks.

    Attributes:
        pair: The record.
        captions: In the official order.
        right: Index of the right one.
    """

    pair: Pair
    captions: list[str]
    right: int


def case_of(record: Record, spec: BenchmarkSpec, settings: CaptionChoice) -> Case:
    """Return what a record asks.

    Raises:
        EvaluationError: It is no pair with wrong captions, or the right one is among them though
            that is refused.
    """
    if not isinstance(record, Pair):
        raise EvaluationError(
            f"{spec.name}, record {record.id}: expected an image-text pair with `negatives`"
        )
    wrong = _negatives(record, spec)
    if settings.identical == "refused" and record.text in wrong:
        raise EvaluationError(
            f"{spec.name}, record {record.id}: the right caption is among its negatives"
        )
    if settings.right == "last":
        return Case(record, [*wrong, record.text], len(wrong))
    return Case(record, [record.text, *wrong], 0)


def _negatives(pair: Pair, spec: BenchmarkSpec) -> list[str]:
    if "negatives" in pair.meta:
        return texts(pair.meta["negatives"], "negatives", pair, spec)
    if isinstance(pair.meta.get("negative"), str) and pair.meta["negative"].strip():
        return [pair.meta["negative"].strip()]
    raise EvaluationError(
        f"{spec.name}, record {pair.id}: no wrong caption: expected `negative` (text) or "
        f"`negatives` (a list); there is: {', '.join(pair.meta) or 'nothing'}"
    )
