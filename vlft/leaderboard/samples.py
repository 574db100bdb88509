"""Files with samples: brought to the page, so that it can link to them.

``copy`` puts them into ``samples/`` beside the page, which can then be published as one folder.
``link`` links to where they lie, relative to the page, for a page that stays on this machine.
"""

import hashlib
import os
import re
import shutil
from pathlib import Path
from typing import Literal

from vlft.disk import replace_file, tell_full_disk
from vlft.leaderboard.entries import Entry

How = Literal["copy", "link", "none"]

FOLDER = "samples"
ENDINGS = (".samples.jsonl", ".jsonl")
LONGEST = 120
"""Characters of a copy's name before its hash."""


def beside(result: Path, name: str) -> Path | None:
    """Return the file of samples of a result, if it is a plain file beside it.

    A result may come from anybody: it must not make us publish some other file.

    Args:
        result: File of the result.
        name: What it calls the file of its samples.
    """
    path = result.parent / name
    plain = Path(name).name == name and path.resolve().parent == result.parent.resolve()
    return path if plain and path.is_file() else None


def linked(entry: Entry, out: Path, how: How) -> Entry:
    """Return an entry whose ``samples`` is a link from the page.

    Args:
        entry: As it was read.
        out: Folder of the page.
        how: What to do with the file.

    Raises:
        RunDirectoryError: The disk is full.
    """
    if entry.samples is None or how == "none":
        return entry.model_copy(update={"samples": None})
    path = Path(entry.samples)
    if how == "link":
        found = Path(os.path.relpath(path.resolve(), out.resolve())).as_posix()
        link = found if _is_text(found) else None
    else:
        link = f"{FOLDER}/{_copy(path, out / FOLDER)}"
    return entry.model_copy(update={"samples": link})


def _is_text(name: str) -> bool:
    """Whether a name can be written down: the name of a file may hold any bytes."""
    try:
        name.encode()
    except UnicodeEncodeError:
        return False
    return True


def _copy(path: Path, folder: Path) -> str:
    """Copy a file under a name that its content decides, unless it is there; return the name."""
    with path.open("rb") as file:
        digest = hashlib.file_digest(file, "sha256").hexdigest()[:12]
    stem = path.name
    for ending in ENDINGS:
        stem = stem.removesuffix(ending)
    stem = re.sub(r"[^A-Za-z0-9_.-]+", "-", stem)[:LONGEST]
    target = folder / f"{stem}-{digest}.samples.jsonl"
    if not target.is_file():
        folder.mkdir(parents=True, exist_ok=True)
        with tell_full_disk(folder, what=target.name):
            replace_file(target, lambda part: _fill(path, part))
    return target.name


def _fill(path: Path, part: Path) -> None:
    shutil.copyfile(path, part)
