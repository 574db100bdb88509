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


def test_captions_become_facts_of_the_records(folder, tmp_path):
    path = folder({"1": problem(image="image.png"), "2": problem()})
    captions = tmp_path / "captions.json"
    captions.write_text(json.dumps({"captions": {"1": "a red box", "9": "other"}}))
    records = read(path, captions=str(captions))
    assert [records[index].meta["caption"] for index in range(2)] == ["a red box", ""]
    assert "caption" not in read(path)[0].meta


@pytest.mark.parametrize(
    ("content", "phrase"),
    [
        (None, "captions.json' does not exist"),
        ("[]", "found a list, expected an object by id"),
        ("{}", "expected the captions by id under the key `captions`"),
        ('{"captions": {"1": 2}}', "expected the captions by id under the key `captions`"),
    ],
)
def test_captions_that_are_not_there_are_told(folder, tmp_path, content, phrase):
    captions = tmp_path / "captions.json"
    if content is not None:
        captions.write_text(content)
    with pytest.raises(DataError) as error:
        read(folder({"1": problem()}), captions=str(captions))
    assert phrase in str(error.value)


def test_examples_are_training_problems_in_the_given_order(folder):
    one, two = problem(question="one?"), problem(question="two?")
    path = folder({"1": one, "2": two, "3": problem("test")})
    record = read(path, "test", shots=("2", "1"))[0]
    shots = record.meta["shots"]
    assert [(key, shot["question"]) for key, shot in shots.items()] == [
        ("2", "two?"),
        ("1", "one?"),
    ]
    assert read(path, "test", shots=("8",))[0].meta["shots"] == {"8": None}
    with pytest.raises(DataError, match="`shots` names '3', which is asked itself"):
        read(path, "test", shots=("3",))


@pytest.fixture
def hub_copy(tmp_path, write_image):
    """The Parquet files of the Hub copy: images in the rows, no ids, no split column."""
    import datasets
    from pyarrow import parquet

    picture = write_image("a.png").read_bytes()
    rows = [
        {
            "image": {"bytes": picture, "path": None} if number % 2 else None,
            "question": f"which? ({number})",
            "choices": ["the ball", "the box", "the hat"],
            "answer": number,
            "hint": "" if number else "Look.",
            "task": "closed choice",
            "grade": "grade7",
            "subject": "natural science",
            "topic": "physics",
            "category": "c",
            "skill": "s",
            "lecture": "",
            "solution": "",
        }
        for number in range(3)
    ]
    text = datasets.Value("string")
    features = datasets.Features(
        dict.fromkeys(rows[0], text)
        | {"image": datasets.Image(), "choices": datasets.List(text)}
        | {"answer": datasets.Value("int8")}
    )
    table = datasets.Dataset.from_list(rows, features=features)
    (tmp_path / "copy" / "data").mkdir(parents=True)
    file = tmp_path / "copy" / "data" / "test-00000-of-00001-abc.parquet"
    parquet.write_table(table.data.table, file)
    return tmp_path / "copy"


@pytest.mark.parametrize(
    "named", [".", "data/test-00000-of-00001-abc.parquet", "data/test-*.parquet"]
)
def test_the_hub_copy_is_read_and_its_records_are_called_by_their_rows(hub_copy, named):
    records = read(hub_copy / named, "test")
    assert [record.id for record in map(records.__getitem__, range(3))] == ["row0", "row1", "row2"]
    first, second, third = (records[index] for index in range(3))
    assert (len(first.images), len(second.images), len(third.images)) == (0, 1, 0)
    assert second.images[0].data
    assert first.meta["id_is_row"] is True
    assert "image" not in second.meta
    assert [record.messages[1].content[0] for record in (first, second, third)] == ["A", "B", "C"]
    assert first.messages[0].content[0].startswith("Context: Look.\nwhich? (0)\nA. the ball")


def test_ids_of_a_copy_that_has_some_are_kept(hub_copy, tmp_path):
    import datasets

    table = datasets.Dataset.from_parquet(str(hub_copy / "data" / "test-*.parquet"))
    named = table.add_column("id", ["4", "5", "11"])
    named.to_parquet(str(tmp_path / "named.parquet"))
    records = read(tmp_path / "named.parquet", "test")
    assert [records[index].id for index in range(3)] == ["4", "5", "11"]
    assert "id_is_row" not in records[0].meta


def test_what_the_hub_copy_lacks_is_told(hub_copy):
    with pytest.raises(DataError, match=r"split 'minitest' is made by pid_splits.json .* train, v"):
        read(hub_copy, "minitest")
    for options in ({"captions": "captions.json"}, {"shots": ("1",)}):
        with pytest.raises(DataError, match="needs official ids, and the Hub copy has none"):
            read(hub_copy, "test", **options)
    with pytest.raises(ValueError, match="only the Hub copy has it"):
        read(hub_copy, "test", revision="1a2b")


def test_a_damaged_answer_in_the_hub_copy_names_its_row(hub_copy, tmp_path):
    import datasets

    table = datasets.Dataset.from_parquet(str(hub_copy / "data" / "test-*.parquet"))
    table.map(lambda row: {"answer": 3}).to_parquet(str(tmp_path / "bad.parquet"))
    with pytest.raises(RecordError, match=r"record row1: .*field `answer`: found 3, expected an"):
        read(tmp_path / "bad.parquet", "test")[1]
