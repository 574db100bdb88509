"""An image with its caption and wrong ones: which does the model find likelier?

A record is an image-text pair whose ``meta`` holds one wrong caption as ``negative``, or several as
``negatives``. Hosts with one space for images and texts choose by similarity, as in ARO (arXiv
2210.01936); generative hosts by the log-likelihood of the caption after the image (VisualGPTScore,
arXiv 2306.01879, with alpha = 0), summed over its tokens, and divided by their number. Since many
wrong captions are bad English, they also score the captions without the image, as a control.
"""

from collections.abc import Iterator, Mapping, Sequence

from pydantic import JsonValue

from vlft.data.records import Record
from vlft.errors import EvaluationError, pick
from vlft.evaluation.answering import Answers
from vlft.evaluation.asking import group_of, listed, picture, require_values
from vlft.evaluation.averages import GroupRule, Kept, kept_groups, macro_shares, macro_weights
from vlft.evaluation.benchmark import BenchmarkSpec
from vlft.evaluation.caption_cases import CaptionChoice, Case, case_of
from vlft.evaluation.metrics import cosine, share, share_per_group
from vlft.evaluation.requests import Asked, EmbedImage, EmbedText, Picture, Request, Score
from vlft.evaluation.scorer import Scored, Scorer, settings_of
from vlft.results import Metric, Sample
from vlft.types import Embeds, Likelihood, Message, Scores

PROMPT_FORMATS = {
    "caption": "Describe the image.",
    "short_caption": "Provide a one-sentence caption for the provided image.",
}
"""What a generative host is asked before the captions, with the image and without it;
``short_caption`` is LLaVA-1.5's wording (arXiv 2310.03744, table 7). Hosts that embed see the
captions as they stand."""

PLAIN = "values"

SUFFIXES = {
    PLAIN: "",
    "values_per_token": "_per_token",
    "values_no_image": "_no_image",
    "values_per_token_no_image": "_per_token_no_image",
}
"""Key of a sample's ``extra`` to how the metrics from it end: cosines, or summed log-likelihoods;
these divided by the number of tokens; and both without the image."""


def ask(records: Sequence[Record], spec: BenchmarkSpec, via: type) -> Iterator[Request]:
    """Ask for the embeddings of images and captions, or for the captions' likelihoods.

    Raises:
        EvaluationError: A record is no pair with wrong captions or lacks its group, or there is no
            tie rule.
    """
    if spec.tie_rule is None:
        raise EvaluationError(f"{spec.name}: scorer caption_choice needs `tie_rule`")
    settings = settings_of(spec, CaptionChoice)
    cases = [case_of(record, spec, settings) for record in records]
    for case in cases:
        group_of(case.pair, spec)
        shown = picture(case.pair.image, case.pair, spec)
        if via is Embeds:
            yield from (EmbedImage(shown), *map(EmbedText, case.captions))
            continue
        yield _with_image(case, shown, spec)
        if settings.no_image:
            yield from (_without_image(caption, spec) for caption in case.captions)


def read(
    records: Sequence[Record], answers: Answers, spec: BenchmarkSpec, via: type
) -> Iterator[Sample]:
    """Yield one sample per record; its prediction is the caption that the model prefers.

    Raises:
        EvaluationError: A value is NaN or infinite.
    """
    settings = settings_of(spec, CaptionChoice)
    for record in records:
        case = case_of(record, spec, settings)
        shown = picture(case.pair.image, case.pair, spec)
        if via is Embeds:
            image = answers[EmbedImage(shown)]
            found = {PLAIN: [cosine(image, answers[EmbedText(text)]) for text in case.captions]}
        else:
            asked = _with_image(case, shown, spec)
            seen = dict(zip(asked.continuations, answers[asked], strict=True))
            found = _by_token([seen[caption] for caption in case.captions], PLAIN)
            if settings.no_image:
                blind = [answers[_without_image(text, spec)][0] for text in case.captions]
                found |= _by_token(blind, f"{PLAIN}_no_image")
        yield _sample(case, found, spec)


def from_scores(record: Record, values: Sequence[float], spec: BenchmarkSpec) -> Sample:
    """Return the sample of a record whose captions have these values, in the official order.

    Raises:
        EvaluationError: A value is NaN or infinite, or their number is not that of the captions.
    """
    return _sample(case_of(record, spec, settings_of(spec, CaptionChoice)), {PLAIN: values}, spec)


def from_choice(record: Record, choice: int, spec: BenchmarkSpec) -> Sample:
    """Return the sample of a record of which a caption was chosen, by its official index.

    Raises:
        EvaluationError: There is no such caption.
    """
    case = case_of(record, spec, settings_of(spec, CaptionChoice))
    if not 0 <= choice < len(case.captions):
        raise EvaluationError(
            f"{spec.name}, record {record.id}: found choice {choice}, expected an index from 0 to "
            f"{len(case.captions) - 1}"
        )
    values = [float(place == choice) for place in range(len(case.captions))]
    return _sample(case, {PLAIN: values}, spec)


def score(samples: Sequence[Sample], spec: BenchmarkSpec) -> Scored:
    """Return ``accuracy``, with groups also the macro averages, for every kind of value there is.

    Chance follows from the number of different captions.

    Raises:
        EvaluationError: There are no samples, or one has no values.
    """
    settings = settings_of(spec, CaptionChoice)
    kinds = [key for key in SUFFIXES if samples and key in samples[0].extra]
    wins = {key: [_wins(sample, key, spec) for sample in samples] for key in kinds or [PLAIN]}
    judged = zip(samples, wins[PLAIN], strict=True)
    scored = [sample.model_copy(update={"score": won}) for sample, won in judged]
    chances = [_chance(sample, spec) for sample in samples]
    names = [str(sample.group) for sample in samples] if spec.group_by is not None else []
    rule = GroupRule(frozenset(settings.macro_exclude), settings.macro_min_cases)
    kept = kept_groups(names, rule)
    if spec.metric == MACRO and kept.groups:
        scored = [
            sample.model_copy(update={"weight": weight})
            for sample, weight in zip(scored, macro_weights(names, kept), strict=True)
        ]
    metrics: list[Metric] = []
    tables = []
    for key, won in wins.items():
        metrics.append(share(f"accuracy{SUFFIXES[key]}", won, chances=chances))
        if names:
            metrics += macro_shares(SUFFIXES[key], won, names, kept, chances=chances)
            tables.append(share_per_group(f"accuracy{SUFFIXES[key]}", won, names, chances=chances))
    if settings.identical == "counted":
        equal = share("identical_options", [float(_has_equal(sample)) for sample in samples])
        metrics.append(equal.model_copy(update={"direction": "lower"}))
    groups = {name: tuple(table[name][0] for table in tables) for name in sorted(set(names))}
    undefined = (MACRO,) if kept.lacking else ()
    return Scored(scored, metrics, groups, _notes(scored, spec, kept), undefined)


MACRO = "macro_accuracy"


def _notes(samples: Sequence[Sample], spec: BenchmarkSpec, kept: Kept) -> tuple[str, ...]:
    """Say what a reader of the numbers should know: ties, equal captions, groups, draws."""
    number = len(samples)
    ties = sum(_is_tie(sample, spec) for sample in samples)
    equal = sum(map(_has_equal, samples))
    draws = sorted({str(sample.extra["drawn"]) for sample in samples if "drawn" in sample.extra})
    whom = "for" if spec.tie_rule == "for_model" else "against"
    notes = []
    if ties:
        notes.append(
            f"in {ties} of {number} cases the best wrong caption ties with the right one, which "
            f"counts {whom} the model"
        )
    if equal:
        notes.append(f"in {equal} of {number} cases a wrong caption equals the right one")
    if kept.lacking:
        notes.append(kept.lacking)
    elif kept.excluded or kept.small:
        notes.append(
            f"macro_accuracy is the mean over {len(kept.groups)} groups; {kept.excluded} are left "
            f"out by their names and {kept.small} by their sizes"
        )
    return (*notes, *(f"the shuffles: {facts}" for facts in draws))


def _wins(sample: Sample, key: str, spec: BenchmarkSpec) -> float:
    right, values = _values(sample, key, spec)
    best = max(value for place, value in enumerate(values) if place != right)
    won = values[right] >= best if spec.tie_rule == "for_model" else values[right] > best
    return float(won)


def _is_tie(sample: Sample, spec: BenchmarkSpec) -> bool:
    right, values = _values(sample, PLAIN, spec)
    return values[right] == max(value for place, value in enumerate(values) if place != right)


def _chance(sample: Sample, spec: BenchmarkSpec) -> float:
    """Return what values drawn anew for every different caption give."""
    if _has_equal(sample) and spec.tie_rule == "against_model":
        return 0.0
    return 1 / len(set(listed(sample.extra.get("captions"))))


def _has_equal(sample: Sample) -> bool:
    return listed(sample.extra.get("captions")).count(str(sample.answer)) > 1


def _values(sample: Sample, key: str, spec: BenchmarkSpec) -> tuple[int, list[float]]:
    """Return the index of the right caption, and the values of all."""
    values, right = sample.extra.get(key), sample.extra.get("right")
    captions = listed(sample.extra.get("captions"))
    fits = isinstance(values, list) and len(values) == len(captions) > 1
    if not fits or not isinstance(right, int):
        raise EvaluationError(
            f"{spec.name}, sample {sample.id}: expected `captions`, their `{key}`, and `right` in "
            "`extra`"
        )
    return right, [float(str(value)) for value in values]


def _with_image(case: Case, shown: Picture, spec: BenchmarkSpec) -> Score:
    """Ask about every different caption once, so that equal ones have equal values."""
    return Score(_question(spec, shown), tuple(sorted(set(case.captions))))


def _without_image(caption: str, spec: BenchmarkSpec) -> Score:
    return Score(_question(spec), (caption,))


def _question(spec: BenchmarkSpec, *shown: Picture) -> Asked:
    question = pick(PROMPT_FORMATS, spec.prompt_format, kind="prompt_format")
    return Asked((Message("user", (*range(len(shown)), question)),), shown)


def _by_token(found: Sequence[Likelihood], key: str) -> dict[str, list[float]]:
    """Return sums and means per token, under the keys of ``SUFFIXES``."""
    per_token = key.replace(PLAIN, f"{PLAIN}_per_token")
    return {
        key: [likelihood.total for likelihood in found],
        per_token: [likelihood.total / likelihood.num_tokens for likelihood in found],
    }


def _sample(case: Case, found: Mapping[str, Sequence[float]], spec: BenchmarkSpec) -> Sample:
    for values in found.values():
        require_values(values, len(case.captions), case.pair, spec)
    extra: dict[str, JsonValue] = {"captions": [*case.captions], "right": case.right}
    for key in SUFFIXES:
        if key in found:
            extra[key] = [*found[key]]
    if "drawn" in case.pair.meta:
        extra["drawn"] = str(case.pair.meta["drawn"])
    sample = Sample(
        id=case.pair.id,
        group=group_of(case.pair, spec),
        prediction=None,
        answer=case.pair.text,
        extra=extra,
    )
    values = found[PLAIN]
    wrong = [place for place in range(len(values)) if place != case.right]
    best = max(wrong, key=values.__getitem__)
    chosen = case.right if _wins(sample, PLAIN, spec) else best
    return sample.model_copy(update={"prediction": case.captions[chosen]})


CAPTION_CHOICE = Scorer(
    requires=(Embeds, Scores),
    ask=ask,
    read=read,
    score=score,
    from_scores=from_scores,
    from_choice=from_choice,
    settings=CaptionChoice,
)
