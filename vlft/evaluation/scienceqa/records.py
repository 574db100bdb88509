"""Records of ScienceQA: what is asked about them, and the samples that hold what was said."""

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any, Literal

from pydantic import Field, JsonValue

from vlft.data.readers.choices import LETTERS
from vlft.data.readers.scienceqa import BY_ROW
from vlft.data.records import Conversation, Record, images_of
from vlft.errors import EvaluationError, pick
from vlft.evaluation.asking import group_of, texts, with_images
from vlft.evaluation.benchmark import BenchmarkSpec
from vlft.evaluation.requests import Asked
from vlft.evaluation.scienceqa.breakdown import Traits, grade_number
from vlft.evaluation.scienceqa.prompts import OFFICIAL, PLAIN, PROMPT_FORMATS, Problem, needs_of
from vlft.evaluation.scorer import settings_of
from vlft.recipe.section import Section
from vlft.results import Sample
from vlft.types import Message

Column = Literal["NAT", "SOC", "LAN", "TXT", "IMG", "NO", "G1-6", "G7-12", "Avg"]


class ScienceQASettings(Section):
    """What a benchmark on ScienceQA may set."""

    context: Literal["image", "text", "caption"] = "image"
    """What stands for an image: itself; nothing, in any prompt; its caption after the hint."""
    fallback: Literal["draw", "wrong"] = "draw"
    """What an output counts as that policy ``official`` cannot read: an option drawn at random, as
    upstream, or none."""
    seed: int = 0
    """Seed of what is drawn."""
    first_line: bool = False
    """Whether an output ends at its first line break, where upstream's GPT-3 stopped."""
    sizes: dict[Column, int | None] | None = None
    """Column to its questions in the full data; a note says where they differ. Null: not
    checked."""
    topics: int | None = Field(None, gt=0)
    """Topics of the full data; null: not checked."""


def prompt_of(record: Record, spec: BenchmarkSpec) -> Asked:
    """Return the prompt of a record in the benchmark's format.

    Raises:
        EvaluationError: The record is no problem of ScienceQA, or lacks what the prompt shows.
        UnknownNameError: There is no such format.
    """
    write = pick(PROMPT_FORMATS, spec.prompt_format, kind="prompt_format")
    conversation = _asked(record, spec)
    _facts(record, spec)  # what would stop the scoring stops here
    shots: Mapping[str, Any] = record.meta.get("shots", {})
    gone = next((key for key, shot in shots.items() if shot is None), None)
    if gone is not None:
        raise EvaluationError(
            f"{spec.name}: `data.shots` names {gone!r}, and there is no such problem: name others, "
            "or use the official problems.json, which has the training problems too"
        )
    if shots and spec.prompt_format in PLAIN:
        raise EvaluationError(
            f"{spec.name}: prompt_format {spec.prompt_format} shows no examples: leave out "
            f"`data.shots`, or take an official format such as {OFFICIAL[0]}"
        )
    text = write(
        _problem(record.meta, record, spec, solved=False),
        [_problem(shot, record, spec, solved=True) for shot in shots.values()],
    )
    if settings_of(spec, ScienceQASettings).context != "image":
        return Asked((Message("user", (text,)),))
    places = range(len(conversation.images))
    return with_images((Message("user", (*places, text)),), conversation, spec)


def choices_of(record: Record, spec: BenchmarkSpec) -> list[str]:
    """Return the options of a record.

    Raises:
        EvaluationError: It is no problem of ScienceQA.
    """
    return texts(_asked(record, spec).meta["choices"], "choices", record, spec)


def sample_of(
    record: Record,
    prediction: str | None,
    spec: BenchmarkSpec,
    given: Mapping[str, JsonValue] = MappingProxyType({}),
) -> Sample:
    """Return a sample that holds all that scoring needs.

    Args:
        record: The record.
        prediction: What was said about it; None: only that nothing could be read is known.
        spec: The benchmark.
        given: What else is known, for ``extra``.

    Raises:
        EvaluationError: The record is no problem of ScienceQA.
    """
    return Sample(
        id=record.id,
        group=group_of(record, spec),
        prediction=prediction,
        answer=LETTERS[int(record.meta["answer"])],
        extra={**_facts(record, spec), **given},
    )


def traits_in(facts: Mapping[str, Any], where: str) -> Traits:
    """Return what decides in which columns a sample counts, from its ``extra``.

    Args:
        facts: The sample's ``extra``.
        where: Benchmark and sample, for messages.

    Raises:
        EvaluationError: It does not say.
    """
    lacking = next((field for field in Traits._fields if facts.get(field) in (None, "")), None)
    if lacking is not None:
        raise EvaluationError(
            f"{where}: there is no `{lacking}`, which decides in which columns a question counts"
        )
    return Traits(
        subject=str(facts["subject"]),
        topic=str(facts["topic"]),
        grade=grade_number(str(facts["grade"]), where),
        has_hint=bool(facts["has_hint"]),
        has_image=bool(facts["has_image"]),
    )


def _facts(record: Record, spec: BenchmarkSpec) -> dict[str, JsonValue]:
    """Return what a sample says of its record."""
    meta = _asked(record, spec).meta
    facts: dict[str, JsonValue] = {
        "question": str(meta.get("question")),
        "choices": [*choices_of(record, spec)],
        "subject": meta.get("subject"),
        "topic": meta.get("topic"),
        "grade": meta.get("grade"),
        "has_hint": bool(meta.get("hint")),
        "has_image": bool(images_of(record)),
    }
    traits_in(facts, f"{spec.name}, record {record.id}")
    return facts | ({BY_ROW: True} if meta.get(BY_ROW) else {})


def _asked(record: Record, spec: BenchmarkSpec) -> Conversation:
    if isinstance(record, Conversation) and {"choices", "answer", "question"} <= record.meta.keys():
        return record
    raise EvaluationError(
        f"{spec.name}, record {record.id}: expected a problem of ScienceQA (data.type: scienceqa)"
    )


def _problem(
    fields: Mapping[str, Any], record: Record, spec: BenchmarkSpec, *, solved: bool
) -> Problem:
    """Return what a prompt is made of; examples are solved."""
    for field in needs_of(spec.prompt_format, solved=solved):
        if not isinstance(fields.get(field), str):
            raise EvaluationError(
                f"{spec.name}, record {record.id}: prompt_format {spec.prompt_format} shows the "
                f"{field}, and the data have none: use the official problems.json"
            )
    caption = ""
    if settings_of(spec, ScienceQASettings).context == "caption":
        if "caption" not in fields:
            raise EvaluationError(
                f"{spec.name}, record {record.id}: settings.context = caption needs "
                "`data.captions`, the path of captions.json"
            )
        caption = str(fields["caption"])
    return Problem(
        question=str(fields["question"]),
        choices=[str(choice) for choice in fields["choices"]],
        answer=int(fields["answer"]),
        hint=str(fields.get("hint") or ""),
        caption=caption,
        lecture=str(fields.get("lecture") or ""),
        solution=str(fields.get("solution") or ""),
    )
