"""Several sources of one kind behind each other: the files of a pattern."""

from bisect import bisect_right
from collections.abc import Sequence
from itertools import accumulate

from vlft.data.sources.source import Row, Source
from vlft.errors import RecordError


class ConcatSource:
    """The rows of several files, in their order; a row's place names its file.

    Args:
        name: The pattern.
        sources: The files.
    """

    def __init__(self, name: str, sources: Sequence[Source]) -> None:
        self.name = name
        self.columns = sources[0].columns
        for source in sources[1:]:
            if source.columns != self.columns:  # then each row says for itself what it lacks
                self.columns = None
        self._sources = sources
        self._ends = list(accumulate(map(len, sources)))

    def __len__(self) -> int:
        return self._ends[-1]

    def __getitem__(self, index: int) -> Row:
        """Read one row.

        Raises:
            RecordError: The row cannot be read.
        """
        number = bisect_right(self._ends, index)
        source = self._sources[number]
        file = source.name.rpartition("/")[2]
        try:
            row = source[index - self._ends[number] + len(source)]
        except RecordError as error:
            raise RecordError(
                error.reason, dataset=self.name, record_id=f"{file}, {error.record_id}"
            ) from error
        return row._replace(place=f"{file}, {row.place}")
