"""What is asked about MMEB's data sets: every different query and candidate once."""

from collections.abc import Iterator, Sequence
from typing import NamedTuple

import numpy as np

from vlft.data.records import Ranking, Record
from vlft.errors import EvaluationError, pick, unknown
from vlft.evaluation.answering import Answers
from vlft.evaluation.asking import picture
from vlft.evaluation.benchmark import BenchmarkSpec
from vlft.evaluation.mmeb_texts import (
    Content,
    DatasetFacts,
    Shape,
    identity,
    plain_text,
    query_content,
    target_content,
)
from vlft.evaluation.requests import Asked, EmbedImage, EmbedPrompt, EmbedText, Request
from vlft.evaluation.scorer import settings_of
from vlft.recipe.section import Section
from vlft.types import Embeds, Message

PROMPT_FORMATS = {"official": False, "official_chat": True}
"""Whether the host's chat template is written around the official texts. ``official``: the bare
text, with the host's own mark where the image belongs, as in VLM2Vec."""


class MmebSettings(Section):
    """What the scorer reads of a benchmark's ``settings``."""

    datasets: dict[str, DatasetFacts]
    """By name; those that the data lack are left out of all averages."""


class Member(NamedTuple):
    """What is asked about one data set.

    Attributes:
        places: Where its records stand among all.
        queries: Requests for each query; two where image and text are embedded apart.
        targets: The same for each different candidate.
        names: What tells each candidate from the others.
        candidates: Candidates of each query, each once, the right one first.
    """

    places: list[int]
    queries: list[tuple[Request, ...]]
    targets: list[tuple[Request, ...]]
    names: list[str]
    candidates: list[np.ndarray]


def members(records: Sequence[Record], spec: BenchmarkSpec, via: type) -> Iterator[Member]:
    """Lay out what is asked, data set by data set.

    Args:
        records: Rankings of any data sets.
        spec: The benchmark.
        via: The capability in which the model is asked.

    Raises:
        EvaluationError: A record is no ranking, its data set is not in the settings, or the prompt
            format does not fit the capability.
    """
    datasets = settings_of(spec, MmebSettings).datasets
    together: dict[str, list[int]] = {}
    for place, record in enumerate(records):
        together.setdefault(dataset_of(ranking(record, spec)), []).append(place)
    for name, places in together.items():
        if name not in datasets:
            raise EvaluationError(
                f"{spec.name}: settings.datasets: {unknown('data set', name, datasets)}"
            )
        rankings = [ranking(records[place], spec) for place in places]
        yield _member(rankings, places, datasets[name].shape, spec, via)


def ranking(record: Record, spec: BenchmarkSpec) -> Ranking:
    """Return a record that is a ranking.

    Raises:
        EvaluationError: It is none.
    """
    if isinstance(record, Ranking):
        return record
    raise EvaluationError(
        f"{spec.name}, record {record.id}: expected a query with candidates; use data.type=mmeb"
    )


def dataset_of(record: Ranking) -> str:
    """Return the data set that a record is of."""
    return str(record.meta.get("dataset"))


def vectors(
    requests: Sequence[tuple[Request, ...]],
    answers: Answers,
    named: Sequence[str],
    spec: BenchmarkSpec,
) -> np.ndarray:
    """Return one vector of unit length for each query or candidate.

    Image and text that were embedded apart are added. For unit vectors, that is the fusion of
    scores with equal weights: the product of two sums is the sum of the four products.

    Args:
        requests: One or two for each.
        answers: Their answers.
        named: What messages call each.
        spec: The benchmark.

    Raises:
        EvaluationError: A vector is NaN or infinite.
    """
    found = np.stack([answers[first] for first, *_ in requests]).astype(np.float32)
    both = [row for row, parts in enumerate(requests) if len(parts) > 1]
    with np.errstate(all="ignore"):  # told below
        if both:
            sums = found[both] + np.stack([answers[requests[row][1]] for row in both])
            found[both] = sums / np.linalg.norm(sums, axis=1, keepdims=True)
    for row in np.flatnonzero(~np.isfinite(found).all(axis=1))[:1].tolist():
        raise EvaluationError(
            f"{spec.name}, {named[row]}: its embedding is NaN or infinite, and nothing can be "
            "ranked; check the model's weights and its dtype"
        )
    return found


def _member(
    rankings: Sequence[Ranking], places: list[int], shape: Shape, spec: BenchmarkSpec, via: type
) -> Member:
    pool = rankings[0].pool
    assert all(one.pool is pool for one in rankings), "records of a data set share one pool"
    names = [identity(item, shape) for item in pool]
    first: dict[str, int] = {}
    for number, name in enumerate(names):
        first.setdefault(name, number)
    same = np.array([first[name] for name in names])
    # Candidates with one name are one, and the first of them stands for all (as upstream).
    listed = [_once(same[one.candidates]) for one in rankings]
    asked, began, numbers = np.unique(
        np.concatenate(listed), return_index=True, return_inverse=True
    )
    ends = np.cumsum([len(own) for own in listed])
    owners = [rankings[row] for row in np.searchsorted(ends, began, side="right").tolist()]
    captioned = any(item.text.strip() for item in pool)
    targets = []
    for number, owner in zip(asked.tolist(), owners, strict=True):
        where = f"{spec.name}, record {owner.id}, candidate {names[number]!r}"
        content = target_content(pool[number], shape, where, captioned=captioned)
        targets.append(_requests(content, owner, spec, via))
    queries = [
        _requests(query_content(one.query, shape, f"{spec.name}, record {one.id}"), one, spec, via)
        for one in rankings
    ]
    return Member(
        places, queries, targets, [names[number] for number in asked], np.split(numbers, ends[:-1])
    )


def _once(candidates: np.ndarray) -> np.ndarray:
    """Return candidates in their order, without those that stand before already."""
    return candidates[np.sort(np.unique(candidates, return_index=True)[1])]


def _requests(
    content: Content, record: Ranking, spec: BenchmarkSpec, via: type
) -> tuple[Request, ...]:
    """Return what is asked about a query or candidate of a record."""
    chat_template = pick(PROMPT_FORMATS, spec.prompt_format, kind="prompt_format")
    image = content.item.image
    if via is not Embeds:
        if image is None:  # of an empty text, a blank: a host needs a token to give a state for
            asked = Asked((Message("user", (content.before or " ",)),))
        else:
            pieces = tuple(piece for piece in (content.before, 0, content.after) if piece != "")
            asked = Asked((Message("user", pieces),), (picture(image, record, spec),))
        return (EmbedPrompt(asked, chat_template),)
    if chat_template:
        raise EvaluationError(
            f"{spec.name}: prompt_format={spec.prompt_format}: the host embeds images and texts "
            "apart and has no chat template; use prompt_format=official"
        )
    text = plain_text(content)
    if image is None:
        return (EmbedText(text),)
    shown_alone = EmbedImage(picture(image, record, spec))
    return (shown_alone, EmbedText(text)) if text else (shown_alone,)
