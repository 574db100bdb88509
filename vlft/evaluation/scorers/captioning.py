"""Captions: generate one, and compare it with the recorded ones.

A record is a conversation that ends with a caption, or an image-text pair; ``meta["answers"]`` may
list several captions. Besides the metrics, ``words`` says how long the captions are: a change of
length moves ROUGE-L.
"""

from collections.abc import Iterable, Iterator, Sequence
from math import fsum

from vlft.data.records import Pair, Record
from vlft.errors import EvaluationError, pick
from vlft.evaluation.asking import (
    accepted_answers,
    answered,
    group_of,
    listed,
    opened,
    prompt_of,
    text_of,
    texts,
    token_limit,
)
from vlft.evaluation.benchmark import BenchmarkSpec
from vlft.evaluation.metrics import exact_match, share, share_per_group
from vlft.evaluation.scorer import Scored, Scorer
from vlft.evaluation.text_metrics import caption_words, rouge_l
from vlft.results import Metric, Sample
from vlft.types import Generates, Message, Prompt

PAIR_PROMPTS = {
    "as_recorded": "Describe the image.",
    "short_caption": "Provide a one-sentence caption for the provided image.",
}
"""What is asked about the image of a pair, which has no question of its own."""


def predict(
    model: Generates, batches: Iterable[Sequence[Record]], spec: BenchmarkSpec
) -> Iterator[Sample]:
    """Yield one sample per record.

    Raises:
        EvaluationError: A record does not end with a caption, or the benchmark says nothing about
            the length of outputs.
        RecordError: An image is bad.
    """
    limit = token_limit(spec)
    for batch in batches:
        prompts, references = [], []
        for record in batch:
            prompt, captions = _asked(record, spec)
            prompts.append(prompt)
            references.append(captions)
        outputs = model.generate(prompts, max_new_tokens=limit)
        for record, output, captions in zip(batch, outputs, references, strict=True):
            yield Sample(
                id=record.id,
                group=group_of(record, spec),
                prediction=output,
                answer=captions[0],
                extra={"answers": [*captions]},
            )


def score(samples: Sequence[Sample], spec: BenchmarkSpec) -> Scored:
    """Return ``rouge_l``, ``exact_match`` and ``words``, the mean length (neither way is better).

    Raises:
        EvaluationError: There are no samples.
        UnknownNameError: The benchmark's ``extraction`` does not exist.
    """
    scores: dict[str, list[float]] = {"rouge_l": [], "exact_match": []}
    for sample in samples:
        said, captions = str(sample.prediction), listed(sample.extra.get("answers"))
        scores["rouge_l"].append(rouge_l(said, captions))
        same = [exact_match(said, text, normalization=spec.extraction) for text in captions]
        scores["exact_match"].append(float(any(same)))
    metrics = [share(name, values) for name, values in scores.items()]
    lengths = [len(caption_words(str(sample.prediction))) for sample in samples]
    metrics.append(Metric(name="words", value=fsum(lengths) / len(lengths), n=len(lengths)))
    main = scores.get(spec.metric, scores["rouge_l"])
    scored = [
        sample.model_copy(update={"score": value})
        for sample, value in zip(samples, main, strict=True)
    ]
    groups = {}
    if spec.group_by is not None:
        groups = share_per_group(spec.metric, main, [str(sample.group) for sample in samples])
    return Scored(scored, metrics, groups)


def _asked(record: Record, spec: BenchmarkSpec) -> tuple[Prompt, list[str]]:
    """Return the prompt and the right captions of a record."""
    if isinstance(record, Pair):
        question = pick(PAIR_PROMPTS, spec.prompt_format, kind="prompt_format")
        image = opened(record.image, record, spec)
        captions = record.meta.get("answers")
        found = [record.text] if captions is None else texts(captions, "answers", record, spec)
        return Prompt((Message("user", (0, question)),), (image,)), found
    conversation = answered(record, spec)
    if not text_of(conversation.messages[-1]):
        raise EvaluationError(f"{spec.name}, record {record.id}: the caption is empty")
    return prompt_of(conversation, spec), accepted_answers(conversation, spec)


CAPTIONING = Scorer(requires=(Generates,), predict=predict, score=score)
