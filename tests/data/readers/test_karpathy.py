"""Karpathy's splits in BLIP's form, in his own, and as rows of the Hub."""

import json

import pytest

from vlft.data.images import open_image
from vlft.data.readers.karpathy import KarpathyDataset
from vlft.data.records import ImageRef
from vlft.errors import DataError, RecordError
from vlft.recipe.data.benchmarks import Karpathy

COCO = "COCO_val2014_000000391895.jpg"
TWO = ["A man on a moped.", " Man riding a bike.\n"]


def read(path, **options):
    return KarpathyDataset(Karpathy(type="karpathy", path=str(path), **options))


@pytest.fixture
def write(tmp_path):
    def write(content, name="data.json"):
        path = tmp_path / name
        path.write_text(json.dumps(content), encoding="utf-8")
        return path

    return write


def official(*splits, **changes):
    images = [
        {
            "filepath": "val2014",
            "filename": f"COCO_val2014_{number:012}.jpg",
            "cocoid": number,
            "imgid": 7,
            "split": split,
            "sentences": [{"raw": text, "tokens": ["x"]} for text in TWO],
        }
        | changes
        for number, split in enumerate(splits)
    ]
    return {"images": images, "dataset": "coco"}


def test_blip_form(write, tmp_path):
    (pair,) = read(write([{"image": f"val2014/{COCO}", "caption": TWO}]))
    assert (pair.id, pair.text) == ("391895", TWO[0])
    assert pair.meta["answers"] == ["A man on a moped.", "Man riding a bike."]
    assert pair.image == ImageRef(
        path=(tmp_path / f"val2014/{COCO}").relative_to(tmp_path), root=tmp_path
    )


def test_karpathys_own_form_gives_one_split_of_it(write):
    path = write(official("train", "test", "restval", "test", "val"))
    data = read(path)
    assert [pair.id for pair in data] == ["1", "3"]
    assert str(data[0].image.path) == "val2014/COCO_val2014_000000000001.jpg"
    assert data[0].meta["answers"] == [text.strip() for text in TWO]
    assert [pair.id for pair in read(path, split="restval")] == ["2"]
    assert [pair.id for pair in read(path, limit=1)] == ["1"]


def test_rows_of_the_hub(write_jsonl, tmp_path):
    row = {"filename": COCO, "imgid": 3, "sentences": TWO, "url": "http://images.cocodataset.org"}
    path = write_jsonl([row, row | {"filename": "1007129816.jpg"}])
    first, second = read(path)
    assert (first.id, first.text, second.id) == ("391895", TWO[0], "1007129816")
    assert str(first.image.path) == COCO
    for folder in ("val2014", "flickr30k-images"):
        (tmp_path / folder).mkdir()
    first, second = read(path)
    assert str(first.image.path) == f"val2014/{COCO}"
    assert str(second.image.path) == "flickr30k-images/1007129816.jpg"


def test_rows_without_any_folder_can_be_scored_and_not_shown(monkeypatch):
    """As the Hub's copies are: they name files that are elsewhere."""
    monkeypatch.setattr(
        "vlft.data.readers.captioned_images.Rows", lambda section, columns: HubRows(section)
    )
    data = read("hub:yerevann/coco-karpathy")
    assert (data[0].id, data[0].meta["answers"][0]) == ("391895", TWO[0])
    with pytest.raises(RecordError, match=rf"record row 0: its image val2014/{COCO} is not in"):
        open_image(data[0].image, dataset="d", record_id="r")


class HubRows(list):
    def __init__(self, section):
        from vlft.data.readers.fields import Place
        from vlft.data.readers.rows import FormatRow

        assert section.split == "test"
        values = {"filename": COCO, "filepath": "val2014", "sentences": TWO, "split": "test"}
        super().__init__([FormatRow(values, Place(section.path, "row 0", "row 0"), None)])


def test_images_may_stand_in_the_rows(tmp_path):
    import pyarrow as pa
    import pyarrow.parquet as pq

    row = {"image": {"bytes": b"\x89PNG"}, "filename": "36979.jpg", "caption": TWO, "split": "test"}
    pq.write_table(pa.Table.from_pylist([row]), tmp_path / "data.parquet")
    (pair,) = read(tmp_path / "data.parquet")
    assert (pair.id, pair.image.data) == ("36979", b"\x89PNG")


@pytest.mark.parametrize(
    ("name", "record_id"),
    [
        (f"val2014/{COCO}", "391895"),
        ("000000391895.jpg", "391895"),
        ("flickr30k-images/1007129816.jpg", "1007129816"),
        ("my/photo-01.png", "photo-01"),
        ("val2014/COCO_val2014_000000000000.png", "0"),
    ],
)
def test_ids_are_the_official_ones(write, name, record_id):
    assert read(write([{"image": name, "caption": TWO}]))[0].id == record_id


BAD_ROWS = {
    "no captions": (
        {"image": "a.jpg"},
        "field `caption` or `sentences` is missing; there is: image",
    ),
    "empty list": ({"image": "a.jpg", "caption": []}, "found [], expected a list of captions"),
    "empty caption": ({"image": "a.jpg", "caption": ["a", " "]}, 'field `caption[1]`: found " "'),
    "no text": ({"image": "a.jpg", "sentences": [{"tokens": []}]}, "field `sentences[0]`: found"),
    "no image": ({"caption": ["a"]}, "expected the file name of an image as `image` or `filename`"),
    "other split": (
        {"image": "a.jpg", "caption": ["a"], "split": "train"},
        "field `split`: found 'train', expected 'test' in every row",
    ),
}


@pytest.mark.parametrize(("row", "phrase"), BAD_ROWS.values(), ids=BAD_ROWS)
def test_bad_rows_are_named(write, row, phrase):
    with pytest.raises(RecordError) as error:
        read(write([row]))[0]
    assert "item 1" in str(error.value)
    assert phrase in str(error.value)


def test_bad_images_of_karpathys_form_are_named(write):
    data = read(write(official("train", "test", sentences=None)))
    with pytest.raises(RecordError, match=r"images\[1\].*`sentences`: found null, expected a list"):
        data[0]


BAD_FILES = {
    "cut off": ('{"images": [{"split": "test"', "cut off or not valid JSON"),
    "no list": ('{"images": {}}', "`images`: expected a list of objects"),
    "other splits": (
        '{"images": [{"split": "val"}, {"split": "val"}, {"split": "train"}]}',
        "no image is of 'test'; there is: train (1), val (2)",
    ),
}


@pytest.mark.parametrize(("text", "phrase"), BAD_FILES.values(), ids=BAD_FILES)
def test_bad_files_are_named(tmp_path, text, phrase):
    path = tmp_path / "dataset_coco.json"
    path.write_text(text)
    with pytest.raises(DataError) as error:
        read(path)
    assert phrase in str(error.value)
