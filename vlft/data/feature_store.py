"""Rows of features on disk by the hash of what they were made of, read through the file's pages.

    rows.bin     the rows, one after the other
    index        one line per row: the hash

A row counts when its line is complete, and the line is written after the row: a kill loses the rows
of one append at most.
"""

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from filelock import FileLock
from torch import Tensor

from vlft.disk import free_bytes, tell_full_disk
from vlft.errors import DataError

ROWS, INDEX, LOCK = "rows.bin", "index", "lock"

MARGIN = 64 * 2**20
"""Bytes that are left free on the disk."""


class FeatureStore:
    """Features of one kind, in float16.

    Args:
        folder: Of this kind alone; made when missing.
        shape: Of a row.
    """

    def __init__(self, folder: Path, shape: Sequence[int]) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self.folder = folder
        self.shape = tuple(shape)
        self.row_bytes = 2 * int(np.prod(self.shape))
        self._place: dict[str, int] = {}
        self._mapped: np.memmap | None = None
        self.reload()

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "_mapped": None}  # or a worker would be sent all rows

    def reload(self) -> None:
        """Read what is there, also what another process has added."""
        path = self.folder / INDEX
        text = path.read_text() if path.is_file() else ""
        lines = text.split("\n")[:-1]  # a line that is cut off has no end
        rows = self.folder / ROWS
        size = rows.stat().st_size // self.row_bytes if rows.is_file() else 0
        self._place = {key: place for place, key in enumerate(lines[:size])}
        self._index_bytes = sum(len(key) + 1 for key in self._place)
        self._mapped = None

    def __contains__(self, key: str) -> bool:
        return key in self._place

    def require_room(self, count: int) -> int:
        """Return the bytes that so many further rows take.

        Raises:
            DataError: The disk has no room for them.
        """
        needed, free = count * self.row_bytes, free_bytes(self.folder)
        if needed + MARGIN > free:
            raise DataError(
                f"data.cache_vision_features: {count:,} images take {needed / 1e9:.1f} GB in "
                f"{self.folder}, and {free / 1e9:.1f} GB are free: make room, name another folder "
                "with the variable VLFT_CACHE, or leave the cache off"
            )
        return needed

    def append(self, keys: Sequence[str], rows: Tensor) -> None:
        """Add rows, also while another run adds to the same file; what is there by then is kept.

        Raises:
            RunDirectoryError: The disk is full.
        """
        assert rows.shape[1:] == self.shape, f"rows of {tuple(rows.shape[1:])}, not {self.shape}"
        with FileLock(self.folder / LOCK), tell_full_disk(self.folder, what="vision features"):
            self.reload()
            new = [at for at, key in enumerate(keys) if key not in self._place]
            added = rows.detach()[new].to("cpu", torch.float16).contiguous()
            kept = len(self._place)
            names = "".join(f"{keys[at]}\n" for at in new)
            _write_at(self.folder / ROWS, kept * self.row_bytes, added.numpy().tobytes())
            _write_at(self.folder / INDEX, self._index_bytes, names.encode())
            self._index_bytes += len(names)
            self._place |= {keys[at]: kept + number for number, at in enumerate(new)}
            self._mapped = None

    def rows(self, keys: Sequence[str]) -> Tensor:
        """Return rows [len(keys), *shape], read from the file's pages."""
        places = [self._place[key] for key in keys]
        if self._mapped is None:
            shape = (len(self._place), *self.shape)
            self._mapped = np.memmap(self.folder / ROWS, dtype=np.float16, mode="r", shape=shape)
        return torch.from_numpy(np.ascontiguousarray(self._mapped[places]))


def _write_at(path: Path, start: int, content: bytes) -> None:
    """Write from a place on, and cut off what stood behind it."""
    with path.open("r+b" if path.exists() else "wb") as file:
        file.truncate(start)
        file.seek(start)
        file.write(content)
        file.flush()
        os.fsync(file.fileno())
