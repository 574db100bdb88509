"""Predictions made elsewhere, scored without a model.

Read are, for every benchmark whose scorer knows what to do with them:

- JSON Lines, or a list: ``{"id": ..., "answer": "B"}``
- the same with ``{"id": ..., "scores": [0.1, 0.7]}``, one number per option in the official order
- a list of ``{"image_id": ..., "caption": "..."}``, as COCO's evaluation takes it
- what the benchmark's own tools write (ScienceQA's result files, MMEB's reports)
"""

import json
from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime
from math import inf
from pathlib import Path
from time import perf_counter
from typing import Any

from pydantic import JsonValue

from vlft.data import open_dataset
from vlft.data.records import Record
from vlft.errors import EvaluationError, near
from vlft.evaluation.benchmark import BenchmarkSpec
from vlft.evaluation.driver import (
    Evaluated,
    notes_on_revision,
    notes_on_size,
    ranking_key,
    require_different_ids,
    score_samples,
    scorer_of,
)
from vlft.evaluation.light import light_record
from vlft.evaluation.places import placed
from vlft.evaluation.scorer import Prediction
from vlft.results import ModelIdentity, Protocol, Result, Sample

_LISTED = 3  # ids that a message names

WAYS = {"text": "answer", "scores": "scores", "choice": "choice"}
"""Field of a prediction to the key of a row that holds it."""

IDS = ("id", "image_id")
TEXTS = ("answer", "caption", "prediction")


def score_predictions(
    path: Path,
    spec: BenchmarkSpec,
    *,
    data: str | None = None,
    policy: str | None = None,
    partial: bool = False,
    name: str | None = None,
) -> Evaluated:
    """Score a file of predictions, or take a report as it is.

    Args:
        path: The file.
        spec: The benchmark.
        data: Where its data are, as for ``placed``.
        policy: How texts become answers, instead of the benchmark's ``extraction``.
        partial: Leave out predictions without a record and records without a prediction, and mark
            the result.
        name: What the result calls the model; None: the file.

    Raises:
        EvaluationError: The file is no such file, ids are missing, unknown or double, or a
            prediction does not fit its record.
        DataError: The data cannot be read.
    """
    start, began = perf_counter(), datetime.now(UTC).isoformat(timespec="seconds")
    content = read_content(path)
    identity = ModelIdentity(name=name or str(path), source={"predictions": path.name})
    report = scorer_of(spec).report
    reported = None if report is None else report(content, spec)
    recorded: dict[str, JsonValue] = {"predictions": path.name}
    samples: Sequence[Sample] = ()
    notes: tuple[str, ...] = ()
    if reported is not None:
        scored, revision, limited = reported.scored, "as reported", not reported.complete
        identity = identity.model_copy(update={"name": name or reported.name or str(path)})
    else:
        predictions = parsed(content, spec, policy)
        if policy not in (None, *FILE_POLICIES):
            _require_use(policy, predictions, spec)
            spec = spec.model_copy(update={"extraction": policy})
        spec = placed(spec, data)
        records = _records(spec)
        fitting = matched(predictions, records, spec, partial=partial)
        notes = (*notes_on_size(spec, len(records)), *_left_out(fitting, records, predictions))
        limited = bool(notes)
        notes = (*notes, *notes_on_revision(spec))
        scored = score_samples([_sample(*one, spec) for one in fitting], spec)
        revision, samples = spec.dataset_revision, scored.samples
        spec = spec.model_copy(update={"extraction": _extraction(fitting, spec)})
    key = ranking_key(spec, via=None, revision=revision, limited=limited)
    result = Result(
        metrics=tuple(scored.metrics),
        groups=scored.groups,
        notes=(*notes, *scored.notes),
        protocol=Protocol(
            ranking_key=key.model_copy(update={"decoding": "unknown: predictions made elsewhere"}),
            recorded=recorded,
        ),
        model=identity,
        date=began,
        seconds=perf_counter() - start,
    )
    return Evaluated(result, list(samples))


def _require_use(
    policy: str | None, predictions: Sequence[Prediction], spec: BenchmarkSpec
) -> None:
    """Refuse a policy that has nothing to read: the result would be named after it.

    Raises:
        EvaluationError: The file holds no texts.
    """
    ours = scorer_of(spec).score_policies
    known = policy == spec.extraction or policy in ours
    if predictions and not known and all(one.text is None for one in predictions):
        other = f", or name {' or '.join(sorted(ours))}" if ours else ""
        raise EvaluationError(
            f"--policy {policy} says how texts are read, and the file holds scores or indices: "
            f"leave it out{other}"
        )


def _extraction(fitting: Sequence[tuple[Record, Prediction]], spec: BenchmarkSpec) -> str:
    """Return how predictions became answers: what was not read as text does not rank with texts."""
    if spec.extraction == "none" or spec.extraction in scorer_of(spec).score_policies:
        return spec.extraction
    ways = {"text": spec.extraction, "scores": "highest score", "choice": "index as recorded"}
    return " and ".join(
        way
        for field, way in ways.items()
        if any(getattr(one, field) is not None for _, one in fitting)
    )


FILE_POLICIES = ("results", "outputs")
"""Policies that choose a part of an official result file, and do not say how a text is read."""


def read_content(path: Path) -> Any:
    """Return the content of a JSON or JSON Lines file; of the latter, a list.

    Raises:
        EvaluationError: The file cannot be read, or is neither.
    """
    try:
        text = path.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        raise EvaluationError(
            f"--predictions: {path} cannot be read ({type(error).__name__})"
        ) from error
    if path.suffix in (".jsonl", ".ndjson"):
        return list(_lines(text, path))
    try:
        return _loaded(text, str(path))
    except json.JSONDecodeError as error:
        lines = text.strip().splitlines()
        if len(lines) > 1 and lines[0].rstrip().endswith("}"):
            return list(_lines(text, path))
        raise EvaluationError(
            f"--predictions: {path} is cut off or no JSON (line {error.lineno}: {error.msg})"
        ) from error


def parsed(content: Any, spec: BenchmarkSpec, policy: str | None) -> list[Prediction]:
    """Return the predictions of a file.

    Raises:
        EvaluationError: It has none of the forms that are read, or it is not clear what in it the
            model said.
    """
    if isinstance(content, list):
        _require_one_text(content)
    official = scorer_of(spec).official
    found = None if official is None else official(content, policy)
    if found is not None:
        return found
    if policy in FILE_POLICIES:
        raise EvaluationError(
            f"--policy {policy} chooses a part of an official result file, and this one is none: "
            "leave it out, or name how texts are read"
        )
    if not isinstance(content, list):
        kind = type(content).__name__
        raise EvaluationError(
            f"--predictions: found {kind}, expected rows such as "
            '{"id": "1", "answer": "B"} or {"id": "1", "scores": [0.1, 0.7]}'
        )
    return [_row(row, number) for number, row in enumerate(content, start=1)]


def matched(
    predictions: Sequence[Prediction],
    records: Sequence[Record],
    spec: BenchmarkSpec,
    *,
    partial: bool,
) -> list[tuple[Record, Prediction]]:
    """Return records with their predictions, in the order of the records.

    Raises:
        EvaluationError: An id comes twice, or (without ``partial``) one has no record, or a record
            no prediction.
    """
    require_different_ids([one.id for one in predictions], spec, what="predictions")
    by_id = {prediction.id: prediction for prediction in predictions}
    ids = [record.id for record in records]
    known = set(ids)
    strangers = [name for name in by_id if name not in known]
    missing = [name for name in ids if name not in by_id]
    if not partial and (strangers or missing):
        raise EvaluationError(f"{spec.name}: {_unmatched(strangers, missing, ids)}")
    fitting = [(record, by_id[record.id]) for record in records if record.id in by_id]
    if not fitting:
        raise EvaluationError(f"{spec.name}: {_unmatched(strangers, missing, ids)}")
    return fitting


def _left_out(
    fitting: Sequence[object], records: Sequence[object], predictions: Sequence[object]
) -> Iterator[str]:
    """Say what ``--partial`` left out."""
    if len(fitting) < len(records):
        lacking = _many(len(records) - len(fitting), "record")
        yield f"{lacking} no prediction: the result is limited"
    if len(fitting) < len(predictions):
        over = _many(len(predictions) - len(fitting), "prediction")
        yield f"{over} no record: the result is limited"


def _unmatched(strangers: Sequence[str], missing: Sequence[str], ids: Sequence[str]) -> str:
    found = []
    if strangers:
        guess = near(strangers[0], ids)
        hint = f"; is {guess!r} meant?" if guess else ""
        found.append(f"{_many(len(strangers), 'prediction')} no record ({_some(strangers)}{hint})")
    if missing:
        found.append(f"{len(missing)} of {len(ids)} records have no prediction ({_some(missing)})")
    return (
        f"{' and '.join(found)}: check that file and data belong together, or score what fits with "
        "--partial, which marks the result"
    )


def _many(count: int, what: str) -> str:
    return f"{count} {what} has" if count == 1 else f"{count} {what}s have"


def _some(names: Sequence[str]) -> str:
    return ", ".join(names[:_LISTED]) + (", ..." if len(names) > _LISTED else "")


def _records(spec: BenchmarkSpec) -> list[Record]:
    records = open_dataset(spec.data)
    found = [
        light_record(records, index, max_pixels=spec.max_image_pixels)
        for index in range(len(records))
    ]
    require_different_ids([record.id for record in found], spec)
    return found


def _sample(record: Record, prediction: Prediction, spec: BenchmarkSpec) -> Sample:
    scorer = scorer_of(spec)
    makers = {
        "text": scorer.from_text,
        "scores": scorer.from_scores,
        "choice": scorer.from_choice,
    }
    given = next(field for field in makers if getattr(prediction, field) is not None)
    make = makers[given]
    if make is None:
        wanted = [f"`{WAYS[field]}`" for field, maker in makers.items() if maker is not None]
        raise EvaluationError(
            f"{spec.name}, prediction {prediction.id}: found `{WAYS[given]}`, expected "
            f"{' or '.join(wanted) or 'nothing: its scorer takes no predictions'}"
        )
    return make(record, getattr(prediction, given), spec)


def _lines(text: str, path: Path) -> Iterator[Any]:
    for number, line in enumerate(text.split("\n"), start=1):
        if not line.strip():
            continue
        try:
            yield _loaded(line, f"{path}, line {number}")
        except json.JSONDecodeError as error:
            raise EvaluationError(
                f"--predictions: {path}, line {number} is cut off or no JSON ({error.msg}): "
                "complete it, or remove it and use --partial"
            ) from error


def _real(value: int | float) -> float:
    try:
        return float(value)
    except OverflowError:
        return inf


def _loaded(text: str, where: str) -> Any:
    """Return what JSON holds, unless an object has one key twice: of two ids one would be lost.

    Raises:
        json.JSONDecodeError: It is no JSON.
        EvaluationError: A key comes twice, or there is something that no tool would write.
    """

    def once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        found = dict(pairs)
        if len(found) < len(pairs):
            keys = [key for key, _ in pairs]
            twice = next(key for key in found if keys.count(key) > 1)
            raise EvaluationError(
                f"--predictions: {where}: one object has the key {twice!r} twice; keep one of them"
            )
        return found

    try:
        return json.loads(text, object_pairs_hook=once)
    except json.JSONDecodeError:
        raise
    except (RecursionError, ValueError) as error:
        raise EvaluationError(
            f"--predictions: {where} holds lists too deep in each other, or a number of thousands "
            "of digits"
        ) from error


def _require_one_text(rows: Sequence[Any]) -> None:
    """Refuse rows that hold the right answer beside what the model said.

    Raises:
        EvaluationError: There are two texts in a row, as in the sample files of results.
    """
    for number, row in enumerate(rows, start=1):
        found = [key for key in TEXTS if key in row] if isinstance(row, Mapping) else []
        if len(found) > 1:
            names = " and ".join(f"`{key}`" for key in found)
            raise EvaluationError(
                f"--predictions: row {number} has {names}: keep what the model said, as `answer`, "
                "and leave the right answer out (in a file of samples the model said `prediction`)"
            )


def _row(row: Any, number: int) -> Prediction:
    where = f"--predictions: row {number}"
    if not isinstance(row, Mapping):
        raise EvaluationError(f"{where}: found {type(row).__name__}, expected an object")
    if not any(key in row for key in IDS):
        raise EvaluationError(f"{where}: found no `id`; there is: {', '.join(map(str, row))}")
    field = next(key for key in IDS if key in row)
    named = row[field]
    if not isinstance(named, str | int) or isinstance(named, bool):
        raise EvaluationError(f"{where}: `{field}` is {named!r}, expected a text or a whole number")
    text = next((row[key] for key in TEXTS if key in row), None)
    scores, choice = row.get("scores"), row.get("choice")
    if isinstance(text, str) and scores is None and choice is None:
        return Prediction(str(named), text=text)
    numbers = isinstance(scores, list) and all(
        isinstance(value, int | float) and not isinstance(value, bool) for value in scores
    )
    if text is None and choice is None and isinstance(scores, list) and numbers:
        return Prediction(str(named), scores=tuple(map(_real, scores)))
    if isinstance(text, int) and choice is None:
        text, choice = None, text
    index = isinstance(choice, int) and not isinstance(choice, bool)
    if text is None and scores is None and index:
        return Prediction(str(named), choice=choice)
    raise EvaluationError(
        f"{where} (id {named}): expected one of `answer` (text), `scores` (numbers) and `choice` "
        f"(index); there is: {', '.join(map(str, row))}"
    )
