"""Messages JSONL: what is read, and what each kind of bad line says."""

import pytest

from vlft.data import open_dataset
from vlft.data.readers.messages import MessagesDataset
from vlft.errors import DataError, RecordError
from vlft.recipe.data import Messages
from vlft.types import Message

QUESTION = {"role": "user", "content": "<image>\nwhat is it?"}
ANSWER = {"role": "assistant", "content": "a circle"}
GOOD = {"messages": [QUESTION, ANSWER], "images": ["a.png"]}


def read(path, **options):
    return MessagesDataset(Messages(type="messages", path=str(path), **options))


def test_marks_become_image_indices(write_jsonl):
    (record,) = read(write_jsonl([{**GOOD, "id": "q1", "source": "us"}]))
    assert record.id == "q1"
    assert record.messages == (
        Message("user", (0, "what is it?")),
        Message("assistant", ("a circle",)),
    )
    assert [str(ref.path) for ref in record.images] == ["a.png"]
    assert record.meta == {"source": "us"}


def test_content_lists_mean_the_same_as_marks(write_jsonl):
    parts = [{"type": "image"}, {"type": "text", "text": "what is it?"}]
    listed = {**GOOD, "messages": [{"role": "user", "content": parts}, ANSWER]}
    marked, lists = read(write_jsonl([GOOD, listed]))
    assert marked.messages == lists.messages


def test_several_images_count_on_over_turns_and_text_alone_is_fine(write_jsonl):
    turns = [
        {"role": "system", "content": "be short"},
        {"role": "user", "content": "compare <image> and <image>"},
        ANSWER,
        {"role": "user", "content": "and <image>?"},
        ANSWER,
    ]
    many, text = read(
        write_jsonl(
            [
                {"messages": turns, "images": ["a.png", "b.png", "c.png"]},
                {"messages": [{"role": "user", "content": "hello"}, ANSWER]},
            ]
        )
    )
    assert [part for turn in many.messages for part in turn.content if part in (0, 1, 2)] == [
        0,
        1,
        2,
    ]
    assert text.images == ()


def test_lines_are_counted_as_an_editor_counts_them(write_jsonl):
    path = write_jsonl(["", GOOD, "   ", GOOD])
    assert [record.id for record in read(path)] == ["line 2", "line 4"]


def test_limit_takes_the_first_lines_and_text_is_utf8(write_jsonl):
    path = write_jsonl(
        [{"messages": [{"role": "user", "content": f"größe {i}"}, ANSWER]} for i in range(5)]
    )
    path.write_bytes(b"\xef\xbb\xbf" + path.read_bytes())  # as some editors save it
    assert [record.messages[0].content[0] for record in read(path, limit=2)] == [
        "größe 0",
        "größe 1",
    ]


def turns(*messages):
    return {"messages": list(messages), "images": []}


BAD_LINES = {
    "not json": ('{"messages": [', "line 2: not valid JSON: "),
    "no object": ("[1, 2]", "line 2: field `record`: found [1, 2], expected an object"),
    "missing key": (
        {"text": "hi"},
        "line 2: field `messages` is missing, expected a list; there is: text",
    ),
    "wrong type": (
        {"messages": "hi"},
        'line 2: field `messages`: found "hi", expected a list',
    ),
    "row and id": (
        {"id": "q7", "messages": 3},
        "record q7: line 2, field `messages`: found 3, expected a list",
    ),
    "turn": (turns("hi"), 'field `messages[0]`: found "hi", expected an object'),
    "no role": (
        turns({"content": "hi"}),
        "field `messages[0].role` is missing, expected text; there is: content",
    ),
    "role": (
        turns({"role": "bot", "content": "hi"}),
        'field `messages[0].role`: found "bot", expected system | user | assistant',
    ),
    "content": (
        turns({"role": "user", "content": 5}),
        "field `messages[0].content`: found 5, expected text",
    ),
    "part": (
        turns({"role": "user", "content": [{"type": "video", "video": "a.mp4"}]}),
        "field `messages[0].content[0]`: found {",
    ),
    "image path": (
        {"messages": [QUESTION, ANSWER], "images": [5]},
        "field `images[0]`: found 5, expected an image: a path, bytes, base64",
    ),
    "images": (
        {"messages": [QUESTION, ANSWER], "images": "a.png"},
        'field `images`: found "a.png", expected a list',
    ),
    "too few marks": (
        {**GOOD, "images": ["a.png", "b.png"]},
        "placeholder mismatch: found 1 <image> marks in `messages`, expected 2",
    ),
    "too many marks": (
        {**GOOD, "images": []},
        "placeholder mismatch: found 1 <image> marks in `messages`, expected 0",
    ),
    "empty answer": (
        turns({"role": "user", "content": "hi"}, {"role": "assistant", "content": " \n"}),
        "field `messages[1]`: found an empty answer, expected text",
    ),
    "no answer": (
        turns({"role": "user", "content": "hi"}),
        "field `messages`: found no answer, expected at least one assistant turn",
    ),
}


@pytest.mark.parametrize(("line", "phrase"), BAD_LINES.values(), ids=BAD_LINES)
def test_bad_line_names_file_row_field_value_and_expectation(write_jsonl, line, phrase):
    path = write_jsonl([GOOD, line])
    data = read(path)
    assert data[0].images
    with pytest.raises(RecordError) as error:
        data[1]
    assert phrase in str(error.value)
    assert str(error.value).startswith(f"{path}, record ")
    assert "\n" not in str(error.value)


def test_bytes_that_are_no_text(write_jsonl):
    path = write_jsonl([GOOD])
    path.write_bytes(path.read_bytes() + b'{"messages": "\xff"}\n')
    with pytest.raises(RecordError, match=r"line 2: not UTF-8 text .* at byte 14"):
        read(path)[1]


def test_file_that_is_missing_or_empty(tmp_path, write_jsonl):
    missing = Messages(type="messages", path=str(tmp_path / "no.jsonl"))
    with pytest.raises(DataError, match=r"does not exist .looked at .*no.jsonl.; check `path`"):
        open_dataset(missing)
    with pytest.raises(DataError, match=r"is a folder, expected a file"):
        open_dataset(Messages(type="messages", path=str(tmp_path)))
    empty = Messages(type="messages", path=str(write_jsonl(["", " "])))
    with pytest.raises(DataError, match=r"data.jsonl has no records; check `path` and `limit`"):
        open_dataset(empty)
