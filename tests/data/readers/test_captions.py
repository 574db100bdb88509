"""Captions to learn to write: every caption of an image of the chosen splits, once."""
# ruff: noqa: E501  a table of one case per line

import json
from io import BytesIO

import datasets
import pytest
from PIL import Image
from pydantic import ValidationError

from vlft.data import open_dataset
from vlft.data.images import open_image
from vlft.data.readers.captions import CaptionsDataset
from vlft.errors import DataError, MissingImageError, RecordError
from vlft.recipe.data import Captions
from vlft.types import Message

PROMPT = "a picture of"
NAME = "dataset_coco.json"


def section(path, **options):
    return Captions(type="captions", path=str(path), prompt=PROMPT, **options)


def read(path, **options):
    return list(CaptionsDataset(section(path, **options)))


def answers(path, **options):
    return [record.messages[-1].content[0] for record in read(path, **options)]


@pytest.fixture
def official(tmp_path):
    """Write images as (split, captions) in Karpathy's own form."""

    def write(*images, **changes):
        rows = [
            {
                "filepath": "train2014",
                "filename": f"COCO_train2014_{number:012}.jpg",
                "cocoid": number,
                "split": split,
                "sentences": [{"raw": text, "tokens": text.split()} for text in captions],
            }
            | changes
            for number, (split, captions) in enumerate(images)
        ]
        path = tmp_path / NAME
        path.write_text(json.dumps({"images": rows, "dataset": "coco"}), encoding="utf-8")
        return path

    return write


SPLITS = (
    ("train", ["One.", "Two."]),
    ("test", ["Never learned."]),
    ("restval", ["Three."]),
    ("train", ["Four.", "Five.", "Six."]),
    ("val", ["Held out."]),
)


def test_every_caption_is_a_record_of_its_own(official, tmp_path):
    records = read(official(*SPLITS))
    assert [record.messages[-1].content[0] for record in records] == [
        "One.", "Two.", "Four.", "Five.", "Six.",
    ]  # fmt: skip
    first, last = records[0], records[-1]
    assert first.messages == (Message("user", (0, PROMPT)), Message("assistant", ("One.",)))
    assert (first.id, last.id) == ("images[0].sentences[0]", "images[3].sentences[2]")
    assert last.meta["answers"] == ["Four.", "Five.", "Six."]
    assert str(last.images[0].path) == "train2014/COCO_train2014_000000000003.jpg"
    assert last.images[0].root == tmp_path


def test_splits_are_joined_in_the_order_of_the_file(official):
    path = official(*SPLITS)
    joined = answers(path, split="train+restval")
    assert joined == ["One.", "Two.", "Three.", "Four.", "Five.", "Six."]
    assert answers(path, split="val") == ["Held out."]


def test_limit_counts_captions(official):
    assert answers(official(*SPLITS), limit=3) == ["One.", "Two.", "Four."]


def test_cleaned_captions(official):
    long = " ".join(f"Word{number}" for number in range(40))
    path = official(("train", ['A "Big" man, (left) don\'t ride.  ', long]))
    first, second = answers(path, clean=True)
    assert first == "a big man, left don't ride"
    assert second == " ".join(f"word{number}" for number in range(30))
    assert read(path, clean=True)[0].meta["answers"][0] == 'A "Big" man, (left) don\'t ride.'


def test_a_row_for_each_caption_as_in_blips_files(tmp_path):
    rows = [
        {"image": "train2014/COCO_train2014_000000000009.jpg", "caption": text} for text in "ab"
    ]
    path = tmp_path / "coco_karpathy_train.json"
    path.write_text(json.dumps(rows))
    assert answers(path) == ["a", "b"]
    assert [record.id for record in read(path)] == ["item 1", "item 2"]
    with pytest.raises(DataError, match="have no splits"):
        read(path, split="train+restval")


@pytest.mark.parametrize("split", [None, "train+restval"])
def test_a_missing_file_is_named(official, split):
    path = official(*SPLITS).with_name("dataset_cocos.json")
    with pytest.raises(DataError, match=rf"{path}' does not exist .*check `path`.*{NAME}'\?"):
        read(path, split=split)


def test_a_split_without_images_is_named_with_those_that_are_there(official):
    path = official(*SPLITS)
    with pytest.raises(DataError) as error:
        read(path, split="train+retsval")
    assert str(error.value) == (
        f"{path}: `split`: no image is of 'retsval'; there is: restval (1), test (1), train (2), "
        "val (1); name one of these, or several as train+restval"
    )


def test_an_image_that_is_not_there_is_looked_for_by_name(official, tmp_path):
    path = official(*SPLITS)
    record = read(path)[0]
    with pytest.raises(MissingImageError) as error:
        open_image(record.images[0], dataset=str(path), record_id=record.id)
    assert str(error.value).startswith(
        f"{path}, record images[0].sentences[0]: image not found: "
        f"'train2014/COCO_train2014_000000000000.jpg', looked for at {tmp_path}"
    )
    assert "set `image_root`" in str(error.value)


BAD_IMAGES = {
    "no sentences": ({"sentences": []}, "field `sentences`: found [], expected a list of captions, at least one; correct it"),
    "null": ({"sentences": None}, "field `sentences`: found null, expected a list of captions"),
    "a blank one": ({"sentences": [{"raw": "a"}, {"raw": " "}]}, 'field `sentences[1]`: found " ", expected a caption'),
    "no raw": ({"sentences": [{"tokens": ["a"]}]}, "field `sentences[0]`: found {"),
    "no name": ({"filename": None}, "expected the file name of an image"),
}  # fmt: skip


@pytest.mark.parametrize(("changes", "phrase"), BAD_IMAGES.values(), ids=BAD_IMAGES)
def test_a_bad_image_is_one_bad_record(official, changes, phrase):
    path = official(("train", ["a"]), **changes)
    data = open_dataset(section(path))
    assert len(data) == 1
    with pytest.raises(RecordError) as error:
        _ = data[0]
    assert str(error.value).startswith(f"{path}, record images[0]: ")
    assert phrase in str(error.value)


def test_a_caption_without_words_is_told_once_it_is_cleaned(official):
    path = official(("train", ["A dog.", " ... "]))
    assert answers(path) == ["A dog.", "..."]
    with pytest.raises(
        RecordError, match=r'`sentences\[1\]`: found "...", expected a caption with'
    ):
        read(path, clean=True)


def test_bad_images_are_left_out_on_request(official, write_image):
    path = official(("train", ["a"]), ("train", []), ("train", ["b", "c"]))
    for number in (0, 2):
        write_image(f"train2014/COCO_train2014_{number:012}.jpg")
    data = open_dataset(section(path), on_bad_record="skip")
    assert [data[index].messages[-1].content[0] for index in range(len(data))] == ["a", "b", "c"]
    assert [error.record_id for error in data.skipped] == ["images[1]"]


def stored(folder, kind, captions, **columns):
    """Write images that are stored with their captions, and no image file."""
    png = BytesIO()
    Image.new("RGB", (8, 8)).save(png, "png")
    names = [f"COCO_val2014_{number:012}.jpg" for number in range(len(captions))]
    images = [{"bytes": png.getvalue(), "path": None}] * len(captions)
    values = {"image": images, "filename": names, "captions": captions, **columns}
    table = datasets.Dataset.from_dict(values).cast_column("image", datasets.Image())
    path = folder / f"captions{kind}"
    if kind == ".parquet":
        table.to_parquet(path)
    else:
        table.save_to_disk(path)
    return path


@pytest.mark.parametrize("kind", [".parquet", ""])
def test_stored_images_are_not_read_to_be_counted(tmp_path, monkeypatch, kind):
    captions = [["a", "b"], ["c"], ["d", " "], ["e", "f", "g"]]
    path = stored(tmp_path, kind, captions, split=["train"] * 4)
    columns = []
    read = datasets.Dataset.__getitem__

    def watched(table, key):
        columns.append(table.column_names)
        return read(table, key)

    monkeypatch.setattr(datasets.Dataset, "__getitem__", watched)
    data = CaptionsDataset(section(path))
    assert columns == [["filename", "captions", "split"]]  # once, for all rows
    assert len(data) == 2 + 1 + 1 + 3  # a bad image is one bad record
    assert [data[index].messages[-1].content[0] for index in (0, 1, 2, 4, 6)] == list("abceg")
    assert open_image(data[6].images[0], dataset="d", record_id="r").size == (8, 8)
    assert "image" in columns[-1]
    with pytest.raises(RecordError, match=r"row 2: field `captions\[1\]`"):
        _ = data[3]


def test_a_limit_ends_the_counting(tmp_path, monkeypatch):
    path = stored(tmp_path, ".parquet", [["a", "b"]] * 6)
    monkeypatch.setattr("vlft.data.sources.arrow._AHEAD", 2)
    starts = []
    read = datasets.Dataset.__getitem__
    monkeypatch.setattr(
        datasets.Dataset, "__getitem__", lambda table, key: starts.append(key) or read(table, key)
    )
    data = CaptionsDataset(section(path, limit=5))
    assert starts == [slice(0, 2), slice(2, 4)]
    assert [data[index].messages[-1].content[0] for index in range(len(data))] == list("ababa")


def test_rows_of_another_split_and_without_a_name_are_one_bad_record_each(tmp_path):
    splits = datasets.ClassLabel(names=["test", "train"])
    table = datasets.Dataset.from_dict(
        {
            "filename": ["1.jpg", None, "3.jpg"],
            "sentences": [[{"raw": "a"}, {"raw": "b"}]] * 3,
            "split": [1, 1, 0],
        }
    )
    table.cast_column("split", splits).to_parquet(tmp_path / "rows.parquet")
    data = CaptionsDataset(section(tmp_path / "rows.parquet"))
    assert len(data) == 4
    for index, phrase in ((2, "expected the file name"), (3, "field `split`: found 'test'")):
        with pytest.raises(RecordError, match=phrase):
            _ = data[index]


@pytest.mark.parametrize("prompt", ["", "  \n"])
def test_a_prompt_has_words(prompt):
    with pytest.raises(ValidationError):
        Captions(type="captions", path="a.json", prompt=prompt)
