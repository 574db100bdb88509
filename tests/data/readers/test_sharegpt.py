"""ShareGPT's form as LLaMA-Factory and ms-swift write it, and what a wrong row says."""

import pytest

from vlft.data.readers.sharegpt import ShareGptDataset
from vlft.errors import DataError, RecordError
from vlft.recipe.data import ShareGpt
from vlft.types import Message

TURNS = [{"from": "human", "value": "<image>what?"}, {"from": "gpt", "value": "a cat"}]


@pytest.fixture
def read(write_jsonl):
    def make(*rows, **options):
        path = str(write_jsonl(list(rows)))
        return ShareGptDataset(ShareGpt(type="sharegpt", path=path, **options))

    return make


def test_speakers_system_and_images(read):
    (record,) = read(
        {"conversations": TURNS, "images": ["a.png"], "system": "be short", "source": "us"}
    )
    assert record.messages == (
        Message("system", ("be short",)),
        Message("user", (0, "what?")),
        Message("assistant", ("a cat",)),
    )
    assert [str(image.path) for image in record.images] == ["a.png"]
    assert record.meta == {"source": "us"}


def test_the_usual_names_mean_the_same(read):
    """LLaMA-Factory's ``messages`` with role and content, ms-swift's ``image`` as one path."""
    turns = [{"role": "user", "content": "<image>what?"}, {"role": "assistant", "content": "a cat"}]
    named, other = read(
        {"conversations": TURNS, "images": ["a.png"]}, {"messages": turns, "image": "a.png"}
    )
    assert named.messages == other.messages
    assert named.images == other.images


def test_names_and_tags_come_from_the_recipe(read):
    turns = [{"who": "Q", "says": "hi"}, {"who": "A", "says": "hello"}, {"who": "S", "says": "x"}]
    (record,) = read(
        {"chat": turns, "frames": None, "role": "be kind"},
        messages_column="chat",
        images_column="frames",
        system_column="role",
        role_tag="who",
        content_tag="says",
        user_tag="Q",
        assistant_tag="A",
        system_tag="S",
    )
    assert [turn.role for turn in record.messages] == ["system", "user", "assistant", "system"]


def test_without_marks_the_images_stand_before_the_first_question(read):
    turns = [{"from": "human", "value": "same?"}, {"from": "gpt", "value": "no"}]
    (record,) = read({"conversations": turns, "images": ["a.png", "b.png"]})
    assert record.messages[0].content == (0, 1, "same?")


BAD = {
    "speaker": (
        {"conversations": [{"from": "bot", "value": "x"}]},
        'field `conversations[0].from`: found "bot", expected system | human | user | gpt | assis',
    ),
    "no turns": (
        {"conversation": TURNS},
        "field `conversations` is missing, expected a list; there is: conversation",
    ),
    "marks": (
        {"conversations": TURNS, "images": ["a.png", "b.png"]},
        "placeholder mismatch: found 1 <image> marks in `conversations`, expected 2",
    ),
    "url": (
        {"conversations": TURNS, "images": ["https://example.org/a.png"]},
        "images are not fetched while training",
    ),
    "answer": (
        {"conversations": [{"from": "human", "value": "x"}, {"from": "gpt", "value": ""}]},
        "field `conversations[1]`: found an empty answer",
    ),
}


@pytest.mark.parametrize(("row", "phrase"), BAD.values(), ids=BAD)
def test_a_bad_row_names_its_field(read, row, phrase):
    with pytest.raises(RecordError) as error:
        read(row)[0]
    assert phrase in str(error.value)


def test_a_column_that_the_recipe_names_must_be_there(read):
    data = read({"conversations": TURNS, "images": ["a.png"]}, images_column="image")
    with pytest.raises(RecordError, match=r"`image` is missing .did you mean 'images'.*`images_c"):
        data[0]


def test_a_table_without_turns_is_refused_at_once(tmp_path):
    (tmp_path / "data.csv").write_text("question,answer\na,b\n")
    with pytest.raises(DataError, match=r"no column with the turns .*set `messages_column`"):
        ShareGptDataset(ShareGpt(type="sharegpt", path=str(tmp_path / "data.csv")))
