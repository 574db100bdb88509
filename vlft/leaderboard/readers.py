"""All results below some folders, and every file that is none, with the reason."""

import json
import os
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from vlft.errors import EvaluationError, VlftError
from vlft.leaderboard import lmms_eval, mmeb, ours
from vlft.leaderboard.entries import Entry, Skipped
from vlft.results import REPORT_ENDING

LOGS, ABOUT = "logs", "about.json"
"""Folder and file of a measurement's log."""

TABLES = "tables"
"""Key of a leaderboard that vlft wrote."""


class Found(NamedTuple):
    """What folders hold.

    Attributes:
        entries: One or several per file with results.
        skipped: Every other JSON file.
    """

    entries: list[Entry]
    skipped: list[Skipped]


def read_results(places: Sequence[Path], *, out: Path | None = None) -> Found:
    """Read all results below folders; a bad file spoils nothing but itself.

    Args:
        places: Folders, or single files.
        out: Folder that is being written; what is in it is left out.

    Raises:
        EvaluationError: A place does not exist.
    """
    found = Found([], [])
    seen: set[Path] = set()
    for place in places:
        if not place.exists():
            raise EvaluationError(
                f"{place} is not there: name a folder with results, such as runs/mine/results"
            )
        for path in _files(place, found):
            real = path.resolve()
            if real in seen:
                continue
            seen.add(real)
            shown = _shown(path, place)
            if out is not None and real.is_relative_to(out.resolve()):
                found.skipped.append(_other(shown, "it lies in the folder that is written"))
                continue
            _read(path, shown, found)
    return found


def _read(path: Path, shown: str, found: Found) -> None:
    """Add what a file holds; logs and exports of ``vlft eval`` only repeat its results."""
    if path.name == ABOUT and LOGS in path.parts:
        return
    own = path.with_name(f"{path.name.removesuffix(REPORT_ENDING)}.json")
    if path.name.endswith(REPORT_ENDING) and own.is_file():
        return
    try:
        found.entries.extend(_entries(path, shown))
    except _NoResult as error:
        found.skipped.append(_other(shown, str(error)))
    except (VlftError, OSError, ValueError, RecursionError) as error:
        found.skipped.append(Skipped(file=shown, reason=_told(error, path, shown), damaged=True))


class _NoResult(Exception):  # noqa: N818  it is none, and need not be one
    """A file is some other JSON."""


def _entries(path: Path, shown: str) -> list[Entry]:
    try:
        values: Any = json.loads(path.read_text(encoding="utf-8"))
    except json.JSONDecodeError:
        return [ours.entry_of(path, shown)]  # says that it is cut off
    if not isinstance(values, dict):
        raise _NoResult("no result: its top level is no mapping")
    if "schema_version" in values and ("protocol" in values or "model" in values):
        return [ours.entry_of(path, shown)]
    if "schema_version" in values and TABLES in values:
        raise _NoResult("a leaderboard, not a result")
    if lmms_eval.is_lmms_eval(values):
        return _writable(lmms_eval.entries_of(values, path, shown))
    if mmeb.is_report(values):
        return _writable([mmeb.entry_of(values, path, shown)])
    raise _NoResult("no result of vlft, no report of MMEB, no result of lmms-eval")


def _writable(entries: list[Entry]) -> list[Entry]:
    """Refuse texts that no file can hold: JSON may spell the half of a character.

    Raises:
        EvaluationError: There is one.
    """
    for entry in entries:
        try:
            entry.model_dump_json()
        except ValueError:
            raise EvaluationError(f"{entry.file}: it holds text that is no Unicode") from None
    return entries


def _told(error: Exception, path: Path, shown: str) -> str:
    """Return what is wrong with a file, without its name."""
    if not isinstance(error, VlftError):
        return f"it cannot be read ({type(error).__name__})"
    told = str(error).replace(str(path), shown)
    return told.removeprefix(shown).removeprefix(":").strip()


def _other(shown: str, reason: str) -> Skipped:
    return Skipped(file=shown, reason=reason, damaged=False)


def _files(place: Path, found: Found) -> Iterator[Path]:
    """Give the JSON files below a folder in a fixed order, through links to folders, each once."""

    def unreadable(error: OSError) -> None:
        shown = _shown(Path(error.filename), place)
        found.skipped.append(Skipped(file=shown, reason=f"{error.strerror}", damaged=True))

    if place.is_file():
        yield place
        return
    visited: set[Path] = set()
    for root, folders, names in os.walk(place, onerror=unreadable, followlinks=True):
        real = Path(root).resolve()
        if real in visited:  # a link that leads back
            folders.clear()
            continue
        visited.add(real)
        folders.sort()
        yield from (Path(root) / name for name in sorted(names) if name.endswith(".json"))


def _shown(path: Path, place: Path) -> str:
    """Return a path as seen from the folder that the user named, with that folder's own name."""
    shown = path.name
    if path != place:
        shown = (Path(place.resolve().name) / path.relative_to(place)).as_posix()
    return os.fsencode(shown).decode("utf-8", errors="replace")  # names may hold any bytes
