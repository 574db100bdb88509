"""LLaVA JSON: records of a list, read by byte offset."""

import json

import pytest

from vlft.data.readers.sharegpt import llava_json
from vlft.errors import DataError, RecordError
from vlft.recipe.data import LlavaJson
from vlft.types import Message

GOOD = {
    "id": "000000033471",
    "image": "coco/a.jpg",
    "conversations": [
        {"from": "human", "value": "What color is the bus?\n<image>"},
        {"from": "gpt", "value": "White and red."},
        {"from": "human", "value": "Where?"},
        {"from": "gpt", "value": "In the [street], {left}."},
    ],
}
TEXT = {
    "id": 7,
    "conversations": [{"from": "human", "value": "Größe?"}, {"from": "gpt", "value": "5"}],
}


@pytest.fixture
def read(tmp_path):
    def make(content, **options):
        path = tmp_path / "data.json"
        if isinstance(content, bytes):
            path.write_bytes(content)
        else:
            path.write_text(json.dumps(content, ensure_ascii=False, indent=1), encoding="utf-8")
        return llava_json(LlavaJson(type="llava_json", path=str(path), **options))

    return make


def test_roles_marks_and_image(read):
    data = read([GOOD, TEXT])
    assert data[0].id == "000000033471"
    assert data[0].messages[0] == Message("user", ("What color is the bus?", 0))
    assert [turn.role for turn in data[0].messages] == ["user", "assistant"] * 2
    assert data[1].id == "7"
    assert data[1].images == ()
    assert data[1].messages[0].content == ("Größe?",)


def test_several_images(read):
    turns = [{"from": "human", "value": "<image><image>\nsame?"}, {"from": "gpt", "value": "no"}]
    (record,) = read([{"image": ["a.jpg", "b.jpg"], "conversations": turns}])
    assert record.id == "item 1"
    assert record.messages[0].content == (0, 1, "same?")
    assert [str(ref.path) for ref in record.images] == ["a.jpg", "b.jpg"]


@pytest.mark.parametrize("indent", [None, 4])
def test_items_are_those_of_the_json_parser(read, indent):
    records = [{**TEXT, "id": str(i), "note": 'a "]" or "," ü\\'} for i in range(20)]
    content = b"\xef\xbb\xbf" + json.dumps(records, ensure_ascii=False, indent=indent).encode()
    data = read(content)
    assert [data[i].id for i in range(len(data))] == [record["id"] for record in records]
    assert len(read(content, limit=3)) == 3


BAD_FILES = {
    "object": (b' {"a":\n 1}', "expected a JSON list "),
    "broken item": (b'[{"id": 1},\n {"id": }]', "line 2, column 9: not valid JSON in item 2"),
    "no comma": (b'[{"id": 1} {"id": 2}]', "not valid JSON in item 1 (expected ',' or ']')"),
    "cut off": (b'[{"id": 1}, ', "not valid JSON in item 2"),
}


@pytest.mark.parametrize(("content", "phrase"), BAD_FILES.values(), ids=BAD_FILES)
def test_file_that_is_no_json_list(read, content, phrase):
    with pytest.raises(DataError) as error:
        read(content)
    assert phrase in str(error.value)


BAD_ITEMS = {
    "missing key": ({"id": 5}, "record 5: item 1, field `conversations` is missing"),
    "speaker": (
        {"conversations": [{"from": "bot", "value": "x"}]},
        'field `conversations[0].from`: found "bot", expected system | human | gpt',
    ),
    "mark without image": (
        {**GOOD, "image": None},
        "placeholder mismatch: found 1 <image> marks in `conversations`, expected 0, one for each "
        "image in `image`",
    ),
    "image": ({**GOOD, "image": 3}, "field `image`: found 3, expected an image: a path"),
}


@pytest.mark.parametrize(("item", "phrase"), BAD_ITEMS.values(), ids=BAD_ITEMS)
def test_bad_item_names_file_row_and_field(read, item, phrase):
    with pytest.raises(RecordError) as error:
        read([item])[0]
    assert phrase in str(error.value)
    assert "data.json, record " in str(error.value)
