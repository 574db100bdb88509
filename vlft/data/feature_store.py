"""Rows of features on disk by the hash of what they were made of, read through the file's pages.

    rows.bin     the rows, one after the other
    index        one line per image: the hash, and how many rows it has
    sources      one line per image: the hash of its file and preparation, that of its rows, width
                 and height
    name         drawn when the store was made: another one after it was deleted and made again

Rows count when their line is complete, and the line is written after them: a kill loses the rows of
one append at most. An image is found by its source without being prepared again.
"""

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple
from uuid import uuid4

import numpy as np
import torch
from filelock import FileLock
from jaxtyping import Shaped
from torch import Tensor

from vlft.disk import free_bytes, replace_text, tell_full_disk
from vlft.errors import DataError

ROWS, INDEX, SOURCES, LOCK, NAME = "rows.bin", "index", "sources", "lock", "name"

MARGIN = 64 * 2**20
"""Bytes that are left free on the disk."""


class Seen(NamedTuple):
    """An image that was prepared before.

    Attributes:
        key: Of its rows.
        width: In pixels, as the processor got it; 1 where nothing follows from it.
        height: The same.
    """

    key: str
    width: int
    height: int


class _Place(NamedTuple):
    start: int
    count: int


class FeatureStore:
    """Features of one kind, in float16: one row or several for each image.

    Args:
        folder: Of this kind alone; made when missing.
        shape: Of a row.
    """

    def __init__(self, folder: Path, shape: Sequence[int]) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self.folder = folder
        self.shape = tuple(shape)
        self.row_bytes = 2 * int(np.prod(self.shape))
        self._place: dict[str, _Place] = {}
        self._num_rows = 0
        self._seen: dict[str, Seen] = {}
        self._mapped: np.memmap | None = None
        with FileLock(folder / LOCK):
            if not (folder / NAME).is_file():
                replace_text(folder / NAME, uuid4().hex)
        self._name = self._read_name()
        self.reload()

    def __getstate__(self) -> dict[str, Any]:
        # or a worker would be sent all rows, and what only the filling needs
        return {**self.__dict__, "_mapped": None, "_seen": {}}

    def reload(self) -> None:
        """Read what is there, also what another process has added."""
        self._read_index()
        self._read_sources()

    def __contains__(self, key: str) -> bool:
        return key in self._place

    @property
    def num_rows(self) -> int:
        """How many rows are there."""
        return self._num_rows

    @property
    def has_sources(self) -> bool:
        """Whether any image can be found by its source."""
        return bool(self._seen)

    def seen(self, source: str) -> Seen | None:
        """Return what is known of an image; None: nothing."""
        return self._seen.get(source)

    def require_room(self, count: int, *, rows: int) -> None:
        """Refuse so many further images where their rows do not fit.

        Raises:
            DataError: The disk has no room for them.
        """
        needed, free = rows * self.row_bytes, free_bytes(self.folder)
        if rows and needed + MARGIN > free:
            raise DataError(
                f"data.cache_vision_features: {count:,} images take {needed / 1e9:.1f} GB in "
                f"{self.folder}, and {free / 1e9:.1f} GB are free: make room, name another folder "
                "with the variable VLFT_CACHE, or leave the cache off"
            )

    def append(self, images: Mapping[str, Shaped[Tensor, "rows *shape"]]) -> None:
        """Add images' rows, also while another run adds to the same file; what is there is kept.

        Args:
            images: Rows by their key, of any floating type.

        Raises:
            DataError: A value is too large for float16.
            RunDirectoryError: The disk is full.
        """
        wrong = [rows.shape for rows in images.values() if rows.shape[1:] != self.shape]
        assert not wrong, f"rows of {wrong[0]}, not {self.shape}"
        with FileLock(self.folder / LOCK), tell_full_disk(self.folder, what="vision features"):
            self._require_same()
            if _size(self.folder / INDEX) != self._index_bytes:
                self._read_index()
            added = {key: _stored(rows) for key, rows in images.items() if key not in self._place}
            names = "".join(f"{key} {len(rows)}\n" for key, rows in added.items())
            content = b"".join(rows.tobytes() for rows in added.values())
            _write_at(self.folder / ROWS, self._num_rows * self.row_bytes, content)
            _write_at(self.folder / INDEX, self._index_bytes, names.encode())
            self._index_bytes += len(names)
            for key, rows in added.items():
                self._put(key, len(rows))
            self._mapped = None

    def remember(self, images: Mapping[str, Seen]) -> None:
        """Let images be found by their sources; their rows are there already.

        Raises:
            RunDirectoryError: The disk is full.
        """
        assert all(one.key in self._place for one in images.values()), "a row is missing"
        with FileLock(self.folder / LOCK), tell_full_disk(self.folder, what="vision features"):
            if _size(self.folder / SOURCES) != self._source_bytes:
                self._read_sources()
            new = {source: one for source, one in images.items() if source not in self._seen}
            text = "".join(f"{source} {' '.join(map(str, one))}\n" for source, one in new.items())
            _write_at(self.folder / SOURCES, self._source_bytes, text.encode())
            self._source_bytes += len(text)
            self._seen |= new

    def rows(self, keys: Sequence[str]) -> Shaped[Tensor, "rows *shape"]:
        """Return the rows of images, one after the other, read from the file's pages.

        Raises:
            DataError: The rows are there no longer.
        """
        if any(key not in self._place for key in keys):
            raise self._gone()
        places = [self._place[key] for key in keys]
        if self._mapped is None:
            self._require_same()
            shape = (self._num_rows, *self.shape)
            try:
                self._mapped = np.memmap(
                    self.folder / ROWS, dtype=np.float16, mode="r", shape=shape
                )
            except (OSError, ValueError) as error:
                raise self._gone() from error
        parts = [self._mapped[start : start + count] for start, count in places]
        return torch.from_numpy(np.concatenate(parts))

    def _require_same(self) -> None:
        """Refuse files that somebody has deleted, and others have filled again, in another order.

        Raises:
            DataError: They are not those that were read.
        """
        if self._read_name() != self._name:
            raise self._gone()

    def _read_name(self) -> str:
        path = self.folder / NAME
        return path.read_text() if path.is_file() else ""

    def _gone(self) -> DataError:
        return DataError(
            f"data.cache_vision_features: the features in {self.folder} are gone or cut off while "
            "a run reads them: start it again (with --resume), which computes what is missing"
        )

    def _put(self, key: str, count: int) -> None:
        self._place[key] = _Place(self._num_rows, count)
        self._num_rows += count

    def _read_index(self) -> None:
        lines, _ = _lines(self.folder / INDEX)
        size = _size(self.folder / ROWS) // self.row_bytes
        self._place, self._num_rows, self._index_bytes = {}, 0, 0
        for line in lines:
            key, count = line.split(" ")
            if self._num_rows + int(count) > size:  # cut off
                break
            self._put(key, int(count))
            self._index_bytes += len(line) + 1
        self._mapped = None

    def _read_sources(self) -> None:
        lines, self._source_bytes = _lines(self.folder / SOURCES)
        self._seen = {}
        for line in lines:
            source, *found = line.split(" ")
            if len(found) == 3 and found[0] in self._place:  # a row may have been cut off
                self._seen[source] = Seen(found[0], int(found[1]), int(found[2]))


def _lines(path: Path) -> tuple[list[str], int]:
    """Return complete lines, and their bytes; one that is cut off has no end."""
    text = path.read_text() if path.is_file() else ""
    complete = text[: text.rfind("\n") + 1]
    return complete.splitlines(), len(complete)


def _stored(rows: Tensor) -> np.ndarray:
    """Return rows as they are kept.

    Raises:
        DataError: A value is too large for that.
    """
    stored = rows.detach().to("cpu", torch.float16).contiguous()
    if not stored.isfinite().all():
        raise DataError(
            "data.cache_vision_features: the tower gives values that float16 does not hold "
            f"(up to {rows.abs().max():.3g}): leave the cache off"
        )
    return stored.numpy()


def _size(path: Path) -> int:
    return path.stat().st_size if path.is_file() else 0


def _write_at(path: Path, start: int, content: bytes) -> None:
    """Write from a place on, and cut off what stood behind it."""
    with path.open("r+b" if path.exists() else "wb") as file:
        file.truncate(start)
        file.seek(start)
        file.write(content)
        file.flush()
        os.fsync(file.fileno())
