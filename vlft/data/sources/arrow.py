"""Parquet, Arrow files and ``save_to_disk`` folders, mapped into memory by the datasets library.

Parquet is turned into Arrow once, in that library's cache, since a row of it cannot be read alone.
Rows come as they are stored: images stay bytes or paths and are not decoded here.
"""

from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from vlft.data.sources.source import Row
from vlft.errors import DataError, RecordError, unknown

if TYPE_CHECKING:
    import datasets
    import pyarrow

_AHEAD = 1024  # rows of a few columns are small


class ArrowSource:
    """Rows of an Arrow table.

    Args:
        name: Names the data set in messages.
        table: The table.
        folder: Folder that image paths are relative to; None where there is none.
        ahead: Rows that are read at once, for reading them in order.
    """

    def __init__(
        self, name: str, table: "datasets.Dataset", *, folder: Path | None, ahead: int = 1
    ) -> None:
        self.name = name
        self.columns: tuple[str, ...] | None = tuple(table.column_names)
        self._folder = folder
        self._classes = _class_names(table)
        self._table: Any = table.with_format("arrow")  # gives tables, not dicts
        self._ahead = ahead
        self._read: tuple[int, list[dict[str, Any]]] = (0, [])

    def __len__(self) -> int:
        return len(self._table)

    def as_table(self) -> "pyarrow.Table":
        """Return all rows at once."""
        return self._table[:]

    def __getitem__(self, index: int) -> Row:
        """Read one row; classes stored as numbers come by their names.

        Raises:
            RecordError: The row cannot be read.
        """
        place = f"row {index}"
        try:
            values = self._values(index)
        except (OSError, ValueError) as error:  # a damaged file; text that is not UTF-8
            reason = " ".join(str(error).split())
            raise RecordError(
                f"cannot be read: {reason}", dataset=self.name, record_id=place
            ) from error
        for column, names in self._classes.items():
            number = values[column]
            if isinstance(number, int) and 0 <= number < len(names):
                values[column] = names[number]
        return Row(values, place, self._folder)

    def _values(self, index: int) -> dict[str, Any]:
        if self._ahead == 1:
            (values,) = self._table[index : index + 1].to_pylist()
            return values
        start, rows = self._read
        if not start <= index < start + len(rows):
            try:
                start, rows = index, self._table[index : index + self._ahead].to_pylist()
            except (OSError, ValueError):  # one of them cannot be read, which may not be this one
                start, rows = index, self._table[index : index + 1].to_pylist()
            self._read = start, rows
        return dict(rows[index - start])

    def only(self, columns: Collection[str]) -> "ArrowSource":
        """Return the same rows with some columns, to be read in order; the others are not read.

        Args:
            columns: Their names. Left out are those that are not there, and those that hold bytes;
                where no column is left, rows are as before.
        """
        table = self._table
        kept = [
            field.name
            for field in table.features.arrow_schema
            if field.name in columns and not _holds_bytes(field.type)
        ]
        if not kept:
            return self
        narrow = table.select_columns(kept)
        return ArrowSource(self.name, narrow, folder=self._folder, ahead=_AHEAD)


def parquet_files(paths: Sequence[Path], name: str) -> ArrowSource:
    """Open Parquet files as one table.

    Raises:
        DataError: A file is cut off or no Parquet, or a column's type differs between files.
    """
    import datasets
    import pyarrow.parquet

    _require_one_schema({path: _schema(pyarrow.parquet.read_schema, path) for path in paths})
    with _told(name), quiet():
        table = datasets.Dataset.from_parquet([str(path) for path in paths])
    assert isinstance(table, datasets.Dataset)
    return ArrowSource(name, table, folder=_folder_of(paths))


def arrow_files(paths: Sequence[Path], name: str) -> ArrowSource:
    """Open Arrow files (of streams or for random access) as one table.

    Raises:
        DataError: A file is cut off or no Arrow, or a column's type differs between files.
    """
    import datasets

    _require_one_schema({path: _schema(_arrow_schema, path) for path in paths})
    with _told(name), quiet():
        table = datasets.load_dataset("arrow", data_files=[str(path) for path in paths])["train"]
    return ArrowSource(name, table, folder=_folder_of(paths))


def saved_folder(folder: Path, *, name: str, split: str | None) -> ArrowSource:
    """Open a folder that ``save_to_disk`` wrote.

    Raises:
        DataError: A file of it is missing or damaged, or it has no such split.
    """
    import datasets

    with _told(name):
        found = datasets.load_from_disk(str(folder))
    if isinstance(found, datasets.DatasetDict):
        chosen = split or "train"
        if chosen not in found:
            raise DataError(f"{name}: {unknown('split', chosen, map(str, found))}; set `split`")
        return ArrowSource(name, found[chosen], folder=folder)
    if split is not None:
        raise DataError(
            f"{name}: `split` is {split!r}, but the folder holds one data set without splits; "
            "leave `split` out"
        )
    return ArrowSource(name, found, folder=folder)


@contextmanager
def quiet() -> Iterator[None]:
    """Keep the datasets library from drawing progress bars."""
    from datasets.utils import logging

    shown = logging.is_progress_bar_enabled()
    logging.disable_progress_bar()
    try:
        yield
    finally:
        if shown:
            logging.enable_progress_bar()


@contextmanager
def _told(name: str) -> Iterator[None]:
    """Turn what the datasets library raises about a file into a ``DataError``."""
    import datasets
    import pyarrow

    try:
        yield
    except (datasets.exceptions.DatasetGenerationError, pyarrow.ArrowException, OSError) as error:
        cause = error.__cause__ or error
        reason = " ".join(str(cause).split())
        raise DataError(
            f"{name}: cannot be read ({reason}); the file is damaged, or the disk of the datasets "
            "cache (HF_HOME) is full"
        ) from error


def _schema(read: Any, path: Path) -> "pyarrow.Schema":
    import pyarrow

    if path.stat().st_size == 0:
        raise DataError(f"{path} is empty: 0 bytes; write or download it again")
    try:
        return read(path)
    except (pyarrow.ArrowException, OSError) as error:
        kind = "a Parquet" if path.suffix.lower() == ".parquet" else "an Arrow"
        raise DataError(
            f"{path} is not {kind} file, or is cut off ({' '.join(str(error).split())}); write or "
            "download it again"
        ) from error


def _arrow_schema(path: Path) -> "pyarrow.Schema":
    import pyarrow

    with pyarrow.memory_map(str(path)) as file:
        try:
            return pyarrow.ipc.open_stream(file).schema
        except pyarrow.ArrowInvalid:
            file.seek(0)
            return pyarrow.ipc.open_file(file).schema


def _require_one_schema(schemas: Mapping[Path, "pyarrow.Schema"]) -> None:
    """Refuse files of which one column has two types, such as text and an object.

    Raises:
        DataError: It names the column, both files and both types.
    """
    (first, expected), *others = schemas.items()
    for path, schema in others:
        for column in (*expected.names, *schema.names):
            left, right = (_type(one, column) for one in (expected, schema))
            if left != right and "null" not in (left, right):
                raise DataError(
                    f"column {column!r} has two types: {left} in {first}, {right} in {path}; write "
                    "the files with one schema, or read them apart with `type: mixture`"
                )


def _holds_bytes(kind: "pyarrow.DataType") -> bool:
    """Whether values of a type are bytes, or hold some."""
    from pyarrow import types

    if types.is_nested(kind):
        return any(_holds_bytes(kind.field(at).type) for at in range(kind.num_fields))
    return any(
        check(kind)
        for check in (types.is_binary, types.is_large_binary, types.is_fixed_size_binary)
    )


def _type(schema: "pyarrow.Schema", column: str) -> str:
    index = schema.get_field_index(column)
    return "absent" if index < 0 else str(schema.field(index).type).replace("large_", "")


def _class_names(table: "datasets.Dataset") -> dict[str, list[str]]:
    """Names of the classes of every column that stores them as numbers."""
    import datasets

    return {
        column: feature.names
        for column, feature in table.features.items()
        if isinstance(feature, datasets.ClassLabel) and feature.names
    }


def _folder_of(paths: Sequence[Path]) -> Path | None:
    folders = {path.parent for path in paths}
    return folders.pop() if len(folders) == 1 else None
