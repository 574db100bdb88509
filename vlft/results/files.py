"""Results on disk: one JSON file per benchmark, and one line of JSON per sample beside it."""

import json
import re
from collections.abc import Sequence
from hashlib import sha256
from pathlib import Path
from typing import Any, TypeVar

from pydantic import ValidationError

from vlft.disk import replace_text, replace_texts, tell_full_disk
from vlft.errors import EvaluationError
from vlft.results.records import SCHEMA_VERSION, Record, Result, Sample

LONGEST_STEM = 160
"""Characters of a result's file name before its endings; file systems take 255 bytes in all."""

PLAIN = re.compile(r"\w[\w.]*(/\w[\w.]*)*(:[\w.]+=[\w.]+)*", re.ASCII)
"""Names, with or without values, that a file name tells apart: ``a=-1`` would look like ``a=1``."""


def file_stem(benchmark: str, *, limited: bool = False) -> str:
    """Return the name of a benchmark's files without ``.json`` and ``.samples.jsonl``.

    A limited result has a name of its own, so that it never takes the place of a full one. A name
    that is too long for a file system, or that others would look like, ends with a hash of the
    whole.

    Args:
        benchmark: Name of the benchmark, such as ``scenes/retrieval``.
        limited: Whether only a part of it was measured.
    """
    stem = re.sub(r"[^A-Za-z0-9_.]+", "-", benchmark).strip("-")
    if len(stem) > LONGEST_STEM or not PLAIN.fullmatch(benchmark):
        digest = sha256(benchmark.encode()).hexdigest()[:12]
        stem = f"{stem[: LONGEST_STEM - len(digest) - 1].rstrip('-')}-{digest}"
    return f"{stem}.limited" if limited else stem


def write_result(folder: Path, result: Result, samples: Sequence[Sample]) -> Path:
    """Write a result and its samples, replacing an older result of the same benchmark.

    Each file appears complete or not at all, the result last: one that can be read has its samples.
    Where there is no room for both, the older result stays.

    Args:
        folder: Such as ``runs/mine/results``; made when missing.
        result: The result; ``samples_file`` is filled in.
        samples: One per record and question.

    Returns:
        The result's path.

    Raises:
        RunDirectoryError: The disk is full.
    """
    folder.mkdir(parents=True, exist_ok=True)
    limited = result.protocol.ranking_key.coverage == "limited"
    name = file_stem(result.benchmark, limited=limited)
    path, listed = folder / f"{name}.json", folder / f"{name}.samples.jsonl"
    texts = {}
    if samples:
        texts[listed] = "".join(f"{sample.model_dump_json()}\n" for sample in samples)
        result = result.model_copy(update={"samples_file": listed.name})
    texts[path] = result.model_dump_json(indent=2) + "\n"
    with tell_full_disk(folder, what=path.name):
        replace_texts(texts)
    if not samples:
        listed.unlink(missing_ok=True)
    return path


REPORT_ENDING = ".report.json"
"""Ends the name of what ``write_export`` writes beside a result."""


def write_export(path: Path, content: Any) -> Path:
    """Write a result as somebody else's tools take it, beside our own file.

    Args:
        path: Path of the result.
        content: What to write, as plain values.

    Returns:
        The path of what was written.
    """
    export = path.with_name(f"{path.name.removesuffix('.json')}{REPORT_ENDING}")
    with tell_full_disk(export.parent, what=export.name):
        replace_text(export, json.dumps(content, indent=2) + "\n")
    return export


def read_result(path: Path) -> Result:
    """Read a result.

    Raises:
        EvaluationError: The file is missing, cut off, of another schema version, or no result.
    """
    if path.suffix != ".json":  # nobody should be told to remove it
        raise EvaluationError(f"{path} is no result of vlft: results are named `<benchmark>.json`")
    text = _text(path)
    try:
        values = json.loads(text)
    except json.JSONDecodeError as error:
        raise EvaluationError(
            f"{path} is cut off or no JSON (line {error.lineno}): remove it and evaluate again"
        ) from error
    version = values.get("schema_version") if isinstance(values, dict) else None
    if version is None:
        raise EvaluationError(f"{path} is no result of vlft: it has no schema_version")
    if version != SCHEMA_VERSION:
        raise EvaluationError(
            f"{path} has schema version {version}; this vlft reads {SCHEMA_VERSION}: "
            "use the version of vlft that wrote it, or evaluate again"
        )
    return _validated(Result, text, str(path))


def read_samples(path: Path) -> list[Sample]:
    """Read the samples of a result.

    Raises:
        EvaluationError: The file is missing, or a line of it is cut off or no sample.
    """
    return [
        _validated(Sample, line, f"{path}, line {number}")
        # not splitlines(): answers may hold other line separators of Unicode
        for number, line in enumerate(_text(path).removesuffix("\n").split("\n"), start=1)
    ]


AnyRecord = TypeVar("AnyRecord", bound=Record)


def _validated(kind: type[AnyRecord], text: str, where: str) -> AnyRecord:
    try:
        return kind.model_validate_json(text)
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        field = ".".join(map(str, first["loc"])) or "the whole"
        raise EvaluationError(
            f"{where} is no {kind.__name__.lower()} of vlft: {field}: {first['msg']}"
        ) from error


def _text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise EvaluationError(f"{path} cannot be read ({type(error).__name__})") from error
