"""An image with its caption and wrong ones: which does the model find likelier?

A record is an image-text pair whose ``meta`` holds one wrong caption as ``negative``, or several as
``negatives``. Hosts with one space for images and texts choose by similarity, as in ARO (arXiv
2210.01936); generative hosts by the log-likelihood of the caption after the image, summed over its
tokens (VisualGPTScore, arXiv 2306.01879, with alpha = 0).
"""

from collections.abc import Iterator, Sequence

from vlft.data.records import Pair, Record
from vlft.errors import EvaluationError, pick
from vlft.evaluation.answering import Answers
from vlft.evaluation.asking import group_of, picture, require_values, texts
from vlft.evaluation.benchmark import BenchmarkSpec
from vlft.evaluation.metrics import cosine, share, share_per_group
from vlft.evaluation.requests import Asked, EmbedImage, EmbedText, Request, Score
from vlft.evaluation.scorer import Scored, Scorer
from vlft.results import Sample
from vlft.types import Embeds, Message, Scores

PROMPT_FORMATS = {
    "caption": "Describe the image.",
    "short_caption": "Provide a one-sentence caption for the provided image.",
}
"""What a generative host is asked before the captions; ``short_caption`` is LLaVA-1.5's wording
(arXiv 2310.03744, table 7). Hosts that embed see the captions as they stand."""


def ask(records: Sequence[Record], spec: BenchmarkSpec, via: type) -> Iterator[Request]:
    """Ask for the embeddings of images and captions, or for the captions' likelihoods.

    Raises:
        EvaluationError: A record is no pair with wrong captions, or there is no tie rule.
    """
    if spec.tie_rule is None:
        raise EvaluationError(f"{spec.name}: scorer caption_choice needs `tie_rule`")
    for record in records:
        yield from _requests(record, spec, via)


def read(
    records: Sequence[Record], answers: Answers, spec: BenchmarkSpec, via: type
) -> Iterator[Sample]:
    """Yield one sample per record; its prediction is the caption that the model prefers.

    Raises:
        EvaluationError: A value is NaN or infinite.
    """
    for record in records:
        requests = _requests(record, spec, via)
        if via is Embeds:
            image, *texts = (answers[request] for request in requests)
            values = [cosine(image, text) for text in texts]
        else:
            values = [likelihood.total for likelihood in answers[requests[0]]]
        yield from_scores(record, values, spec)


def from_scores(record: Record, values: Sequence[float], spec: BenchmarkSpec) -> Sample:
    """Return the sample of a record whose captions have these values, the right one's first.

    Raises:
        EvaluationError: A value is NaN or infinite, or their number is not that of the captions.
    """
    pair = _pair(record, spec)
    captions = _captions(pair, spec)
    require_values(values, len(captions), pair, spec)
    return Sample(
        id=pair.id,
        group=group_of(pair, spec),
        prediction=captions[max(range(len(captions)), key=values.__getitem__)],
        answer=pair.text,
        extra={"captions": [*captions], "values": [*values]},
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


def _requests(record: Record, spec: BenchmarkSpec, via: type) -> list[Request]:
    pair = _pair(record, spec)
    shown = picture(pair.image, pair, spec)
    captions = _captions(pair, spec)
    if via is Embeds:
        return [EmbedImage(shown), *map(EmbedText, captions)]
    question = pick(PROMPT_FORMATS, spec.prompt_format, kind="prompt_format")
    return [Score(Asked((Message("user", (0, question)),), (shown,)), tuple(captions))]


def _captions(pair: Pair, spec: BenchmarkSpec) -> list[str]:
    """Return the right caption, then the wrong ones."""
    return [pair.text, *_negatives(pair, spec)]


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


CAPTION_CHOICE = Scorer(
    requires=(Embeds, Scores), ask=ask, read=read, score=score, from_scores=from_scores
)
