"""MMRA's rows as the dossier states them."""

import ast
from collections import Counter

import pytest

from vlft.data.scenes.pair_questions import PAIR_QUESTIONS


@pytest.fixture
def rows(written):
    from datasets import Dataset

    path = written("mmra") / "data/train-00000-of-00001.parquet"
    return list(Dataset.from_parquet(str(path)))


def test_columns_are_strings_and_two_images(rows):
    for row in rows:
        assert set(row) == {
            *("Task", "QA_type", "question", "image1", "image2", "options", "answer")
        }
        assert all(type(row[name]) is str for name in ("Task", "QA_type", "question", "answer"))
        assert row["image1"].size == row["image2"].size == (48, 48)


def test_all_eleven_subtasks_take_turns(rows):
    assert Counter(row["Task"] for row in rows) == dict.fromkeys(PAIR_QUESTIONS, 4)


def test_choices_are_the_text_of_a_dict_and_the_answer_is_one_of_its_letters(rows):
    choices = [row for row in rows if row["QA_type"] == "Choice QA"]
    lengths = set()
    for row in choices:
        options = ast.literal_eval(row["options"])
        assert list(options) == list("ABCD")[: len(options)]
        assert row["answer"] in options
        lengths.add(len(options))
    assert lengths == {3, 4}


def test_yes_no_rows_have_no_options(rows):
    others = [row for row in rows if row["QA_type"] != "Choice QA"]
    assert {row["QA_type"] for row in others} == {"True or false QA"}
    assert {row["answer"] for row in others} == {"Yes", "No"}
    assert all(row["options"] is None for row in others)
