"""Questions with short answers: generate, then compare with the right answer.

A record is a conversation that ends with the right answer; all before it is the prompt. Records may
say in ``meta["options"]`` which answers a question leaves open: chance is then known, and outputs
that are none of them are counted.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence

from pydantic import JsonValue

from vlft.data.images import open_image
from vlft.data.records import Conversation, Record
from vlft.errors import EvaluationError, pick
from vlft.evaluation.benchmark import BenchmarkSpec
from vlft.evaluation.metrics import exact_match, share, share_per_group
from vlft.evaluation.scorer import Scored, Scorer
from vlft.results import Sample
from vlft.types import Generates, Message, Prompt


def _as_recorded(record: Conversation) -> tuple[Message, ...]:
    return record.messages[:-1]


PROMPT_FORMATS: dict[str, Callable[[Conversation], tuple[Message, ...]]] = {
    "as_recorded": _as_recorded,
}
"""``as_recorded``: the turns before the last answer, word for word."""


def predict(
    model: Generates, batches: Iterable[Sequence[Record]], spec: BenchmarkSpec
) -> Iterator[Sample]:
    """Yield one sample per record.

    Raises:
        EvaluationError: A record does not end with an answer, or the benchmark says nothing about
            the length of outputs.
        RecordError: An image is bad.
    """
    if spec.max_new_tokens is None:
        raise EvaluationError(f"{spec.name}: scorer question_answering needs `max_new_tokens`")
    for batch in batches:
        records = [_answered(record, spec) for record in batch]
        prompts = [_prompt(record, spec) for record in records]
        outputs = model.generate(prompts, max_new_tokens=spec.max_new_tokens)
        for record, prompt, output in zip(records, prompts, outputs, strict=True):
            extra: dict[str, JsonValue] = {"question": _text(prompt.messages[-1])}
            if "options" in record.meta:
                extra["options"] = list(record.meta["options"])
            yield Sample(
                id=record.id,
                group=_group(record, spec),
                prediction=output,
                answer=_text(record.messages[-1]),
                extra=extra,
            )


def score(samples: Sequence[Sample], spec: BenchmarkSpec) -> Scored:
    """Return ``accuracy``, over all and per group, and ``not_an_option`` where options are known.

    Raises:
        EvaluationError: There are no samples, or a prediction is no text.
        UnknownNameError: The benchmark's ``extraction`` does not exist.
    """
    scored = [
        sample.model_copy(update={"score": float(_matches(sample, sample.answer, spec))})
        for sample in samples
    ]
    scores = [sample.score or 0.0 for sample in scored]
    options = [sample.extra.get("options") for sample in scored]
    known = [choices for choices in options if isinstance(choices, list)]
    chances = [1 / len(choices) for choices in known] if len(known) == len(options) else None
    metrics = [share("accuracy", scores, chances=chances)]
    if chances is not None:
        strays = [
            float(not any(_matches(sample, choice, spec) for choice in choices))
            for sample, choices in zip(scored, known, strict=True)
        ]
        stray = share("not_an_option", strays)
        metrics.append(stray.model_copy(update={"direction": "lower"}))
    groups = {}
    if spec.group_by is not None:
        names = [str(sample.group) for sample in scored]
        groups = share_per_group("accuracy", scores, names, chances=chances)
    return Scored(scored, metrics, groups)


def _answered(record: Record, spec: BenchmarkSpec) -> Conversation:
    if isinstance(record, Conversation) and record.messages[-1].role == "assistant":
        return record
    raise EvaluationError(
        f"{spec.name}, record {record.id}: expected a conversation that ends with the right answer"
    )


def _group(record: Conversation, spec: BenchmarkSpec) -> str | None:
    if spec.group_by is None:
        return None
    if spec.group_by not in record.meta:
        raise EvaluationError(
            f"{spec.name}, record {record.id}: no {spec.group_by!r} in its meta; "
            "change `group_by`, or null for no groups"
        )
    return str(record.meta[spec.group_by])


def _prompt(record: Conversation, spec: BenchmarkSpec) -> Prompt:
    write = pick(PROMPT_FORMATS, spec.prompt_format, kind="prompt_format")
    images = [open_image(ref, dataset=spec.name, record_id=record.id) for ref in record.images]
    return Prompt(messages=write(record), images=tuple(images))


def _text(message: Message) -> str:
    return "".join(piece for piece in message.content if isinstance(piece, str)).strip()


def _matches(sample: Sample, answer: object, spec: BenchmarkSpec) -> bool:
    if not isinstance(sample.prediction, str) or not isinstance(answer, str):
        raise EvaluationError(
            f"{spec.name}, sample {sample.id}: prediction {sample.prediction!r} and answer "
            f"{answer!r} must be text"
        )
    return exact_match(sample.prediction, answer, normalization=spec.extraction)


QUESTION_ANSWERING = Scorer(requires=Generates, predict=predict, score=score)
