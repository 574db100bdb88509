"""Entries from result files of lmms-eval.

Layout (lmms_eval/loggers/evaluation_tracker.py, lmms_eval/evaluator.py): ``results`` maps a task or
a group of tasks to ``alias`` and to values under ``metric,filter``, with standard errors under
``metric_stderr,filter`` (and ``_stderr_clt``, ``_stderr_clustered``), which may be the text
``N/A``. Beside it stand ``configs``, ``versions``, ``n-shot``, ``higher_is_better`` and
``n-samples`` (``original`` and ``effective``) by task, ``config`` (model, arguments, limit) and
what the run was: ``model_name``, ``date``, ``total_evaluation_time_seconds``.
lm-evaluation-harness writes the same layout.

A task that was read in several ways (filters) gives an entry per way: filters are how an output
becomes an answer. The task's first metric is the main one, the others follow.
"""

import json
import math
import re
from collections import defaultdict
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from statistics import NormalDist
from typing import Any, Literal

from vlft.errors import EvaluationError
from vlft.leaderboard.entries import Entry, Number, Span
from vlft.leaderboard.samples import beside
from vlft.results import ModelIdentity
from vlft.results.statistics import LEVEL

ERRORS = ("_stderr", "_stderr_clt", "_stderr_clustered")
"""Endings of the names of standard errors."""

RESULTS = "_results.json"
SECRET = re.compile(r"""(\b\w*(?:api_?key|secret|password|token)\b["']?\s*[=:]\s*)[^,\s}]+""", re.I)
"""An argument that nobody wants to publish; the plural, as in ``max_new_tokens``, is none."""

SIGNS = ("versions", "configs", "config", "n-shot", "n-samples", "lmms_eval_version")
"""One of these stands beside ``results``."""


def is_lmms_eval(values: Any) -> bool:
    """Whether a JSON file has this layout."""
    if not isinstance(values, dict) or not isinstance(values.get("results"), dict):
        return False
    tasks = values["results"].values()
    return any(sign in values for sign in SIGNS) and all(isinstance(task, dict) for task in tasks)


def entries_of(values: Mapping[str, Any], path: Path, shown: str) -> list[Entry]:
    """Return an entry per task and filter.

    Args:
        values: The file's content.
        path: The file; samples are looked for beside it.
        shown: What the leaderboard calls it.

    Raises:
        EvaluationError: No task has a number.
    """
    entries = [
        _entry(values, task, name, numbers, path, shown)
        for task, results in values["results"].items()
        for name, numbers in _numbers(values, task, results).items()
    ]
    if not entries:
        raise EvaluationError(f"{shown}: a result of lmms-eval in which no task has a number")
    return entries


def _entry(
    values: Mapping[str, Any],
    task: str,
    name: str,
    numbers: list[Number],
    path: Path,
    shown: str,
) -> Entry:
    config, run = _part(values, "configs", task), _part(values, "config")
    status, reason = _coverage(values, task)
    version = _of(values, "versions", task)
    key: dict[str, str | int | None] = {
        "made_by": "lmms-eval",
        "benchmark": f"lmms-eval/{task}",
        "benchmark_version": "not recorded" if version is None else str(version),
        "dataset_revision": _data(config),
        "prompt_format": _prompt(values, config, task),
        "extraction": name,
        "decoding": _decoding(config, run),
        "metric": numbers[0].name,
        "direction": numbers[0].direction,
    }
    made_by = values.get("lmms_eval_version")
    recorded = {
        name: values[name]
        for name in ("lmms_eval_version", "git_hash", "chat_template_sha", "model_source")
        if values.get(name) not in (None, "")
    }
    arguments = run.get("model_args")
    if arguments in (None, ""):
        arguments = None
    else:
        arguments = _without_secrets(arguments if isinstance(arguments, str) else _json(arguments))
        recorded["model_args"] = arguments
    digest = _of(values, "task_hashes", task)
    if digest:
        recorded["task_hash"] = digest
    model = values.get("model_name") or arguments or run.get("model") or "unknown model"
    samples = beside(path, f"{path.name.removesuffix(RESULTS)}_samples_{task}.jsonl")
    return Entry(
        origin="lmms_eval",
        status=status,
        key=key,
        numbers=tuple(numbers),
        model=ModelIdentity(name=model if isinstance(model, str) else _json(model)),
        recorded=recorded,
        date=_date(values.get("date")),
        seconds=_seconds(values),
        source="lmms-eval" if made_by is None else f"lmms-eval {made_by}",
        file=shown,
        samples=None if samples is None else str(samples),
        reason=reason,
    )


def _numbers(
    values: Mapping[str, Any], task: str, results: Mapping[str, Any]
) -> dict[str, list[Number]]:
    """Return the numbers of a task by filter, in the order of the task's own list of metrics."""
    found: dict[str, list[Number]] = defaultdict(list)
    for key, value in results.items():
        metric, comma, name = key.rpartition(",")
        if not comma or metric.endswith(ERRORS) or _finite(value) is None:
            continue
        found[name].append(
            Number(
                name=metric,
                value=float(value),
                direction=_direction(values, task, metric),
                n=_size(values, task),
                interval=_interval(float(value), results, metric, name),
            )
        )
    listed = _part(values, "configs", task).get("metric_list")
    metrics = listed if isinstance(listed, list) else []
    order = [one.get("metric") for one in metrics if isinstance(one, dict)]
    for numbers in found.values():
        numbers.sort(
            key=lambda one: order.index(one.name) if one.name in order else len(order)
        )  # stable: others keep the order of the file
    return found


def _interval(value: float, results: Mapping[str, Any], metric: str, name: str) -> Span | None:
    errors = (_finite(results.get(f"{metric}{ending},{name}")) for ending in ERRORS)
    error = next((one for one in errors if one is not None), None)
    if error is None or error < 0:
        return None
    half = NormalDist().inv_cdf(0.5 + LEVEL / 2) * error
    return Span(method="standard error", level=LEVEL, low=value - half, high=value + half)


def _direction(
    values: Mapping[str, Any], task: str, metric: str
) -> Literal["higher", "lower"] | None:
    higher = _part(values, "higher_is_better", task).get(metric)
    if not isinstance(higher, bool):
        return None
    return "higher" if higher else "lower"


def _size(values: Mapping[str, Any], task: str) -> int | None:
    sizes = [_part(values, "n-samples", name).get("effective") for name in _leaves(values, task)]
    whole = [size for size in sizes if isinstance(size, int) and size >= 0]
    return sum(whole) if whole and len(whole) == len(sizes) else None


def _coverage(
    values: Mapping[str, Any], task: str
) -> tuple[Literal["full", "limited"], str | None]:
    """Say whether the whole set was measured."""
    limit = _part(values, "config").get("limit")
    if _finite(limit) not in (None, -1):
        return "limited", f"limited to {limit} by its settings"
    for name in _leaves(values, task):
        sizes = _part(values, "n-samples", name)
        effective, original = sizes.get("effective"), sizes.get("original")
        if effective is None or original is None:
            return "limited", "the file does not say whether the whole set was measured"
        if effective != original:
            return "limited", f"{effective} of {original} samples of {name}"
    return "full", None


def _leaves(values: Mapping[str, Any], task: str, above: tuple[str, ...] = ()) -> list[str]:
    """Return the tasks of a group, which may hold groups; for a task, itself."""
    members = _of(values, "group_subtasks", task)
    if not isinstance(members, list) or not members or task in above:
        return [task]
    names = [str(member) for member in members]
    return [leaf for name in names for leaf in _leaves(values, name, (*above, task))]


def _data(config: Mapping[str, Any]) -> str:
    place = [str(config[key]) for key in ("dataset_path", "dataset_name") if config.get(key)]
    split = config.get("test_split") or config.get("validation_split")
    revision = _part(config, "dataset_kwargs").get("revision")
    parts = [
        "/".join(place) or "not recorded",
        *([f"split {split}"] if split else []),
        f"revision {revision}" if revision else "revision not recorded",
    ]
    return ", ".join(parts)


def _prompt(values: Mapping[str, Any], config: Mapping[str, Any], task: str) -> str:
    """Return what is known of the prompt: examples, instructions, texts before and after."""
    texts = _part(config, "lmms_eval_specific_kwargs")
    # What holds for the model at hand stands on the top level, beside the texts of other models.
    chosen = {key: text for key, text in texts.items() if not isinstance(text, dict)} or texts
    system, shots = values.get("system_instruction_sha"), _of(values, "n-shot", task)
    parts = [
        "shots not recorded" if shots is None else f"{shots}-shot",
        *([_json(chosen)] if chosen else []),
        *([f"system instruction {str(system)[:8]}"] if system else []),
    ]
    return ", ".join(parts)


def _decoding(config: Mapping[str, Any], run: Mapping[str, Any]) -> str:
    kind = str(config.get("output_type") or "not recorded")
    settings = _part(config, "generation_kwargs")
    given = run.get("gen_kwargs")
    parts = [kind, *([_json(settings)] if settings else []), *([_json(given)] if given else [])]
    return ", ".join(parts)


def _date(value: Any) -> str | None:
    """Return a date as ISO 8601: the file has ``20260922_165022`` or seconds since 1970."""
    if isinstance(value, str):
        try:
            return datetime.strptime(value, "%Y%m%d_%H%M%S").isoformat()  # noqa: DTZ007  local time
        except ValueError:
            return value or None
    seconds = _finite(value)
    if seconds is None or not 0 <= seconds < 1e11:
        return None
    return datetime.fromtimestamp(seconds, UTC).isoformat(timespec="seconds")


def _seconds(values: Mapping[str, Any]) -> float | None:
    """Return the time of the run, where it measured one task only."""
    try:
        seconds = float(values.get("total_evaluation_time_seconds") or "nan")
    except (TypeError, ValueError):
        return None
    alone = len(values["results"]) == 1
    return seconds if alone and math.isfinite(seconds) and seconds >= 0 else None


def _part(values: Mapping[str, Any], *keys: str) -> Mapping[str, Any]:
    """Return a mapping below keys; an empty one where there is none."""
    found: Any = values
    for key in keys:
        found = found.get(key) if isinstance(found, dict) else None
    return found if isinstance(found, dict) else {}


def _of(values: Mapping[str, Any], key: str, task: str) -> Any:
    return _part(values, key).get(task)


def _without_secrets(arguments: str) -> str:
    return SECRET.sub(r"\1***", arguments)


def _finite(value: Any) -> float | None:
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    try:
        number = float(value)
    except OverflowError:
        return None
    return number if math.isfinite(number) else None


def _json(value: Any) -> str:
    return json.dumps(value, sort_keys=True, ensure_ascii=False, default=str)
