"""Questions and answers in columns: options, several answers, several images, TRL's columns."""

import pytest

from vlft.data.readers.choices import INSTRUCTION
from vlft.data.readers.question_answer import QuestionAnswerDataset
from vlft.errors import DataError, RecordError
from vlft.recipe.data import QuestionAnswer
from vlft.types import Message


@pytest.fixture
def read(write_jsonl):
    def make(*rows, **options):
        path = str(write_jsonl(list(rows)))
        return QuestionAnswerDataset(QuestionAnswer(type="question_answer", path=path, **options))

    return make


def test_image_question_and_answer(read):
    (record,) = read({"id": 3, "image": "a.png", "question": "what?", "answer": "a cat", "x": 1})
    assert record.id == "3"
    assert record.messages == (Message("user", (0, "what?")), Message("assistant", ("a cat",)))
    assert record.meta == {"x": 1}


def test_several_images_and_none(read):
    row = {"question": "same?", "answer": 2.5}
    many, none, marked = read(
        {**row, "image": ["a.png", "b.png"]},
        {**row, "image": None},
        {**row, "image": ["a.png", "b.png"], "question": "is <image> like <image>?"},
    )
    assert many.messages[0].content == (0, 1, "same?")
    assert none.messages[0].content == ("same?",)
    assert marked.messages[0].content == ("is ", 0, " like ", 1, "?")
    assert none.messages[1].content == ("2.5",)


@pytest.mark.parametrize("answer", ["a dog", "B", "b", 1, "1"])
def test_options_are_lettered_and_the_letter_is_learned(read, answer):
    """As the official ScienceQA reader writes them."""
    row = {"image": None, "question": "who?", "answer": answer, "choices": ["a cat", "a dog"]}
    (record,) = read(row, options_column="choices")
    assert record.messages[0].content == (f"who?\nA. a cat\nB. a dog\n{INSTRUCTION}",)
    assert record.messages[1].content == ("B",)
    assert record.meta["options"] == ["a cat", "a dog"]


def test_options_in_columns_of_their_own(tmp_path):
    (tmp_path / "data.csv").write_text("q,A,B,C,a\nwho?,a cat,a dog,,a dog\n")
    section = QuestionAnswer(
        type="question_answer",
        path=str(tmp_path / "data.csv"),
        image_column=None,
        question_column="q",
        answer_column="a",
        options_column=("A", "B", "C"),
    )
    (record,) = QuestionAnswerDataset(section)
    assert record.meta == {"options": ["a cat", "a dog"]}
    with pytest.raises(DataError, match=r"unknown column 'D'.*set `options_column`"):
        QuestionAnswerDataset(section.model_copy(update={"options_column": ("A", "D")}))


@pytest.mark.parametrize(
    "answers",
    [["two", "2", "two"], [{"answer": "two", "answer_id": 1}, {"answer": "2"}, {"answer": "two"}]],
    ids=["texts", "objects as in VQAv2"],
)
def test_of_several_answers_the_most_frequent_is_learned(read, answers):
    (record,) = read({"image": None, "question": "how many?", "answer": answers})
    assert record.messages[1].content == ("two",)
    assert record.meta["answers"] == ["two", "2", "two"]


@pytest.mark.parametrize("answer", ["[100, 200, 300, 400]", '["cat", "dog"]'])
def test_a_text_that_looks_like_a_list_is_one_answer(read, answer):
    """Boxes and JSON are things that models learn to write."""
    (record,) = read({"image": None, "question": "where?", "answer": answer})
    assert record.messages[1].content == (answer,)
    assert record.meta == {}


def test_images_of_prompt_and_completion_are_numbered_together(read):
    (record,) = read(
        {
            "image": None,
            "question": [{"role": "user", "content": [{"type": "image", "image": "a.png"}]}],
            "answer": [
                {
                    "role": "assistant",
                    "content": [
                        {"type": "text", "text": "so:"},
                        {"type": "image", "image": "b.png"},
                    ],
                }
            ],
        }
    )
    assert record.messages[0].content == (0,)
    assert record.messages[1].content == ("so:", 1)
    assert [ref.path.name for ref in record.images] == ["a.png", "b.png"]


def test_a_mark_in_a_completion_needs_an_image_as_well(read):
    answer = [{"role": "assistant", "content": "like <image>"}]
    with pytest.raises(RecordError, match=r"placeholder mismatch: found 1 <image> marks"):
        read({"image": None, "question": "what?", "answer": answer})[0]


def test_options_are_not_dropped_from_a_question_of_turns(read):
    question = [{"role": "user", "content": "who?"}]
    row = {"image": None, "question": question, "answer": "a", "choices": ["a", "b"]}
    with pytest.raises(RecordError, match=r"field `question`: found \[.*expected text"):
        read(row, options_column="choices")[0]


def test_prompt_and_completion_of_trl(read):
    names = {"question_column": "prompt", "answer_column": "completion", "image_column": "images"}
    texts = {"prompt": "what?", "completion": "a cat", "images": ["a.png"]}
    turns = {
        "prompt": [
            {"role": "system", "content": "be short"},
            {"role": "user", "content": [{"type": "image"}, {"type": "text", "text": "what?"}]},
        ],
        "completion": [{"role": "assistant", "content": "a cat"}],
        "images": ["a.png"],
    }
    plain, chat = read(texts, turns, **names)
    assert plain.messages == chat.messages[1:]
    assert [turn.role for turn in chat.messages] == ["system", "user", "assistant"]


GOOD = {"image": None, "question": "what?", "answer": "a cat", "choices": ["a cat", "a dog"]}
BAD = {
    "empty answer": ({"answer": " "}, 'field `answer`: found " ", expected text, a number'),
    "no answer": ({"answer": None}, "field `answer`: found null, expected text, a number"),
    "no answers": ({"answer": []}, "field `answer`: found [], expected text, a number"),
    "true": ({"answer": True}, "field `answer`: found true, expected text, a number"),
    "question": ({"question": 3}, "field `question`: found 3, expected text"),
    "empty question": ({"question": ""}, 'field `question`: found "", expected text'),
    "option": ({"answer": "C"}, 'field `answer`: found "C", expected one of the options (a cat, a'),
    "one option": ({"choices": ["a"]}, 'field `choices`: found ["a"], expected 2 to 26 options'),
    "options": ({"choices": "a, b"}, 'field `choices`: found "a, b", expected a list'),
    "image": ({"image": 3}, "field `image`: found 3, expected an image"),
}


@pytest.mark.parametrize(("change", "phrase"), BAD.values(), ids=BAD)
def test_a_bad_row_names_its_field(read, change, phrase):
    with pytest.raises(RecordError) as error:
        read({**GOOD, **change}, options_column="choices")[0]
    assert phrase in str(error.value)


def test_a_missing_field_is_not_taken_for_a_question_without_image(read):
    data = read({"question": "what?", "answer": "a cat", "images": "a.png"})
    with pytest.raises(RecordError, match=r"`image` is missing \(did you mean 'images'\?\)"):
        data[0]
