"""An image with its caption and wrong ones: which does the model find likelier?

A record is an image-text pair whose ``meta`` holds one wrong caption as ``negative``, or several as
``negatives``. Hosts with one space for images and texts choose by similarity, as in ARO (arXiv
2210.01936); generative hosts by the log-likelihood of the caption after the image, summed over its
tokens (VisualGPTScore, arXiv 2306.01879, with alpha = 0).
"""

from collections.abc import Iterable, Iterator, Sequence

from vlft.data.records import Pair, Record
from vlft.errors import EvaluationError, pick
from vlft.evaluation.asking import group_of, opened, require_finite, texts
from vlft.evaluation.benchmark import BenchmarkSpec
from vlft.evaluation.metrics import share, share_per_group
from vlft.evaluation.scorer import Scored, Scorer
from vlft.results import Sample
from vlft.types import Embeds, Message, Prompt, Scores

PROMPT_FORMATS = {
    "caption": "Describe the image.",
    "short_caption": "Provide a one-sentence caption for the provided image.",
}
"""What a generative host is asked before the captions; ``short_caption`` is LLaVA-1.5's wording
(arXiv 2310.03744, table 7). Hosts that embed see the captions as they stand."""


def predict(
    model: Embeds | Scores, batches: Iterable[Sequence[Record]], spec: BenchmarkSpec
) -> Iterator[Sample]:
    """Yield one sample per record; its prediction is the caption that the model prefers.

    Raises:
        EvaluationError: A record is no pair with wrong captions, there is no tie rule, or a value
            is NaN or infinite.
        RecordError: An image is bad.
    """
    question = pick(PROMPT_FORMATS, spec.prompt_format, kind="prompt_format")
    if spec.tie_rule is None:
        raise EvaluationError(f"{spec.name}: scorer caption_choice needs `tie_rule`")
    for batch in batches:
        pairs = [_pair(record, spec) for record in batch]
        captions = [[pair.text, *_negatives(pair, spec)] for pair in pairs]
        images = [opened(pair.image, pair, spec) for pair in pairs]
        if isinstance(model, Embeds):
            different = dict.fromkeys(text for own in captions for text in own)
            columns = {text: place for place, text in enumerate(different)}
            similarity = model.embed_images(images) @ model.embed_texts(list(columns)).T
            values = [
                [float(similarity[row, columns[text]]) for text in own]
                for row, own in enumerate(captions)
            ]
        else:
            asked = (Message("user", (0, question)),)
            values = model.score([Prompt(asked, (image,)) for image in images], captions)
        for pair, own, found in zip(pairs, captions, values, strict=True):
            require_finite(found, pair, spec)
            yield Sample(
                id=pair.id,
                group=group_of(pair, spec),
                prediction=own[max(range(len(own)), key=found.__getitem__)],
                answer=pair.text,
                extra={"captions": [*own], "values": [*found]},
            )


def score(samples: Sequence[Sample], spec: BenchmarkSpec) -> Scored:
    """Return ``accuracy`` over all and per group; chance follows from the number of captions.

    Raises:
        EvaluationError: There are no samples, or one has no values.
    """
    scored = [sample.model_copy(update={"score": _wins(sample, spec)}) for sample in samples]
    scores = [sample.score or 0.0 for sample in scored]
    chances = [1 / len(_values(sample, spec)) for sample in scored]
    groups = {}
    if spec.group_by is not None:
        names = [str(sample.group) for sample in scored]
        groups = share_per_group("accuracy", scores, names, chances=chances)
    return Scored(scored, [share("accuracy", scores, chances=chances)], groups)


def _wins(sample: Sample, spec: BenchmarkSpec) -> float:
    right, *wrong = _values(sample, spec)
    ties_win = spec.tie_rule == "for_model"
    return float(all(right > value or (ties_win and right == value) for value in wrong))


def _values(sample: Sample, spec: BenchmarkSpec) -> list[float]:
    """Return the value of the right caption, then those of the wrong ones."""
    values = sample.extra.get("values")
    if not isinstance(values, list) or len(values) < 2:
        raise EvaluationError(f"{spec.name}, sample {sample.id}: expected `values` in `extra`")
    return [float(str(value)) for value in values]


def _pair(record: Record, spec: BenchmarkSpec) -> Pair:
    if isinstance(record, Pair):
        return record
    raise EvaluationError(
        f"{spec.name}, record {record.id}: expected an image-text pair with `negatives`"
    )


def _negatives(pair: Pair, spec: BenchmarkSpec) -> list[str]:
    if "negatives" in pair.meta:
        found = texts(pair.meta["negatives"], "negatives", pair, spec)
    elif isinstance(pair.meta.get("negative"), str) and pair.meta["negative"].strip():
        found = [pair.meta["negative"].strip()]
    else:
        raise EvaluationError(
            f"{spec.name}, record {pair.id}: no wrong caption: expected `negative` (text) or "
            f"`negatives` (a list); there is: {', '.join(pair.meta) or 'nothing'}"
        )
    if pair.text in found:
        raise EvaluationError(
            f"{spec.name}, record {pair.id}: the right caption is among its negatives"
        )
    return found


CAPTION_CHOICE = Scorer(requires=(Embeds, Scores), predict=predict, score=score)
