"""ScienceQA's layout, with problems of our own and with the shared sample."""

import json
from pathlib import Path

import pytest

from vlft.data import open_dataset
from vlft.data.readers.scienceqa import ScienceQADataset
from vlft.errors import DataError, RecordError
from vlft.recipe.data import ScienceQA

SHARED = Path(__file__).parents[4] / "shared" / "data" / "scienceqa" / "problems_sample.json"


def problem(split="train", **changes):
    fields = {
        "question": "Which one is red?",
        "choices": ["the ball", "the box"],
        "answer": 1,
        "hint": "",
        "image": None,
        "split": split,
    }
    return {**fields, **changes}


@pytest.fixture
def folder(tmp_path):
    def write(problems, splits=None):
        (tmp_path / "problems.json").write_text(json.dumps(problems))
        if splits is not None:
            (tmp_path / "pid_splits.json").write_text(json.dumps(splits))
        return tmp_path

    return write


def read(path, split="train", **options):
    return ScienceQADataset(ScienceQA(type="scienceqa", path=str(path), split=split, **options))


def test_question_with_hint_image_and_letters(folder, write_image):
    write_image("images/train/7/image.png")
    path = folder({"7": problem(hint="Look closely.", image="image.png")})
    (record,) = open_dataset(ScienceQA(type="scienceqa", path=str(path)), on_bad_record="skip")
    question, answer = record.messages
    assert question.content == (
        0,
        "Context: Look closely.\nWhich one is red?\nA. the ball\nB. the box\n"
        "Answer with the option's letter from the given choices directly.",
    )
    assert answer.content == ("B",)
    assert record.id == "7"


def test_splits_by_file_and_by_field(folder):
    problems = {"1": problem("train"), "2": problem("val"), "3": problem("test"), "4": problem()}
    path = folder(problems)
    assert [record.id for record in read(path, "trainval")] == ["1", "2", "4"]
    with pytest.raises(DataError, match=r"split 'minitrain' is defined by pid_splits.json"):
        read(path, "minitrain")
    folder(problems, {"minitrain": ["4", "1"], "test": ["9"]})
    assert [record.id for record in read(path, "minitrain")] == ["4", "1"]
    assert [record.id for record in read(path, "minitrain", limit=1)] == ["4"]
    with pytest.raises(DataError, match=r"unknown split 'val'. Available: minitrain, test"):
        read(path, "val")
    with pytest.raises(
        DataError, match=r"1 ids of split 'test' are not in problems.json .first: '9'"
    ):
        read(path, "test")


def test_split_without_problems_says_what_there_is(folder):
    with pytest.raises(DataError, match=r"no problem of split 'val'; there is: test, train"):
        read(folder({"1": problem(), "2": problem("test")}), "val")


BAD_FILES = {
    "folder": (None, "problems.json' does not exist"),
    "list": ("[]", "found a list, expected an object by id"),
    "json": ("{", "not valid JSON"),
}


@pytest.mark.parametrize(("content", "phrase"), BAD_FILES.values(), ids=BAD_FILES)
def test_file_that_is_not_the_layout(tmp_path, content, phrase):
    if content is not None:
        (tmp_path / "problems.json").write_text(content)
    with pytest.raises(DataError) as error:
        read(tmp_path)
    assert phrase in str(error.value)


BAD_PROBLEMS = {
    "answer": ({"answer": 2}, "field `answer`: found 2, expected an index below the 2 choices"),
    "answer type": ({"answer": "B"}, 'field `answer`: found "B", expected a whole number'),
    "choices": ({"choices": ["one"]}, 'field `choices`: found ["one"], expected 2 to 5 choices'),
    "image": ({"image": 3}, "field `image`: found 3, expected text"),
}


@pytest.mark.parametrize(("changes", "phrase"), BAD_PROBLEMS.values(), ids=BAD_PROBLEMS)
def test_bad_problem_names_id_and_field(folder, changes, phrase):
    with pytest.raises(RecordError) as error:
        read(folder({"12": problem(**changes)}))[0]
    assert f"record 12: {phrase}" in str(error.value)


def test_shared_sample():
    if not SHARED.exists():
        pytest.skip("the shared data folder is not here")
    section = ScienceQA(type="scienceqa", path=str(SHARED), split="test")
    everything = open_dataset(section)
    assert [len(record.images) for record in everything].count(0) == 3
    letters = {record.messages[1].content[0] for record in everything}
    assert letters <= set("ABCDE")
    # The images are not part of the sample: they are found missing, and text alone is left.
    without = open_dataset(section, on_bad_record="skip")
    assert len(without) == 3
    assert {error.record_id for error in without.skipped} == {
        record.id for record in everything if record.images
    }
    assert all("image not found" in error.reason for error in without.skipped)
