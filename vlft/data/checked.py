"""The record policy: bad records stop the run, or are left out and listed."""

import json
import os
from collections.abc import Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import NamedTuple

from vlft.data.images import MAX_PIXELS, check_images
from vlft.data.records import Record, Records
from vlft.errors import DataError, RecordError

LISTING = "skipped_records.jsonl"
"""File of a run directory with one line per record that was left out."""

_THREADS = 16  # most of the time they wait for a disk
_CHUNK = 4096  # records that are given to the threads at once


class CheckedRecords:
    """The records of a data set that can be read, as far as that shows without decoding.

    Args:
        records: The data set.
        kept: Indices of the good records.
        skipped: What is wrong with the others.
    """

    def __init__(
        self, records: Records, kept: Sequence[int], skipped: tuple[RecordError, ...] = ()
    ) -> None:
        self.name = records.name
        self.skipped = skipped
        self._records = records
        self._kept = kept

    def __len__(self) -> int:
        return len(self._kept)

    def __getitem__(self, index: int) -> Record:
        """Read one record.

        Raises:
            RecordError: The record does not have the declared form.
        """
        return self._records[self._kept[index]]


def check_all(records: Records, *, max_pixels: int = MAX_PIXELS) -> CheckedRecords:
    """Read every record and every image header once, and leave the bad ones out.

    Args:
        records: The data set.
        max_pixels: A larger image makes its record a bad one (width times height).

    Raises:
        DataError: No record is good.
    """

    def fault(index: int) -> RecordError | None:
        try:
            check_images(records[index], dataset=records.name, max_pixels=max_pixels)
        except RecordError as error:
            return error
        return None

    kept: list[int] = []
    skipped: list[RecordError] = []
    with ThreadPoolExecutor(_THREADS) as pool:
        for start in range(0, len(records), _CHUNK):
            indices = range(start, min(start + _CHUNK, len(records)))
            for index, error in zip(indices, pool.map(fault, indices), strict=True):
                if error is None:
                    kept.append(index)
                else:
                    skipped.append(error)
    if not kept:
        raise DataError(
            f"{records.name}: all {len(records)} records are bad; the first: {skipped[0]}"
        )
    return CheckedRecords(records, kept, tuple(skipped))


class Skipped(NamedTuple):
    """A line of the listing.

    Attributes:
        dataset: Name of the data set.
        record_id: Id of the record.
        kind: Class of the error.
        reason: What is wrong.
    """

    dataset: str
    record_id: str
    kind: str
    reason: str


def append_listing(path: Path, errors: Iterable[RecordError]) -> None:
    """Add records to a listing; safe from several processes, since a line is written at once."""
    lines = [
        json.dumps(
            Skipped(error.dataset, error.record_id, type(error).__name__, error.reason)._asdict()
        )
        for error in errors
    ]
    file = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o644)
    try:
        for line in lines:
            os.write(file, f"{line}\n".encode())
    finally:
        os.close(file)


def read_listing(path: Path) -> tuple[Skipped, ...]:
    """Return what was left out, each record once (every epoch and worker meets it again)."""
    if not path.exists():
        return ()
    lines = path.read_text(encoding="utf-8").splitlines()
    return tuple(dict.fromkeys(Skipped(**json.loads(line)) for line in lines))
