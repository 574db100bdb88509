"""Files of images with several captions each: Karpathy's splits of COCO and Flickr30k.

They come in three forms:

    [{"image": "val2014/COCO_val2014_000000391895.jpg", "caption": ["A man ...", ...]}, ...]
        BLIP's files, one split each; those to train on have a row for each caption
    {"images": [{"filepath": "val2014", "filename": "COCO_val2014_000000391895.jpg",
        "cocoid": 391895, "split": "test", "sentences": [{"raw": "A man ..."}, ...]}, ...]}
        Karpathy and Li's own (arXiv 1412.2306): ``dataset_coco.json``, ``dataset_flickr30k.json``
    rows with ``filename`` and ``sentences``
        copies on the Hub, such as yerevann/coco-karpathy, whose images are elsewhere

An image's id is the official one: the number in COCO's file names, the file's stem in Flickr30k.
"""

import json
import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

from PIL.Image import Image

from vlft.data.readers.fields import Place
from vlft.data.readers.rows import FormatRow, Rows, listed
from vlft.data.records import ImageRef
from vlft.errors import DataError, RecordError
from vlft.recipe.data.benchmarks import Karpathy
from vlft.recipe.data.files import HUB, Captions

CAPTIONS = ("caption", "captions", "sentences")
NAMES = ("image", "filename")
FLICKR30K = "flickr30k-images"
"""Folder that Flickr30k's images are unpacked into."""

_OFFICIAL = re.compile(r"\s*\{\s*\"(images|dataset)\"\s*:")
_OFFICIAL_KEYS = ("filepath", "filename", "cocoid", "split", *CAPTIONS)
_COCO_NAME = re.compile(r"COCO_(\w+)_0*(\d+)")


class Captioned(NamedTuple):
    """An image with its captions.

    Attributes:
        place: Where it stands, for messages.
        id: Its official id.
        file: Name of its file.
        image: The image.
        captions: What people wrote about it, without blanks around it.
        field: The field that holds them.
    """

    place: Place
    id: str
    file: str
    image: ImageRef
    captions: list[str]
    field: str


class CaptionedImages:
    """The images of one split or several (``train+restval``), in the order of the file.

    Args:
        section: The recipe's or the benchmark's section.
        split: What is read where the section names no split.

    Raises:
        DataError: The data cannot be opened, or have no image of a split.
    """

    def __init__(self, section: Karpathy | Captions, *, split: str) -> None:
        chosen = section.split or split
        self._splits = chosen.split("+")
        official = _official_file(section.path)
        if official is not None:
            root = section.image_root
            folder = official.parent if root is None else Path(root).expanduser()
            self._rows = list(_official_rows(official, section.path, self._splits, folder))
            del self._rows[section.limit or len(self._rows) :]
            return
        if section.path.startswith(HUB):
            section = section.model_copy(update={"split": chosen})
        self._rows = Rows(section, {})

    def __len__(self) -> int:
        return len(self._rows)

    def __getitem__(self, index: int) -> Captioned:
        """Read one image with its captions.

        Raises:
            RecordError: The row lacks a field, names no image, has no caption, or is of another
                split.
        """
        row = self._rows[index]
        self._require_split(row)
        named, image = _image(row)
        field, captions = _captions(row)
        return Captioned(row.place, _image_id(row, named), named, image, captions, field)

    def num_captions(self) -> Iterator[int]:
        """Count the captions of every image, without reading images that are stored in the rows.

        An image of another split, without a name or without captions counts as one record, which is
        bad once it is read.
        """
        rows = self._rows
        if isinstance(rows, Rows):
            rows = rows.only(("split", *NAMES, *CAPTIONS))
        for index in range(len(rows)):
            try:
                row = rows[index]
                self._require_split(row)
                _named(row)
                yield len(_captions(row)[1])
            except RecordError:
                yield 1

    def _require_split(self, row: FormatRow) -> None:
        split = row.values.get("split")
        if split is not None and split not in self._splits:
            raise row.place.error(
                f"field `split`: found {split!r}, expected {' or '.join(map(repr, self._splits))} "
                "in every row; keep the rows of that split"
            )


@dataclass(frozen=True)
class Elsewhere:
    """Stands for an image that is not with its row.

    Attributes:
        dataset: Name of the data set.
        record_id: Id of the record.
        name: File name of the image.
    """

    dataset: str
    record_id: str
    name: str

    def __call__(self) -> Image:
        """Say where the image should be.

        Raises:
            RecordError: Always.
        """
        raise RecordError(
            f"its image {self.name} is not in the data set, which can score predictions but cannot "
            "show a model anything; download the images, and name their folder as `image_root` "
            "(a benchmark: with the JSON file, as --data)",
            dataset=self.dataset,
            record_id=self.record_id,
        )


def _official_file(path: str) -> Path | None:
    """Return the file if it has the form that Karpathy and Li published."""
    file = Path(path).expanduser()
    if file.suffix.lower() != ".json" or not file.is_file():
        return None
    with file.open(encoding="utf-8", errors="replace") as opened:
        return file if _OFFICIAL.match(opened.read(200)) else None


def _official_rows(file: Path, name: str, splits: Sequence[str], root: Path) -> Iterator[FormatRow]:
    try:
        images = json.loads(file.read_text(encoding="utf-8")).get("images")
    except ValueError as error:
        raise DataError(
            f"{name}: cut off or not valid JSON ({error}); get the file again"
        ) from error
    if not isinstance(images, list) or not all(isinstance(one, dict) for one in images):
        raise DataError(f"{name}: `images`: expected a list of objects, as in dataset_coco.json")
    found = Counter(str(image.get("split")) for image in images)
    for split in splits:
        if split not in found:
            there = ", ".join(f"{one} ({count})" for one, count in sorted(found.items()))
            raise DataError(
                f"{name}: `split`: no image is of {split!r}; there is: {there or 'nothing'}; name "
                "one of these, or several as train+restval"
            )
    for number, image in enumerate(images):
        if image.get("split") in splits:
            place = f"images[{number}]"
            yield FormatRow(_light(image), Place(name, place, place), root)


def _light(image: dict[str, Any]) -> dict[str, Any]:
    """Return what is read of an image: most of the file are words of captions, cut apart."""
    kept = {key: image[key] for key in _OFFICIAL_KEYS if key in image}
    if isinstance(kept.get("sentences"), list):
        kept["sentences"] = [
            one["raw"] if isinstance(one, Mapping) and isinstance(one.get("raw"), str) else one
            for one in kept["sentences"]
        ]
    return kept


def _named(row: FormatRow) -> tuple[str, Any]:
    """Return the name of an image's file, and what names or holds the image."""
    given = next((row.values[key] for key in NAMES if row.values.get(key) is not None), None)
    name = row.values.get("filename") if not isinstance(given, str) else given
    if given is None or not isinstance(name, str) or not name.strip():
        there = ", ".join(map(str, row.values)) or "nothing"
        raise row.place.error(
            "expected the file name of an image as `image` or `filename`, which tells its official "
            f"id; there is: {there}"
        )
    return name, given


def _image(row: FormatRow) -> tuple[str, ImageRef]:
    """Return the name of an image's file, and the image."""
    name, given = _named(row)
    if not isinstance(given, str):  # stored in the row
        return name, row.image(given, NAMES[0])
    folder = row.values.get("filepath")
    if isinstance(folder, str) and folder:
        name = f"{folder}/{name}"
    if row.root is None:
        where = Elsewhere(row.place.dataset, row.place.record_id, name)
        return name, ImageRef(draw=where, content=f"file:{name}")
    return name, row.image(_below(row.root, name), NAMES[0])


def _below(root: Path, name: str) -> str:
    """Return the path of an image, which may lie in the folder that its archive unpacks into."""
    coco = _COCO_NAME.match(name)
    folder = FLICKR30K if coco is None else coco[1]
    if "/" in name or (root / name).is_file() or not (root / folder).is_dir():
        return name
    return f"{folder}/{name}"


def _image_id(row: FormatRow, name: str) -> str:
    given = row.values.get("cocoid")
    if isinstance(given, int) and not isinstance(given, bool):
        return str(given)
    stem = Path(name).stem
    coco = _COCO_NAME.fullmatch(stem)
    number = stem if coco is None else coco[2]
    return str(int(number)) if number.isdecimal() else number


def _captions(row: FormatRow) -> tuple[str, list[str]]:
    """Return the field that holds the captions, and them."""
    field = next((key for key in CAPTIONS if key in row.values), None)
    if field is None:
        there = ", ".join(map(str, row.values)) or "nothing"
        raise row.place.error(f"field `caption` or `sentences` is missing; there is: {there}")
    value = listed(row.values[field])
    value = [value] if isinstance(value, str) else value
    if not isinstance(value, list) or not value:
        expected = "a list of captions, at least one; correct it, or take the image out of the data"
        raise row.place.wrong(field, row.values[field], expected)
    captions = [one.get("raw") if isinstance(one, Mapping) else one for one in value]
    for number, caption in enumerate(captions):
        if not isinstance(caption, str) or not caption.strip():
            expected = "a caption, or an object with the caption as `raw`"
            raise row.place.wrong(f"{field}[{number}]", value[number], expected)
    return field, [str(caption).strip() for caption in captions]


__all__ = ["Captioned", "CaptionedImages", "Elsewhere"]
