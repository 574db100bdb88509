"""Result files of ScienceQA's harnesses.

    official, LLaVA     {"acc": ..., "results": {id: index}, "outputs": {id: text}, ...}
    LLaVA, by verdict   {"correct": [{"question_id", "parsed_ans", "pred"}, ...], "incorrect": ...}
    LLaVA, answers      rows of {"question_id": ..., "text": ...}

An index is what the harness made of the output, drawn at random where it could not read it
(official), or -1 (LLaVA): an official run cannot be scored again from its texts, so indices win.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from vlft.errors import EvaluationError
from vlft.evaluation.scienceqa.extraction import index_of
from vlft.evaluation.scorer import Prediction

UNREAD = -1
"""Index that stands for an output which could not be read."""

_IDS = ("question_id", "id")
_TEXTS = ("text", "answer", "output", "prediction")
_BESIDE = {"scores", "choice"}  # with a text beside them it is not clear what was answered


class Output(str):
    """What a model said, word for word: only the policy reads it."""

    __slots__ = ()


def predictions_of(content: Any, policy: str | None) -> list[Prediction] | None:
    """Return the predictions of a result file, or None where it is none.

    Args:
        content: What JSON gives.
        policy: None or ``results``: the recorded indices; else the texts.

    Raises:
        EvaluationError: The file lacks what the policy asks for, or holds no index or text where
            one belongs.
    """
    if isinstance(content, Mapping):
        if "results" in content or "outputs" in content:
            return _from_results(content, policy)
        if isinstance(content.get("correct"), list) and isinstance(content.get("incorrect"), list):
            return _by_verdict([*content["correct"], *content["incorrect"]], policy)
        return None
    if not isinstance(content, list) or not content:
        return None
    return _from_rows(content, policy)


def _from_results(content: Mapping[str, Any], policy: str | None) -> list[Prediction]:
    indices = policy in (None, "results")
    key = "results" if indices else "outputs"
    values = content.get(key)
    if isinstance(values, list) and not indices:
        rows = _from_rows(values, "outputs")
        if rows is not None:
            return rows
    if not isinstance(values, Mapping):
        raise EvaluationError(
            f"--predictions: expected `{key}`, an object by id; there is: "
            f"{', '.join(map(str, content))}; choose with --policy results or outputs"
        )
    make = _chosen if indices else _said
    return [make(str(name), value) for name, value in values.items()]


def _by_verdict(rows: Sequence[Any], policy: str | None) -> list[Prediction]:
    if policy not in (None, "results"):
        return _all(rows, "pred", _said)

    def parsed(name: str, letter: Any) -> Prediction:
        place = index_of(letter if isinstance(letter, str) else None, len("ABCDE"))
        return Prediction(name, choice=UNREAD if place is None else place)

    return _all(rows, "parsed_ans", parsed)


def _from_rows(rows: Sequence[Any], policy: str | None) -> list[Prediction] | None:
    """Return outputs in rows; rows of other forms, and answers without a policy, are not for us."""
    first = rows[0] if isinstance(rows[0], Mapping) else {}
    text = next((key for key in _TEXTS if isinstance(first.get(key), str)), None)
    named = any(key in first for key in _IDS)
    if text is None or not named or policy == "results" or _BESIDE.intersection(first):
        return None
    if text != "text" and policy is None:
        return None
    return _all(
        rows, text, lambda name, value: (_chosen if _is_index(value) else _said)(name, value)
    )


def _is_index(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


def _all(rows: Sequence[Any], key: str, make: Callable[[str, Any], Prediction]) -> list[Prediction]:
    found = []
    for number, row in enumerate(rows, start=1):
        named = (
            next((row[name] for name in _IDS if name in row), None)
            if isinstance(row, Mapping)
            else None
        )
        if named is None or key not in row:
            raise EvaluationError(
                f"--predictions: row {number}: found {row!r:.60}, expected `question_id` and "
                f"`{key}`"
            )
        found.append(make(str(named), row[key]))
    return found


def _chosen(name: str, value: Any) -> Prediction:
    try:
        # upstream passes it through int() as well, so texts of digits occur
        index = int(value) if isinstance(value, int | str) else None
    except ValueError:
        index = None
    if index is None or isinstance(value, bool):
        raise EvaluationError(
            f"--predictions: results of {name}: found {value!r}, expected the index of an option"
        )
    return Prediction(name, choice=index)


def _said(name: str, value: Any) -> Prediction:
    if not isinstance(value, str):
        raise EvaluationError(f"--predictions: output of {name}: found {value!r}, expected text")
    return Prediction(name, text=Output(value))
