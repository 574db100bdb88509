"""What ``vlft init`` finds out by looking: the kind of a model, and the format of a data file."""

import itertools
import json
from collections.abc import Callable, Collection, Mapping
from pathlib import Path
from typing import Any

from huggingface_hub import hf_hub_download
from pydantic import TypeAdapter

from vlft import hub
from vlft.backbones import BACKBONES, build
from vlft.backbones.image_text_to_text import FAMILIES
from vlft.data import open_dataset
from vlft.data.beside import looked_over, num_images
from vlft.data.records import ImageRef, images_of
from vlft.data.sources import open_source
from vlft.errors import BackboneError, DataError
from vlft.recipe.backbone import BackboneSection, ImageTextToText
from vlft.recipe.data import DatasetSection
from vlft.recipe.data.files import HUB, Messages
from vlft.types import Backbone

Fields = dict[str, Any]

OPEN_CLIP = "open_clip:"
NUM_ROWS = 8
"""Rows of a data set that are looked at."""

IMAGES = ("image", "images", "image_path", "filepath", "file_path", "file_name", "img", "path")
QUESTIONS = ("question", "query", "prompt", "instruction", "input")
ANSWERS = ("answer", "answers", "multiple_choice_answer", "response", "completion", "output")
OPTIONS = ("options", "choices")
TEXTS = ("title", "caption", "text", "description", "captions")
LABELS = ("label", "class", "category", "label_name")
"""Names that columns have in published data sets, the usual one first."""


def look_at_model(name: str) -> tuple[Fields, Backbone]:
    """Return the fields of a ``backbone`` section for a model, and its shapes without weights.

    Args:
        name: A folder, a Hub id with ``@revision`` or without, or ``open_clip:`` and an
            architecture.

    Raises:
        BackboneError: There is no such model, or vlft cannot tell its parts apart.
    """
    if name.startswith(OPEN_CLIP):
        fields: Fields = {"type": "open_clip", "model": name.removeprefix(OPEN_CLIP)}
        return fields, _shapes(fields)
    model, _, revision = name.partition("@")
    section = hub.section_of(_config_folder(model, revision or None))
    fields = {"type": section.type, "model": model} | ({"revision": revision} if revision else {})
    if isinstance(section, ImageTextToText) and _model_type(section) not in FAMILIES:
        fields["sites"] = "auto"
    return fields, _shapes(fields)


def look_at_data(path: str, family: str, classes: Collection[str] = ()) -> Fields:
    """Return the fields of a data section for a file, folder or Hub data set.

    Args:
        path: As ``data.train.path`` takes it.
        family: What the host trains on: conversations (``generative``), pairs (``contrastive``) or
            labeled images (``vision``).
        classes: Class names that the host has.

    Raises:
        DataError: There is no such data, or no format of this family fits its columns.
        RecordError: One of its first records is bad.
    """
    if (Path(path) / "problems.json").is_file():
        fields: Fields = {"type": "scienceqa", "path": path}
    elif family == "vision" and Path(path).is_dir():
        fields = {"type": "classification", "path": path}
    else:
        fields = {"path": path} | _format(path, family)
    first = _first_images(fields)
    nowhere = [i for i in first if not ((_root(path) / i).is_file() or Path(i).is_file())]
    if any(not (_root(path) / image).is_file() for image in first):
        if nowhere or any(not Path(image).is_file() for image in first):
            missing = nowhere[0] if nowhere else next(i for i in first if not Path(i).is_file())
            raise DataError(
                f"{path}: image {missing!r} is neither below {_root(path)} nor below the working "
                "directory: check the path, or start vlft init in the folder that image paths are "
                "relative to"
            )
        fields["image_root"] = "."
    return {"type": fields.pop("type"), **fields}


def size_of(fields: Fields) -> int:
    """Return the number of records of a data section; the first ones are read.

    Raises:
        DataError: The data cannot be read as the section says.
    """
    records = open_dataset(TypeAdapter(DatasetSection).validate_python(fields))
    for index in range(min(NUM_ROWS, len(records))):
        _ = records[index]
    return len(records)


def most_images(fields: Fields) -> int:
    """Return the most images of a record; of the first ones, where records hold the images."""
    records = open_dataset(TypeAdapter(DatasetSection).validate_python(fields))
    shown = looked_over(records, least=NUM_ROWS)
    return max((num_images(record.messages) for record in shown), default=0)


def labels_of(fields: Fields) -> list[str]:
    """Return the labels of all records of a data section, sorted."""
    records = open_dataset(TypeAdapter(DatasetSection).validate_python(fields))
    return sorted({getattr(records[index], "label", "") for index in range(len(records))})


def _config_folder(model: str, revision: str | None) -> Path:
    """Return a folder with the model's config.json; a Hub model gives that file alone."""
    if Path(model).is_dir():
        return Path(model)
    try:
        return Path(hf_hub_download(model, "config.json", revision=revision)).parent
    except Exception as error:
        raise BackboneError(
            f"--model {model}: it is no folder here, and the Hub gave no config.json "
            f"({type(error).__name__}): check the name, the network and HF_HUB_OFFLINE"
        ) from error


def _model_type(section: BackboneSection) -> str:
    assert section.model is not None
    return json.loads((Path(section.model) / "config.json").read_text("utf-8"))["model_type"]


def _shapes(fields: Fields) -> Backbone:
    assert fields["type"] in BACKBONES
    return build(TypeAdapter(BackboneSection).validate_python(fields), device="meta")


def _format(path: str, family: str) -> Fields:
    """Return type and columns that fit the first rows."""
    source = open_source(Messages(type="messages", path=path))
    rows = [source[index].values for index in range(min(NUM_ROWS, len(source)))]
    if not rows:
        raise DataError(f"{path} has no records")
    columns = list(dict.fromkeys(itertools.chain.from_iterable(rows)))
    finders: Mapping[
        str, tuple[Callable[[list[dict[str, Any]], list[str]], Fields | None], ...]
    ] = {
        "generative": (_turns, _questions),
        "contrastive": (_pairs,),
        "vision": (_labeled,),
    }
    for find in finders[family]:
        found = find(rows, columns)
        if found is not None:
            return found
    wanted = {
        "generative": "`messages` or `conversations`, or a question and an answer",
        "contrastive": "an image and a caption",
        "vision": "an image and a label",
    }[family]
    raise DataError(
        f"{path}: a {family} host needs {wanted}, and the columns are {', '.join(columns)}: write "
        "data.train by hand, with its columns (docs/data.md)"
    )


def _turns(rows: list[dict[str, Any]], columns: list[str]) -> Fields | None:
    column = next((name for name in ("messages", "conversations") if name in columns), None)
    turns = None if column is None else rows[0].get(column)
    if not isinstance(turns, list) or not turns or not isinstance(turns[0], dict):
        return None
    ours = column == "messages" and "role" in turns[0] and "image" not in columns
    return {"type": "messages" if ours else "sharegpt"}


def _questions(rows: list[dict[str, Any]], columns: list[str]) -> Fields | None:
    question, answer = _column(columns, QUESTIONS), _column(columns, ANSWERS)
    if question is None or answer is None:
        return None
    fields: Fields = {"type": "question_answer"}
    names = {"question_column": question, "answer_column": answer}
    names |= {"image_column": _column(columns, IMAGES)}
    if (options := _column(columns, OPTIONS)) is not None:
        names["options_column"] = options
    return fields | _unusual(names, question_column="question", answer_column="answer")


def _pairs(rows: list[dict[str, Any]], columns: list[str]) -> Fields | None:
    image, text = _column(columns, IMAGES), _column(columns, TEXTS)
    if image is None or text is None:
        return None
    names = {"image_column": image, "text_column": text}
    found = {"image_column": "filepath", "text_column": "title"}
    return {"type": "pairs"} | {key: name for key, name in names.items() if name != found[key]}


def _labeled(rows: list[dict[str, Any]], columns: list[str]) -> Fields | None:
    image, label = _column(columns, IMAGES), _column(columns, LABELS)
    if image is None or label is None:
        return None
    names = {"image_column": image, "label_column": label}
    found = {"image_column": "image", "label_column": "label"}
    return {"type": "classification"} | {k: name for k, name in names.items() if name != found[k]}


def _unusual(names: Mapping[str, str | None], **usual: str) -> Fields:
    """Return the columns that are not named as the section's defaults are."""
    defaults = {"image_column": "image", **usual}
    return {key: name for key, name in names.items() if name != defaults.get(key, object())}


def _column(columns: Collection[str], names: Collection[str]) -> str | None:
    by_lower = {column.lower(): column for column in columns}
    return next((by_lower[name] for name in names if name in by_lower), None)


def _root(path: str) -> Path:
    return Path(path) if Path(path).is_dir() else Path(path).parent


def _first_images(fields: Fields) -> list[str]:
    """Return the image paths of the first records; none where images are in the data."""
    if fields["path"].startswith(HUB) or Path(fields["path"]).is_dir():
        return []
    records = open_dataset(TypeAdapter(DatasetSection).validate_python(fields))
    found: list[ImageRef] = []
    for index in range(min(NUM_ROWS, len(records))):
        found += images_of(records[index])
    return [str(ref.path) for ref in found if ref.path is not None]
