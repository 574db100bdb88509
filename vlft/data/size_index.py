"""Widths and heights of every image of a data set, read from the files' headers and remembered.

Nothing is decoded. What was read is kept in a file of JSON lines that is only ever added to, by
path, time of the last change and number of bytes: an index that was interrupted goes on where it
stopped, and an image that changed is read again.
"""

import json
import os
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from threading import Lock
from typing import NamedTuple, TypeAlias

from tqdm import tqdm

from vlft.data.images import MAX_PIXELS, image_size
from vlft.data.records import ImageRef, Record, Records, images_of

CACHE = Path("runs", "image_sizes.jsonl")
"""Where sizes are remembered, below the working directory, if nothing else is said."""

Size: TypeAlias = tuple[int, int]
"""Width and height in pixels, of the image turned upright."""

_CHUNK = 64  # records that a thread takes at once
_THREADS = 16  # most of the time they wait for a disk


class _Key(NamedTuple):
    path: str
    mtime_ns: int
    num_bytes: int


def image_sizes(
    records: Records,
    *,
    cache: Path | None = CACHE,
    max_pixels: int = MAX_PIXELS,
    num_threads: int = _THREADS,
) -> list[tuple[Size, ...]]:
    """Return the sizes of the images of every record, in order.

    A bar with the time that is left is shown on a terminal.

    Args:
        records: The data set.
        cache: File that sizes of image files are remembered in; None: none. Images that are drawn
            or stored in the rows themselves are looked at every time.
        max_pixels: As ``data.max_image_pixels``.
        num_threads: Threads that read headers.

    Raises:
        RecordError: A record is bad, or an image is missing, no image, or too large.
    """
    known = _Known(cache)
    starts = range(0, len(records), _CHUNK)

    def chunk(start: int) -> list[tuple[Size, ...]]:
        stop = min(start + _CHUNK, len(records))
        return [
            _sizes_of(records[index], known, dataset=records.name, max_pixels=max_pixels)
            for index in range(start, stop)
        ]

    sizes: list[tuple[Size, ...]] = []
    bar = tqdm(total=len(records), desc="image sizes", unit=" records", disable=None)
    with bar, known, ThreadPoolExecutor(num_threads) as pool:
        try:
            for found in pool.map(chunk, starts):
                sizes += found
                bar.update(len(found))
        except BaseException:
            pool.shutdown(cancel_futures=True)
            raise
    return sizes


def _sizes_of(
    record: Record, known: "_Known", *, dataset: str, max_pixels: int
) -> tuple[Size, ...]:
    sizes = []
    for ref in images_of(record):
        key = _key(ref)
        size = known.get(key)
        if size is None or size[0] * size[1] > max_pixels:  # which is told there
            size = image_size(ref, dataset=dataset, record_id=record.id, max_pixels=max_pixels)
            known.add(key, size)
        sizes.append(size)
    return tuple(sizes)


def _key(ref: ImageRef) -> _Key | None:
    if ref.path is None or ref.root is None:
        return None
    path = (ref.root / ref.path).absolute()
    try:
        found = path.stat()
    except (OSError, ValueError):
        return None  # which is told when it is opened
    return _Key(str(path), found.st_mtime_ns, found.st_size)


class _Known:
    """Sizes that were read before, and a file that new ones are added to."""

    def __init__(self, path: Path | None) -> None:
        self._path = path
        self._sizes: dict[_Key, Size] = dict(_lines(path)) if path and path.exists() else {}
        self._lock = Lock()
        self._file: int | None = None

    def __enter__(self) -> "_Known":
        if self._path is not None:
            self._path.parent.mkdir(parents=True, exist_ok=True)
            ends = self._path.exists() and self._path.stat().st_size > 0
            self._file = os.open(self._path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o644)
            if ends:
                os.write(self._file, b"\n")  # the last line may have been cut off
        return self

    def __exit__(self, *error: object) -> None:
        if self._file is not None:
            os.close(self._file)
            self._file = None

    def get(self, key: _Key | None) -> Size | None:
        return None if key is None else self._sizes.get(key)

    def add(self, key: _Key | None, size: Size) -> None:
        if key is None:
            return
        self._sizes[key] = size
        if self._file is not None:
            with self._lock:
                os.write(self._file, f"{json.dumps([*key, *size])}\n".encode())


def _lines(path: Path) -> Iterator[tuple[_Key, Size]]:
    with path.open(encoding="utf-8", errors="replace") as file:
        for line in file:
            try:
                fields: Sequence[object] = json.loads(line)
            except json.JSONDecodeError:
                continue  # blank, or cut off by an interruption
            match fields:
                case [str(name), int(mtime), int(number), int(width), int(height)]:
                    yield _Key(name, mtime, number), (width, height)
