"""Records as samples: what a DataLoader's workers run, one index at a time."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Literal, Protocol, runtime_checkable

from torch.utils.data import Dataset

from vlft.data.checked import append_listing
from vlft.data.records import Record, Records
from vlft.errors import DataError, OverlongError, RecordError, SupervisionError

_MOST_IN_A_ROW = 100  # bad records; more is no bad record but a wrong setting


@runtime_checkable
class Encoder(Protocol):
    """Makes samples of records."""

    def __call__(self, record: Any, *, dataset: str) -> Any:
        """Encode one record."""
        ...

    def many(self, records: Sequence[Any], *, dataset: str) -> list[Any]:
        """Encode several records, equal to one by one."""
        ...


class EncodedDataset(Dataset):
    """Encodes a record whenever it is asked for, so that images are decoded in the workers.

    Sample i depends on i, and on the epoch where records are varied. Where the policy allows a bad
    record, the next good one stands in for it, so that the length, and with it the number of steps,
    is the same in every process.

    Args:
        records: The records.
        encode: Makes a sample of a record, given the data set's name as ``dataset``.
        on_bad_record: ``skip`` replaces and lists records that cannot be read.
        overlong: ``drop`` replaces and lists samples that do not fit.
        listing: File that replaced records are added to, one JSON line each.
        vary: Gives a record with other images, given ``epoch``, ``index`` and ``dataset``; None:
            they stay as they are.
    """

    def __init__(
        self,
        records: Records,
        encode: Encoder,
        *,
        on_bad_record: Literal["error", "skip"] = "error",
        overlong: Literal["error", "drop", "shrink_image"] = "error",
        listing: Path | None = None,
        vary: Callable[..., Record] | None = None,
    ) -> None:
        self.records = records
        self.encode = encode
        self.listing = listing
        self._on_bad_record = on_bad_record
        self._overlong = overlong
        self._vary = vary
        self._epoch = 0
        self._listed: set[str] = set()

    def __len__(self) -> int:
        return len(self.records)

    def set_epoch(self, epoch: int) -> None:
        """Choose the epoch that records are varied for, from 0; workers started later know it."""
        self._epoch = epoch

    def __getitem__(self, index: int) -> Any:
        """Encode a record, or the next one that can be.

        Raises:
            RecordError: The record is bad and the policy does not allow it.
            DataError: A hundred records in a row are bad.
        """
        attempts = min(_MOST_IN_A_ROW, len(self))
        for step in range(attempts):
            try:
                record = self._record((index + step) % len(self))
                return self.encode(record, dataset=self.records.name)
            except RecordError as error:
                if not self._may_replace(error):
                    raise
                self._list(error)
                if step == attempts - 1:
                    raise DataError(
                        f"{self.records.name}: {attempts} records in a row cannot be used, which "
                        f"points to a wrong setting; the last: {error}"
                    ) from error
        raise AssertionError("the loop returns or raises")

    def __getitems__(self, indices: list[int]) -> list[Any]:
        """Encode a batch at once, as a DataLoader's worker asks for it."""
        try:
            records = [self._record(index) for index in indices]
            return self.encode.many(records, dataset=self.records.name)
        except RecordError:
            return [self[index] for index in indices]  # which finds the record and the policy

    def _record(self, index: int) -> Record:
        record = self.records[index]
        if self._vary is None:
            return record
        return self._vary(record, epoch=self._epoch, index=index, dataset=self.records.name)

    def _may_replace(self, error: RecordError) -> bool:
        if isinstance(error, OverlongError):
            return self._overlong == "drop"
        # A sample without supervision shows a fault of host and template, not of one record.
        return self._on_bad_record == "skip" and not isinstance(error, SupervisionError)

    def _list(self, error: RecordError) -> None:
        if self.listing is not None and error.record_id not in self._listed:
            self._listed.add(error.record_id)
            append_listing(self.listing, [error])
