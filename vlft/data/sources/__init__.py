"""Row sources: how rows are stored (the container), apart from what a row means (the format).

Every source is map-style, reads a row when it is asked for, opens its file anew for it or maps it
into memory, and pickles into the data-loading workers.
"""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from vlft.data.sources.arrow import arrow_files, parquet_files, saved_folder
from vlft.data.sources.concat import ConcatSource
from vlft.data.sources.delimited import delimited_rows
from vlft.data.sources.hub import hub_rows
from vlft.data.sources.image_folder import image_folder
from vlft.data.sources.json_rows import json_lines, json_rows
from vlft.data.sources.paths import find_files, is_saved_folder, no_file
from vlft.data.sources.source import Row, Source
from vlft.errors import DataError
from vlft.recipe.data.files import HUB, LabeledImages, RowDataset

TEXT: Mapping[str, Callable[[Path, int | None], Source]] = {
    ".jsonl": json_lines,
    ".ndjson": json_lines,
    ".json": json_rows,
    ".csv": delimited_rows,
    ".tsv": delimited_rows,
}
"""Containers of text by ending; each file is a source of its own."""

BINARY: Mapping[str, Callable[[Sequence[Path], str], Source]] = {
    ".parquet": parquet_files,
    ".arrow": arrow_files,
}
"""Arrow's containers by ending; the files of a pattern make one table."""


def open_source(section: RowDataset) -> Source:
    """Open the rows of a section, whatever holds them.

    Raises:
        DataError: There is nothing at the path, no container fits its ending, or the files of a
            pattern do not fit each other.
    """
    path = section.path
    if path.startswith(HUB):
        return hub_rows(section)
    folder = Path(path).expanduser()
    if folder.is_dir():
        if is_saved_folder(folder):
            return saved_folder(folder, name=path, split=section.split)
        if isinstance(section, LabeledImages):
            _refuse_split(section)
            return image_folder(folder, name=path)
        raise no_file(path)
    files = find_files(path)
    _refuse_split(section)
    ending = _ending(files, path)
    if ending in BINARY:
        return BINARY[ending](files, path)
    sources = [TEXT[ending](file, section.limit) for file in files]
    if len(sources) > 1:
        return ConcatSource(path, sources)
    (source,) = sources
    source.name = path  # as the recipe writes it
    return source


def _ending(files: Sequence[Path], path: str) -> str:
    """The one ending of the files, which names their container."""
    endings = {file.suffix.lower(): file for file in files}
    if len(endings) > 1:
        first, second = list(endings.values())[:2]
        raise DataError(
            f"{path}: found files of several kinds ({first.name}, {second.name}); narrow the "
            "pattern, or mix them with `type: mixture`"
        )
    (ending,) = endings
    if ending not in TEXT and ending not in BINARY:
        expected = ", ".join((*TEXT, *BINARY))
        packed = "unpack it" if ending in (".gz", ".zst", ".xz", ".zip") else "rename or convert it"
        raise DataError(f"{path}: found the ending {ending!r}, expected {expected}; {packed}")
    return ending


def _refuse_split(section: RowDataset) -> None:
    if section.split is not None:
        raise DataError(
            f"{section.path}: `split` is {section.split!r}, but files and folders of images have "
            "no splits; name the split's own file or folder in `path`, and leave `split` out"
        )


__all__ = ["BINARY", "TEXT", "Row", "Source", "open_source"]
