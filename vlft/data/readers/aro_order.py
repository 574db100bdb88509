"""COCO-Order and Flickr30k-Order of ARO (arXiv 2210.01936): captions against their own shuffles.

Rows are images with ``caption`` (a list, as in Karpathy's test splits: one case per caption), or
cases with ready-made options: ``images`` or ``image``, ``correct_caption`` and ``hard_text_1`` to
``hard_text_4``, as in the Hub copies and in what ``vlft.data.aro.drawn`` saves.
"""

from collections.abc import Iterator
from pathlib import Path

from vlft.data.aro.drawn import RIGHT, WRONG, Captioned, drawn_options
from vlft.data.aro.tagging import Tagger, tagger_of
from vlft.data.cleaning import clean_caption
from vlft.data.readers.caption_rows import caption, numbered, on_split, one_image
from vlft.data.readers.rows import FormatRow, Rows
from vlft.data.records import Pair
from vlft.recipe.data.benchmarks import AroOrder
from vlft.recipe.data.files import HUB

_IMAGES = ("image", "images")


class AroOrderDataset:
    """Image-text pairs with ``negatives`` (the shuffles) in their ``meta``.

    A record is called by its number among all captions, from 0. Shuffles are drawn when the data
    set is opened, since one stream of draws runs through all captions; ``meta["drawn"]`` says from
    what.

    Args:
        section: The benchmark's section.

    Raises:
        DataError: The data set cannot be opened, or there is nothing to tag its captions with.
        RecordError: A row has no captions.
    """

    def __init__(self, section: AroOrder) -> None:
        self.name = section.path
        self._rows = Rows(on_split(section, "test"), {})
        self._cases: list[tuple[int, int]] | None = None
        if ready_made(self._rows):
            return
        found = [case for index in range(len(self._rows)) for case in _captions(self._rows, index)]
        found = found[: section.limit]
        cases = [Captioned(image, text) for _, _, image, text in found]
        self._cases = [(row, number) for row, number, _, _ in found]
        self._options, self._facts = drawn_options(
            cases, tagger=tagger_for(section), seed=section.seed, name=section.path
        )

    def __len__(self) -> int:
        return len(self._rows) if self._cases is None else len(self._cases)

    def __getitem__(self, index: int) -> Pair:
        """Read one case.

        Raises:
            RecordError: The row lacks a field.
        """
        if self._cases is None:
            row = numbered(self._rows[index], index)
            right, *wrong = (clean_caption(caption(row, column)) for column in (RIGHT, *WRONG))
            meta = row.meta((RIGHT, *WRONG, *_IMAGES)) | {"negatives": wrong}
            return Pair(row.place.record_id, one_image(row, *_IMAGES[::-1]), right, meta)
        at, number = self._cases[index]
        row = numbered(self._rows[at], index)
        right, *wrong = self._options[index]
        meta = {"negatives": wrong, "caption": number, "drawn": self._facts}
        return Pair(row.place.record_id, one_image(row, *_IMAGES), right, meta)


def ready_made(rows: Rows) -> bool:
    """Whether rows hold their shuffles already."""
    if len(rows) == 0:
        return True
    return RIGHT in (rows[0].values if rows.columns is None else rows.columns)


def tagger_for(section: AroOrder) -> Tagger:
    """Return what tags the captions of a section.

    That is the file ``tags``, or the one that lies beside the data and is called like them with
    ``.tags.jsonl`` at its end, or spaCy.

    Raises:
        DataError: There is no such file, or nothing at all.
    """
    if section.tags is not None:
        return tagger_of(Path(section.tags).expanduser())
    beside = Path(section.path).expanduser().with_suffix(".tags.jsonl")
    return tagger_of(beside if not section.path.startswith(HUB) and beside.is_file() else None)


def draws_of(section: AroOrder) -> str:
    """Say what the shuffles of a section depend on beside its captions; nothing: ready-made ones.

    Raises:
        DataError: As when it is opened.
    """
    if ready_made(Rows(on_split(section, "test"), {})):
        return ""
    return f"seed {section.seed}, {tagger_for(section).identity}"


def _captions(rows: Rows, index: int) -> Iterator[tuple[int, int, str, str]]:
    """Yield row, number, image and text of each caption of a row."""
    row: FormatRow = rows[index]
    listed = row.place.need(row.values, "caption", list)
    if not listed:
        raise row.place.wrong("caption", listed, "a list of captions")
    image = row.values.get("image")
    for number, text in enumerate(listed):
        text = row.place.typed(text, str, f"caption[{number}]")
        if not clean_caption(text):
            raise row.place.wrong(f"caption[{number}]", text, "a caption")
        yield index, number, image if isinstance(image, str) else "", text
