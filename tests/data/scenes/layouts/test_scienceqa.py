"""ScienceQA's files: the same fields and types as real problems."""

import json

from PIL import Image

from vlft.data.readers.scienceqa import ScienceQADataset
from vlft.data.scenes.vocabulary import words_of
from vlft.recipe.data import ScienceQA


def load(folder, name):
    return json.loads((folder / name).read_text())


def test_problems_have_the_fields_and_types_of_real_ones(written, shared):
    real = next(iter(load(shared("scienceqa"), "problems_sample.json").values()))
    kinds = {key: {type(value)} for key, value in real.items()} | {"image": {str, type(None)}}
    for record in load(written("scienceqa"), "problems.json").values():
        assert record.keys() == real.keys() | {"lecture", "solution"}
        assert all(type(record[key]) in kinds[key] for key in real)


def test_answers_are_indices_and_letters_run_to_e(written):
    records = load(written("scienceqa"), "problems.json").values()
    assert all(0 <= record["answer"] < len(record["choices"]) for record in records)
    assert {len(record["choices"]) for record in records} >= {2, 3, 4}
    assert max(len(record["choices"]) for record in records) <= 5


def test_contexts_subjects_and_grades_fill_every_score_column(written):
    records = load(written("scienceqa"), "problems.json").values()
    contexts = {(bool(record["hint"]), record["image"] is not None) for record in records}
    assert len(contexts) == 4
    assert len({record["subject"] for record in records}) == 3
    grades = {int(record["grade"].removeprefix("grade")) for record in records}
    assert min(grades) <= 6 < max(grades) <= 12


def test_topics_belong_to_one_subject_each(written):
    records = load(written("scienceqa"), "problems.json").values()
    subjects = {record["topic"]: record["subject"] for record in records}
    assert len(subjects) > 3
    assert all(subjects[record["topic"]] == record["subject"] for record in records)


def test_splits_name_every_problem_once(written):
    problems = load(written("scienceqa"), "problems.json")
    splits = load(written("scienceqa"), "pid_splits.json")
    assert sorted(splits) == sorted(
        ["train", "val", "test", "trainval", "minitrain", "minival", "minitest"]
    )
    assert sorted(splits["train"] + splits["val"] + splits["test"]) == sorted(problems)
    assert splits["trainval"] == splits["train"] + splits["val"]
    for split in ("train", "val", "test"):
        assert set(splits[f"mini{split}"]) <= set(splits[split])
        assert all(problems[pid]["split"] == split for pid in splits[split])


def test_images_and_captions_are_there_for_the_problems_that_have_one(written):
    folder = written("scienceqa")
    problems = load(folder, "problems.json")
    pictured = {pid for pid, record in problems.items() if record["image"]}
    for pid in pictured:
        record = problems[pid]
        with Image.open(folder / "images" / record["split"] / pid / record["image"]) as image:
            assert image.size == (48, 48)
    assert set(load(folder, "captions.json")["captions"]) == pictured


def test_a_hint_alone_holds_the_answer(written):
    told = [
        record
        for record in load(written("scienceqa"), "problems.json").values()
        if record["hint"] and not record["image"] and record["category"] != "coarse_shape"
    ]
    assert told
    for record in told:
        assert record["choices"][record["answer"]] in words_of(record["hint"])


def test_our_reader_reads_it(written):
    for split in ("train", "val", "test"):
        records = ScienceQADataset(
            ScienceQA(type="scienceqa", path=str(written("scienceqa")), split=split)
        )
        assert len(records) > 0
        assert all(records[index].messages for index in range(len(records)))
