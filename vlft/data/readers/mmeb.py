"""MMEB's evaluation rows (arXiv 2410.05160): a query, and candidates of which the first is right.

    path/NIGHTS/test-00000-of-00001.parquet     one folder per data set, split ``test``
    image_root/...                              images, as the rows name them

Two row layouts are read. V1 (TIGER-Lab/MMEB-eval) has ``qry_text``, ``qry_img_path``, and the lists
``tgt_text`` and ``tgt_img_path``; its texts hold the instruction. V2 has the instructions apart, in
``qry_inst`` and ``tgt_inst``. Empty strings stand for "no text" and "no image".

Rows list up to 1,000 candidates each, and data sets repeat them: a data set keeps every different
candidate once, and a record the places of its own.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from vlft.data.records import ImageRef, Item, Ranking
from vlft.data.sources.hub import hub_rows
from vlft.errors import DataError, RecordError, unknown
from vlft.recipe.data.benchmarks import Mmeb
from vlft.recipe.data.files import HUB, RowDataset
from vlft.results.mmeb_report import ALIASES

if TYPE_CHECKING:
    import pyarrow

SPLIT = "test"

QUERY, QUERY_IMAGE, TARGETS, TARGET_IMAGES = "qry_text", "qry_img_path", "tgt_text", "tgt_img_path"
QUERY_INSTRUCTION, TARGET_INSTRUCTION = "qry_inst", "tgt_inst"


class _Member(NamedTuple):
    """One data set, read."""

    queries: list[Item]
    pool: tuple[Item, ...]
    candidates: list[np.ndarray]


class MmebDataset:
    """The queries of several data sets, in turn, so that the first ones are from all of them.

    Args:
        section: The benchmark's section.

    Raises:
        DataError: Data sets or the folder of images are missing, a column is missing, or a row has
            no right candidate or lists of different lengths.
    """

    def __init__(self, section: Mmeb) -> None:
        self.name = section.path
        names = [ALIASES.get(name, name) for name in section.datasets]
        twice = next((name for name in names if names.count(name) > 1), None)
        if twice is not None:
            raise DataError(f"{self.name}: datasets names {twice!r} twice; remove one of them")
        on_hub = self.name.startswith(HUB)
        files = {} if on_hub else _files(section, names)
        root = _image_root(section)
        self._members: dict[str, _Member] = {}
        for name in names:
            table = _hub_table(section, name) if on_hub else _read(files[name], self.name)
            self._members[name] = _member(table, self.name, name, root)
        self._order = sorted(
            (row, number)
            for number, member in enumerate(self._members.values())
            for row in range(len(member.queries))
        )[: section.limit]
        self._names = names

    def __len__(self) -> int:
        return len(self._order)

    def __getitem__(self, index: int) -> Ranking:
        """Return one query with its candidates; its id is the data set and the row, from 0."""
        row, number = self._order[index]
        name = self._names[number]
        member = self._members[name]
        return Ranking(
            id=f"{name}/{row}",
            query=member.queries[row],
            pool=member.pool,
            candidates=member.candidates[row],
            meta={"dataset": name},
        )


def _image_root(section: Mmeb) -> Path:
    if section.image_root is None:
        if section.path.startswith(HUB):
            raise DataError(
                f"{section.path}: its rows name files of images.zip: unpack that, and set "
                "`data.image_root` to the folder"
            )
        return Path(section.path).expanduser()
    root = Path(section.image_root).expanduser()
    if not root.is_dir():
        raise DataError(
            f"{section.path}: the folder of images {section.image_root!r} does not exist; unpack "
            "images.zip there, or set `data.image_root`"
        )
    return root


def _files(section: Mmeb, names: Sequence[str]) -> dict[str, list[Path]]:
    """Return the files of each data set.

    Raises:
        DataError: Some have none; names them all and says where they belong.
    """
    folder = Path(section.path).expanduser()
    found = {name: _files_of(folder, name) for name in names}
    missing = [name for name, files in found.items() if not files]
    if missing:
        raise DataError(
            f"{section.path}: {len(missing)} of {len(names)} data sets are missing: "
            f"{', '.join(missing)}; each is expected as {folder.absolute()}/NAME/{SPLIT}*.parquet; "
            "get them (hf download TIGER-Lab/MMEB-eval --repo-type dataset), or measure a part "
            "with data.datasets=[...]"
        )
    return found


def _files_of(folder: Path, name: str) -> list[Path]:
    spelled = [name, *(other for other, official in ALIASES.items() if official == name)]
    for spelling in spelled:
        files = sorted((folder / spelling).glob(f"{SPLIT}*.parquet"))
        if files:
            return files
    return []


def _read(files: Sequence[Path], dataset: str) -> "pyarrow.Table":
    import pyarrow as pa
    from pyarrow import parquet

    try:
        return pa.concat_tables(parquet.ParquetFile(file).read() for file in files)
    except (pa.ArrowException, OSError) as error:
        reason = " ".join(str(error).split())
        raise DataError(
            f"{dataset}: {files[0]} cannot be read ({reason}); download it again"
        ) from error


def _hub_table(section: Mmeb, name: str) -> "pyarrow.Table":
    rows = RowDataset(path=section.path, subset=name, split=SPLIT, revision=section.revision)
    return hub_rows(rows).as_table()


def _member(table: "pyarrow.Table", dataset: str, name: str, root: Path) -> _Member:
    """Read a data set, all rows at once."""
    for column in (QUERY, QUERY_IMAGE, TARGETS):
        if column not in table.column_names:
            raise DataError(f"{dataset}, {name}: {unknown('column', column, table.column_names)}")
    if table.num_rows == 0:
        raise DataError(f"{dataset}, {name}: the files have no rows; download them again")
    texts, paths, starts = _targets(table, dataset, name)
    instructions = _instructions(table, TARGET_INSTRUCTION)
    parts = [_encoded(texts), _encoded(paths)]
    if instructions is not None:
        values, places = _encoded(instructions)
        parts.append((values, np.repeat(places, np.diff(starts))))
    # Each candidate becomes one number, whose digits are the places of its parts.
    codes = np.zeros(len(texts), dtype=np.int64)
    for values, places in parts:
        codes = codes * len(values) + places
    distinct, candidates = _numbered(codes)
    pool = tuple(_item(code, [values for values, _ in parts], root) for code in distinct.tolist())
    empty = np.array([not item.text.strip() and item.image is None for item in pool])
    _refuse(
        empty[candidates[starts[:-1]]],
        f"the right candidate, `{TARGETS}[0]` and `{TARGET_IMAGES}[0]`, is empty, expected a text, "
        "an image, or both",
        dataset,
        name,
    )
    queries = _queries(table, root)
    _refuse(
        np.array([not item.text.strip() and item.image is None for item in queries]),
        f"`{QUERY}` and `{QUERY_IMAGE}` are empty, expected a text, an image, or both",
        dataset,
        name,
    )
    return _Member(queries, pool, np.split(candidates, starts[1:-1]))


def _targets(
    table: "pyarrow.Table", dataset: str, name: str
) -> tuple["pyarrow.Array", "pyarrow.Array", np.ndarray]:
    """Return texts and image paths of all candidates, and where those of each row begin."""
    found = {column: _flat(table, column) for column in (TARGETS, TARGET_IMAGES)}
    lists = [one for one in found.values() if one is not None]
    if not lists:
        raise DataError(
            f"{dataset}, {name}: `{TARGETS}` and `{TARGET_IMAGES}` hold no lists, expected lists"
        )
    # V2 leaves the images out where candidates are texts; early files have one empty text for all.
    (texts, lengths), (paths, others) = (one or _empty(lists[0]) for one in found.values())
    for row in np.flatnonzero(lengths != others)[:1].tolist():
        message = (
            f"found {lengths[row]} texts in `{TARGETS}` and {others[row]} paths in "
            f"`{TARGET_IMAGES}`, expected lists of equal length"
        )
        raise RecordError(message, dataset=dataset, record_id=f"{name}/{row}")
    _refuse(
        lengths == 0,
        f"`{TARGETS}` is empty, expected candidates, the right one first",
        dataset,
        name,
    )
    return texts, paths, np.concatenate([[0], np.cumsum(lengths)])


def _flat(table: "pyarrow.Table", column: str) -> tuple["pyarrow.Array", np.ndarray] | None:
    """Return the elements of a column of lists, and the length of each list; None: no lists."""
    import pyarrow as pa

    if column not in table.column_names:
        return None
    values = table[column].combine_chunks()
    if not (pa.types.is_list(values.type) or pa.types.is_large_list(values.type)):
        return None
    lengths = values.value_lengths().fill_null(0).to_numpy(zero_copy_only=False)
    return values.flatten().cast(pa.string()).fill_null(""), lengths.astype(np.int64)


def _empty(other: tuple["pyarrow.Array", np.ndarray]) -> tuple["pyarrow.Array", np.ndarray]:
    """Return as many empty texts as another column has."""
    import pyarrow as pa

    values, lengths = other
    return pa.array([""] * len(values)), lengths


def _encoded(values: Any) -> tuple[list[str], np.ndarray]:
    """Return the different ones of many texts, and the place of each text among them."""
    import pyarrow as pa

    encoded = (values if isinstance(values, pa.Array) else pa.array(values)).dictionary_encode()
    return encoded.dictionary.to_pylist(), encoded.indices.to_numpy().astype(np.int64)


def _instructions(table: "pyarrow.Table", column: str) -> list[str] | None:
    """Return the instructions of each row; None: the layout has them in its texts."""
    if QUERY_INSTRUCTION not in table.column_names:
        return None
    if column not in table.column_names:
        return [""] * table.num_rows
    return [value or "" for value in table[column].to_pylist()]


def _numbered(codes: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return different codes in the order in which they come up, and the place of each code."""
    distinct, first, inverse = np.unique(codes, return_index=True, return_inverse=True)
    order = np.argsort(first, kind="stable")
    place = np.empty(len(order), dtype=np.int32)
    place[order] = np.arange(len(order), dtype=np.int32)
    return distinct[order], place[inverse]


def _item(code: int, parts: Sequence[Sequence[str]], root: Path) -> Item:
    """Return the candidate that a number stands for."""
    instruction = None
    if len(parts) > 2:
        code, place = divmod(code, len(parts[2]))
        instruction = parts[2][place]
    text, path = divmod(code, len(parts[1]))
    return Item(parts[0][text], _image(parts[1][path], root), instruction)


def _image(path: str | None, root: Path) -> ImageRef | None:
    return ImageRef(path=Path(path), root=root) if path else None


def _queries(table: "pyarrow.Table", root: Path) -> list[Item]:
    texts, paths = table[QUERY].to_pylist(), table[QUERY_IMAGE].to_pylist()
    instructions = _instructions(table, QUERY_INSTRUCTION) or [None] * table.num_rows
    return [
        Item(text or "", _image(path, root), instruction)
        for text, path, instruction in zip(texts, paths, instructions, strict=True)
    ]


def _refuse(bad: np.ndarray, problem: str, dataset: str, name: str) -> None:
    """Tell the first row in which something is wrong."""
    for row in np.flatnonzero(bad)[:1].tolist():
        raise RecordError(problem, dataset=dataset, record_id=f"{name}/{row}")
