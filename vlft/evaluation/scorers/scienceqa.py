"""ScienceQA (arXiv 2209.09513): questions with two to five options, by text or by likelihood.

``scienceqa`` generates and reads the output under a named policy; ``scienceqa_likelihood`` takes
the option whose letter is likeliest. Prompts, policies and columns: ``vlft.evaluation.scienceqa``.
"""

from collections.abc import Callable, Iterator, Sequence

from pydantic import JsonValue

from vlft.data.readers.choices import LETTERS
from vlft.data.readers.scienceqa import BY_ROW
from vlft.data.records import Record
from vlft.errors import EvaluationError, pick
from vlft.evaluation.answering import Answers
from vlft.evaluation.asking import listed, require_values, token_limit
from vlft.evaluation.benchmark import BenchmarkSpec
from vlft.evaluation.metrics import NORMALIZATIONS, share, share_per_group
from vlft.evaluation.requests import Generate, Request, Score
from vlft.evaluation.scienceqa.breakdown import columns, size_notes
from vlft.evaluation.scienceqa.extraction import (
    DRAWS,
    EXTRACTIONS,
    LETTER_LOGPROB,
    drawn_index,
    index_of,
)
from vlft.evaluation.scienceqa.records import (
    ScienceQASettings,
    choices_of,
    prompt_of,
    sample_of,
    traits_in,
)
from vlft.evaluation.scienceqa.result_files import UNREAD, Output, predictions_of
from vlft.evaluation.scorer import Scored, Scorer, settings_of
from vlft.results import Metric, Sample
from vlft.types import Generates, Scores


def ask(records: Sequence[Record], spec: BenchmarkSpec, via: type) -> Iterator[Request]:
    """Ask for an answer in words.

    Raises:
        EvaluationError: A record is no problem of ScienceQA, or lacks what the prompt shows.
        UnknownNameError: There is no such prompt format or policy.
    """
    _policy_of(spec)
    return (Generate(prompt_of(record, spec), token_limit(spec)) for record in records)


def read(
    records: Sequence[Record], answers: Answers, spec: BenchmarkSpec, via: type
) -> Iterator[Sample]:
    """Yield one sample per record; its prediction is the output."""
    for record, request in zip(records, ask(records, spec, via), strict=True):
        yield from_text(record, Output(answers[request]), spec)


def ask_likelihood(records: Sequence[Record], spec: BenchmarkSpec, via: type) -> Iterator[Request]:
    """Ask for the likelihoods of the letters.

    Raises:
        EvaluationError: As for ``ask``, or the benchmark names another policy.
    """
    _require_letters(spec)
    for record in records:
        letters = tuple(LETTERS[: len(choices_of(record, spec))])
        yield Score(prompt_of(record, spec), letters)


def read_likelihood(
    records: Sequence[Record], answers: Answers, spec: BenchmarkSpec, via: type
) -> Iterator[Sample]:
    """Yield one sample per record; its prediction is the likeliest letter.

    Raises:
        EvaluationError: A log-likelihood is NaN or infinite.
    """
    for record, request in zip(records, ask_likelihood(records, spec, via), strict=True):
        yield from_scores(record, [one.total for one in answers[request]], spec)


def from_text(record: Record, output: str, spec: BenchmarkSpec) -> Sample:
    """Return the sample of a record and what was said about it.

    An ``Output`` is for the policy alone. Another text is an answer that somebody wrote down: the
    letter or the text of an option is taken as such, and only the rest is for the policy.
    """
    taken = None if isinstance(output, Output) else _written(output, choices_of(record, spec))
    given: dict[str, JsonValue] = {} if taken is None else {"choice": taken, "as_written": True}
    return sample_of(record, str(output), spec, given)


def from_scores(record: Record, values: Sequence[float], spec: BenchmarkSpec) -> Sample:
    """Return the sample of a record whose options have these values; of equal ones the first wins.

    Raises:
        EvaluationError: A value is NaN or infinite, or their number is not that of the options.
    """
    require_values(values, len(choices_of(record, spec)), record, spec)
    best = max(range(len(values)), key=values.__getitem__)
    return sample_of(record, LETTERS[best], spec, {"choice": best, "scores": [*values]})


def from_choice(record: Record, choice: int, spec: BenchmarkSpec) -> Sample:
    """Return the sample of a record and the index that a harness wrote down; -1: it read none.

    Raises:
        EvaluationError: There is no such option.
    """
    number = len(choices_of(record, spec))
    if not UNREAD <= choice < number:
        raise EvaluationError(
            f"{spec.name}, record {record.id}: found option {choice}, expected 0 to {number - 1}, "
            "or -1 for an output that could not be read"
        )
    letter = None if choice == UNREAD else LETTERS[choice]
    return sample_of(record, letter, spec, {"choice": choice})


def score(samples: Sequence[Sample], spec: BenchmarkSpec) -> Scored:
    """Return ``accuracy`` over all, per column and per topic, and the share of unread outputs.

    Raises:
        EvaluationError: There are no samples, or they are of another scorer.
        UnknownNameError: The benchmark's ``extraction`` does not exist.
    """
    settings = settings_of(spec, ScienceQASettings)
    scored = [_judged(sample, spec, settings) for sample in samples]
    scores = [sample.score or 0.0 for sample in scored]
    chances = [1 / len(_options(sample, spec)) for sample in scored]
    unread = share("unparsed", [float(sample.extra["parsed"] is None) for sample in scored])
    metrics = [
        share("accuracy", scores, chances=chances),
        unread.model_copy(update={"direction": "lower"}),
    ]
    found = columns([traits_in(one.extra, f"{spec.name}, sample {one.id}") for one in scored])
    groups: dict[str, tuple[Metric, ...]] = {
        name: (
            share(
                "accuracy", [scores[row] for row in rows], chances=[chances[row] for row in rows]
            ),
        )
        for name, rows in found.items()
    }
    if spec.group_by is not None:
        names = [f"{spec.group_by}/{sample.group}" for sample in scored]
        groups |= share_per_group("accuracy", scores, names, chances=chances)
    sizes: dict[str, int] = {
        name: size for name, size in (settings.sizes or {}).items() if size is not None
    }
    notes = size_notes(found, sizes, settings.topics)
    return Scored(scored, metrics, groups, (*notes, *_notes(scored)))


def _notes(samples: Sequence[Sample]) -> Iterator[str]:
    drawn = sum(bool(sample.extra["fallback"]) for sample in samples)
    if drawn:
        yield f"{drawn} outputs could not be read, and an option was drawn for each (`drawn`)"
    tied = sum(_is_tied(sample) for sample in samples)
    if tied:
        yield f"{tied} questions have several options of the highest score, and the first was taken"
    written = sum(bool(sample.extra.get("as_written")) for sample in samples)
    if written:
        yield f"{written} answers are letters or texts of options, and were taken as such"
    if any(sample.extra.get(BY_ROW) for sample in samples):
        yield "the data have no official ids: records are called by their rows"


def _is_tied(sample: Sample) -> bool:
    scores = sample.extra.get("scores")
    return isinstance(scores, list) and scores.count(max(map(float, map(str, scores)))) > 1


def _judged(sample: Sample, spec: BenchmarkSpec, settings: ScienceQASettings) -> Sample:
    choices = _options(sample, spec)
    parsed = _parsed(sample, spec, settings, len(choices))
    fallback = parsed is None and "choice" not in sample.extra and spec.extraction in DRAWS
    extra: dict[str, JsonValue] = {
        **{key: value for key, value in sample.extra.items() if key != "drawn"},
        "parsed": parsed,
        "fallback": fallback and settings.fallback == "draw",
    }
    chosen = parsed
    if extra["fallback"]:
        chosen = drawn_index(sample.id, len(choices), seed=settings.seed)
        extra["drawn"] = chosen
    right = index_of(str(sample.answer), len(choices))
    score = float(chosen is not None and chosen == right)
    return sample.model_copy(update={"score": score, "extra": extra})


def _parsed(
    sample: Sample, spec: BenchmarkSpec, settings: ScienceQASettings, num_choices: int
) -> int | None:
    choice = sample.extra.get("choice")
    if isinstance(choice, int):
        return None if choice == UNREAD else choice
    output = str(sample.prediction)
    said = output.partition("\n")[0].strip() if settings.first_line else output
    return index_of(_policy_of(spec)(said), num_choices)


def _policy_of(spec: BenchmarkSpec) -> Callable[[str], str | None]:
    """Return how texts are read."""
    if spec.extraction == LETTER_LOGPROB:
        raise EvaluationError(
            f"{spec.name}: extraction {LETTER_LOGPROB} reads no texts: it needs scorer "
            "scienceqa_likelihood"
        )
    return pick(EXTRACTIONS, spec.extraction, kind="extraction")


def _require_letters(spec: BenchmarkSpec) -> None:
    if spec.extraction != LETTER_LOGPROB:
        raise EvaluationError(
            f"{spec.name}: extraction {spec.extraction!r} reads texts; scorer scienceqa_likelihood "
            f"has {LETTER_LOGPROB} alone"
        )


def _written(answer: str, choices: Sequence[str]) -> int | None:
    """Return the option that an answer is the letter or the text of."""
    place = index_of(answer.strip().upper(), len(choices)) if len(answer.strip()) == 1 else None
    if place is not None:
        return place
    plain = NORMALIZATIONS["plain"]
    same = [number for number, text in enumerate(choices) if plain(text) == plain(answer)]
    return same[0] if len(same) == 1 else None


def _options(sample: Sample, spec: BenchmarkSpec) -> list[str]:
    found = listed(sample.extra.get("choices"))
    if len(found) < 2:
        raise EvaluationError(f"{spec.name}, sample {sample.id}: expected `choices` in `extra`")
    return found


SCIENCEQA = Scorer(
    requires=(Generates,),
    ask=ask,
    read=read,
    score=score,
    from_text=from_text,
    from_scores=from_scores,
    from_choice=from_choice,
    official=predictions_of,
    settings=ScienceQASettings,
    score_policies=frozenset({LETTER_LOGPROB}),
)
SCIENCEQA_LIKELIHOOD = Scorer(
    requires=(Scores,),
    ask=ask_likelihood,
    read=read_likelihood,
    score=score,
    from_scores=from_scores,
    from_choice=from_choice,
    official=predictions_of,
    settings=ScienceQASettings,
    score_policies=frozenset({LETTER_LOGPROB}),
)
