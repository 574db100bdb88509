"""SugarCrepe's files, and rows with their columns."""

import json

import pytest
from PIL import Image

from vlft.data import open_dataset
from vlft.data.images import open_image
from vlft.data.scenes.layouts.files import write_parquet
from vlft.errors import DataError, RecordError
from vlft.recipe.data.benchmarks import CaptionPairs

RECORD = {
    "filename": "000000000009.png",
    "caption": "A dog runs. ",
    "negative_caption": "A blue dog runs.",
}


@pytest.fixture
def read(tmp_path):
    def write(content, name="add_att.json", **settings):
        path = tmp_path / name
        path.write_text(content if isinstance(content, str) else json.dumps(content))
        return open_dataset(CaptionPairs(type="caption_pairs", path=str(path), **settings))

    return write


def test_the_official_object_of_records(read, write_image, tmp_path):
    write_image("val2017/000000000009.png")
    root = str(tmp_path / "val2017")
    records = read({"0": RECORD, "7": RECORD | {"caption": "x"}}, image_root=root)
    first, second = (records[index] for index in range(2))
    assert (first.id, second.id) == ("0", "7")
    assert (first.text, first.meta) == ("A dog runs.", {"negative": "A blue dog runs."})
    assert open_image(first.image, dataset="x", record_id="0").size == (60, 48)
    assert len(read({"0": RECORD, "7": RECORD}, limit=1)) == 1


def test_a_list_and_lines_are_read_as_well(read, write_image):
    write_image("000000000009.png")
    for content, name in (([RECORD, RECORD], "a.json"), (f"{json.dumps(RECORD)}\n" * 2, "a.jsonl")):
        records = read(content, name)
        assert [records[index].id for index in range(2)] == ["0", "1"]
        assert open_image(records[0].image, dataset="x", record_id="0").size == (60, 48)
    assert read([RECORD | {"id": "mine"}], "b.json")[0].id == "mine"


def test_one_line_of_json_is_an_object_of_records_too(read):
    assert len(read({"0": RECORD})) == 1


def test_rows_of_a_hub_copy_hold_the_image(tmp_path):
    row = {"images": Image.new("RGB", (9, 8)), "caption": "a", "negative_caption": "b"}
    write_parquet([row], tmp_path / "test.parquet")
    section = CaptionPairs(type="caption_pairs", path=str(tmp_path / "test.parquet"))
    record = open_dataset(section)[0]
    assert (record.text, record.meta) == ("a", {"negative": "b"})
    assert open_image(record.image, dataset="x", record_id="0").size == (9, 8)


@pytest.mark.parametrize(
    ("record", "message"),
    [
        ({"filename": "a.png", "caption": "x"}, r"field `negative_caption` is missing"),
        (RECORD | {"negative_caption": "  "}, r'field `negative_caption`: found "", expected a c'),
        ({"caption": "x", "negative_caption": "y"}, r"field `filename` is missing, expected an im"),
        (RECORD | {"filename": None}, r"field `filename`: found 0 images, expected 1"),
        ([1], r"field `record`: found \[1\], expected an object"),
    ],
)
def test_a_bad_record_is_named(read, record, message):
    records = read({"0": RECORD, "1": record})
    with pytest.raises(RecordError, match=f"record 1: {message}"):
        records[1]


def test_a_file_that_is_cut_off_is_named(read):
    with pytest.raises(DataError, match=r"add_att\.json: found .*expected a JSON list"):
        read(json.dumps({"0": RECORD}, indent=1)[:-20])
