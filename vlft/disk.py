"""Files that appear complete or not at all, and a full disk told in one line."""

import errno
import os
import shutil
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from vlft.errors import RunDirectoryError

FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
"""What the system says when there is no room: disk full, quota used up, file too large."""


WRITERS = ("PytorchStreamWriter failed writing", "basic_ios::clear", ". unexpected pos ")
"""How torch's writers say that a file could not be written; they do not tell why."""


@contextmanager
def tell_full_disk(folder: Path, *, what: str, hint: str = "") -> Iterator[None]:
    """Turn a full disk into one line on how much is free and what is safe.

    Args:
        folder: Where is written.
        what: What is written, for the message.
        hint: How to go on.

    Raises:
        RunDirectoryError: There is no room.
    """
    try:
        yield
    except Exception as error:
        if not is_full(error):
            raise
        raise RunDirectoryError(
            f"no room on the disk of {folder} to write {what} ({free_bytes(folder):,} bytes are "
            f"free): make room, or write elsewhere. {hint}".rstrip()
        ) from error


def writable(folder: Path, *, what: str) -> Path:
    """Return a folder that can be written to, made when it is missing.

    Args:
        folder: The folder.
        what: What is to be written, for the message.

    Raises:
        RunDirectoryError: It is none.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        if not os.access(folder, os.W_OK):
            raise PermissionError(errno.EACCES, os.strerror(errno.EACCES))
    except OSError as error:
        raise RunDirectoryError(
            f"{what} cannot be written to {folder} ({error.strerror}): name another folder with "
            "--out"
        ) from error
    return folder


def is_full(error: BaseException | None) -> bool:
    """Whether an error, or one that it came from, says that there is no room on a disk.

    safetensors and torch raise errors of their own: the one with the system's number in the text,
    the other with what its writer stumbled over.
    """
    while error is not None:
        if isinstance(error, OSError) and error.errno in FULL:
            return True
        text = str(error)
        said = (*WRITERS, *(f"os error {number}" for number in FULL))
        if any(words in text for words in said):
            return True
        error = error.__cause__ or error.__context__
    return False


def free_bytes(folder: Path) -> int:
    """Return the bytes that may be written below a folder, which need not exist yet."""
    existing = next(path for path in (folder, *folder.absolute().parents) if path.exists())
    return shutil.disk_usage(existing).free


def replace_file(path: Path, write: Callable[[Path], None]) -> None:
    """Write a file under another name, onto the disk, and give it its name then.

    Whoever reads sees the old file or the whole new one, also after a crash.

    Args:
        path: The file.
        write: Writes the content to the path it is given.
    """
    part = path.with_name(f".{path.name}.part")
    try:
        write(part)
        _sync(part)
        part.replace(path)
    finally:
        part.unlink(missing_ok=True)


def replace_text(path: Path, text: str) -> None:
    """Write a text file so that it appears complete or not at all."""
    replace_file(path, lambda part: _write(part, text))


def replace_texts(texts: Mapping[Path, str]) -> None:
    """Write text files that belong together, under their names only when all are on the disk.

    The last one is away while the others change: while it can be read, it belongs to them.
    """
    parts = {path: path.with_name(f".{path.name}.part") for path in texts}
    try:
        for path, part in parts.items():
            _write(part, texts[path])
            _sync(part)
        [*_, last] = texts
        last.unlink(missing_ok=True)
        for path, part in parts.items():
            part.replace(path)
    finally:
        for part in parts.values():
            part.unlink(missing_ok=True)


def _sync(path: Path) -> None:
    with path.open("rb") as file:
        os.fsync(file.fileno())


def _write(path: Path, text: str) -> None:
    path.write_text(text, encoding="utf-8")


CACHE = "VLFT_CACHE"
"""Variable that names the folder of files that can be made again."""


def cache_folder() -> Path:
    """Return the folder of files that can be made again; it need not exist yet."""
    return Path(os.environ.get(CACHE) or Path.home() / ".cache" / "vlft").expanduser()
