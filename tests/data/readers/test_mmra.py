"""MMRA's rows become questions about two images; what MMRA does not know is named with its row."""

from collections import Counter

import pytest

from vlft.data.readers.mmra import SUBTASKS, MmraDataset
from vlft.data.records import images_of
from vlft.data.scenes.layouts import write_layout
from vlft.data.scenes.pair_questions import ENTITY_LEVEL, PAIR_QUESTIONS
from vlft.errors import DataError, RecordError
from vlft.recipe.data.benchmarks import Mmra

CHOICE = {
    "Task": "RelativePosition",
    "QA_type": "Choice QA",
    "question": "where is it?",
    "image1": "1.png",
    "image2": "2.png",
    "options": "{'A': 'left', 'B': 'right', 'C': \"it's above\", 'D': 'below'}",
    "answer": "C",
}
YES_NO = CHOICE | {"QA_type": "True or false QA", "options": None, "answer": "yes"}


def read(path, **options):
    return MmraDataset(Mmra(type="mmra", path=str(path), **options))


@pytest.fixture
def rows(write_jsonl):
    def make(*rows):
        return list(read(write_jsonl([*rows])))

    return make


def test_a_choice_is_a_question_after_two_images_and_a_letter(rows):
    (record,) = rows(CHOICE)
    asked, answered = record.messages
    assert asked.content == (0, 1, "where is it?")
    assert answered.content == ("C",)
    assert [str(ref.path) for ref in images_of(record)] == ["1.png", "2.png"]
    assert record.meta == {
        "subtask": "RelativePosition",
        "level": "entity",
        "kind": "choice",
        "options": ["left", "right", "it's above", "below"],
    }


def test_yes_no_has_yes_and_no_for_options(rows):
    (record,) = rows(YES_NO)
    assert record.messages[-1].content == ("Yes",)
    assert (record.meta["kind"], record.meta["options"]) == ("yes_no", ["Yes", "No"])


def test_options_stand_in_the_order_of_their_letters(rows):
    (record,) = rows(CHOICE | {"options": "{'B': 'b', 'C': 3, 'A': 'a'}", "answer": "b"})
    assert record.meta["options"] == ["a", "b", "3"]
    assert record.messages[-1].content == ("B",)


def test_both_spellings_of_the_choice_type_give_one_record(rows):
    one, other = rows(CHOICE, CHOICE | {"QA_type": "Chooice QA"})
    assert (one.messages, one.meta) == (other.messages, other.meta)


@pytest.mark.parametrize(
    ("spelled", "name"),
    [
        ("relative position", "RelativePosition"),
        ("Near_Same_Entity", "NearSameEntity"),
        ("LAYOUT", "LayOut"),
        (" sub-event ", "SubEvent"),
        ("OA", "ObservationAngle"),
        *((name, name) for name in SUBTASKS),
    ],
)
def test_subtasks_are_known_in_any_spelling(rows, spelled, name):
    (record,) = rows(CHOICE | {"Task": spelled})
    assert record.meta["subtask"] == name


def test_an_unknown_subtask_is_named_with_its_row_and_the_nearest(rows):
    with pytest.raises(
        RecordError,
        match=r'record line 2: field `Task`: found "similar_materials?x", expected one of Rel'
        r".*did you mean 'SimilarMaterial'\?",
    ):
        rows(CHOICE, CHOICE | {"Task": "similar_materialx"})


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"QA_type": "Open QA"}, r'field `QA_type`: found "Open QA", expected one of Choice QA'),
        ({"options": None}, r"field `options`: found null, expected the text of a Python dict"),
        ({"options": "A: left"}, r"field `options`: found .*Python dict"),
        ({"options": "['a', 'b', 'c']"}, r"field `options`"),
        ({"options": "{'A': 'a', 'B': 'b'}"}, r"field `options`.*keys A, B, C, or A, B, C, D"),
        ({"options": "{'A': 'a', 'B': 'b', 'D': 'd'}"}, r"field `options`"),
        ({"answer": "E"}, r'field `answer`: found "E", expected one of A, B, C, D'),
        ({"answer": "Yes"}, r"field `answer`"),
        ({"question": " "}, r"field `question`"),
        ({"question": None}, r"field `question`: found null, expected text"),
        ({"image2": None}, r"field `image2`"),
    ],
)
def test_other_values_are_named(rows, changes, message):
    with pytest.raises(RecordError, match=rf"record line 1: {message}"):
        rows(CHOICE | changes)


def test_a_yes_no_question_needs_yes_or_no(rows):
    with pytest.raises(RecordError, match=r'field `answer`: found "A", expected one of Yes, No'):
        rows(YES_NO | {"answer": "A"})


def test_a_missing_column_is_named(tmp_path):
    path = tmp_path / "rows.csv"
    path.write_text("task,QA_type,question,image1,image2,options,answer\na,b,c,d,e,f,g\n")
    with pytest.raises(DataError, match=r"unknown column 'Task'\. Did you mean 'task'\?"):
        read(path)


@pytest.fixture(scope="module")
def world(tmp_path_factory):
    """MMRA's layout in two files, as on the Hub."""
    folder = tmp_path_factory.mktemp("mmra")
    first, second = (
        write_layout("mmra", folder / part, num_samples=22, offset=offset)
        / "data/train-00000-of-00001.parquet"
        for part, offset in (("a", 0), ("b", 22))
    )
    first.rename(folder / "train-00000-of-00002.parquet")
    second.rename(folder / "train-00001-of-00002.parquet")
    return folder


def test_rows_of_all_files_are_numbered_from_0(world):
    data = read(world / "train-*.parquet")
    assert [record.id for record in data] == [str(number) for number in range(44)]
    alone = read(world / "train-00001-of-00002.parquet")
    assert [record.messages for record in data][22:] == [record.messages for record in alone]
    assert [record.id for record in read(world / "train-*.parquet", limit=2)] == ["0", "1"]


def test_the_generated_world_is_read_with_its_levels(world):
    records = list(read(world / "train-*.parquet"))
    assert tuple(SUBTASKS) == tuple(PAIR_QUESTIONS)
    assert Counter(one.meta["subtask"] for one in records) == dict.fromkeys(SUBTASKS, 4)
    for record in records:
        assert (record.meta["level"] == "entity") == (record.meta["subtask"] in ENTITY_LEVEL)
        assert all(ref.data for ref in images_of(record))
        assert len(images_of(record)) == 2


def test_there_are_six_subtasks_about_entities_and_five_about_images():
    assert Counter(subtask.level for subtask in SUBTASKS.values()) == {"entity": 6, "image": 5}
