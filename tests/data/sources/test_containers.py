"""Every format reads the same records from every container; sources are lazy and pickle."""

import json
import pickle
from functools import partial
from pathlib import Path

import pytest
from pydantic import ValidationError
from torch.utils.data import DataLoader

from vlft.data import open_dataset
from vlft.data.sources import open_source
from vlft.errors import DataError, RecordError
from vlft.recipe.data import (
    Captions,
    LabeledImages,
    LlavaJson,
    Messages,
    Pairs,
    QuestionAnswer,
    ShareGpt,
)

Prompted = partial(Captions, prompt="what?")

CONTAINERS = (
    "jsonl",
    "json list",
    "json lines",
    "csv",
    "tsv",
    "parquet",
    "arrow stream",
    "arrow file",
    "save_to_disk",
)

TURNS = [
    {"role": "user", "content": '<image>\nwhich\ncolor, and "what" shape?'},
    {"role": "assistant", "content": "größe\tred"},
]
SPOKEN = [{"from": "human", "value": "<image>what?"}, {"from": "gpt", "value": "red"}]

FORMATS = {
    "messages": (Messages, [{"messages": TURNS, "images": [f"{i}.png"]} for i in range(5)]),
    "sharegpt": (ShareGpt, [{"conversations": SPOKEN, "images": [f"{i}.png"]} for i in range(5)]),
    "llava_json": (LlavaJson, [{"conversations": SPOKEN, "image": f"{i}.png"} for i in range(5)]),
    "question_answer": (
        QuestionAnswer,
        [{"image": f"{i}.png", "question": f"a\n{i}?", "answer": f"{i}, so"} for i in range(5)],
    ),
    "captions": (
        Prompted,
        [{"image": f"{i}.png", "caption": [f'a\ndog, "{i}"']} for i in range(5)],
    ),
    "pairs": (Pairs, [{"filepath": f"{i}.png", "title": f'a "{i}"\nb'} for i in range(5)]),
    "classification": (LabeledImages, [{"image": f"{i}.png", "label": "cat"} for i in range(5)]),
}


def without_places(record):
    """A record without its name and folder, which are those of the container."""
    images = [record.image] if hasattr(record, "image") else record.images
    texts = [getattr(record, name, None) for name in ("messages", "text", "label")]
    return texts, [str(image.path) for image in images], record.meta


@pytest.mark.parametrize("container", CONTAINERS)
@pytest.mark.parametrize("form", FORMATS)
def test_a_record_is_the_same_in_every_container(write_rows, form, container):
    section, rows = FORMATS[form]
    expected = open_dataset(section(type=form, path=str(write_rows("jsonl", rows))))
    found = open_dataset(section(type=form, path=str(write_rows(container, rows))))
    assert len(found) == len(rows)
    for index in range(len(rows)):
        assert without_places(found[index]) == without_places(expected[index])


@pytest.mark.parametrize("container", CONTAINERS)
def test_rows_come_again_in_any_order_and_in_workers(write_rows, container):
    _, rows = FORMATS["pairs"]
    source = open_source(Pairs(type="pairs", path=str(write_rows(container, rows))))
    titles = [source[index].values["title"] for index in range(len(source))]
    assert titles == [row["title"] for row in rows]
    assert [source[index].values["title"] for index in (4, 0, 2)] == [titles[i] for i in (4, 0, 2)]
    again = pickle.loads(pickle.dumps(source))  # noqa: S301
    assert [again[index].values["title"] for index in range(len(again))] == titles


class Texts:
    def __init__(self, records):
        self.records = records

    def __len__(self):
        return len(self.records)

    def __getitem__(self, index):
        return self.records[index].text


@pytest.mark.parametrize("start", ["fork", pytest.param("spawn", marks=pytest.mark.slow)])
def test_workers_read_what_the_parent_reads(write_rows, start):
    _, rows = FORMATS["pairs"]
    data = Texts(open_dataset(Pairs(type="pairs", path=str(write_rows("parquet", rows)))))
    loader = DataLoader(data, batch_size=None, num_workers=2, multiprocessing_context=start)
    assert list(loader) == [row["title"] for row in rows]


@pytest.mark.parametrize("container", CONTAINERS)
def test_limit_takes_the_first_rows(write_rows, container):
    section, rows = FORMATS["pairs"]
    path = write_rows(container, rows)
    data = open_dataset(section(type="pairs", path=str(path), limit=2))
    assert [record.text for record in (data[0], data[1])] == [row["title"] for row in rows[:2]]
    assert len(data) == 2
    with pytest.raises(IndexError):
        data[2]


@pytest.mark.parametrize("container", ["csv", "tsv", "parquet", "arrow file", "save_to_disk"])
def test_a_missing_column_is_told_when_the_set_is_opened(write_rows, container):
    _, rows = FORMATS["pairs"]
    path = write_rows(container, rows)
    with pytest.raises(DataError) as error:
        open_dataset(Pairs(type="pairs", path=str(path), text_column="titles"))
    assert str(error.value) == (
        f"{path}: unknown column 'titles'. Did you mean 'title'? Available: filepath, title; set "
        "`text_column`"
    )


@pytest.mark.parametrize(
    ("container", "place"), [("csv", "line 4"), ("json list", "item 2"), ("parquet", "row 1")]
)
def test_a_bad_row_is_named_as_its_container_counts(write_rows, container, place):
    rows = [{"filepath": "a.png", "title": text} for text in ("a\nb", "", "c")]
    data = open_dataset(Pairs(type="pairs", path=str(write_rows(container, rows))))
    with pytest.raises(RecordError, match=f"record {place}: field `title`: found"):
        data[1]


def test_files_of_a_pattern_are_one_set_and_errors_name_the_file(write_rows):
    for number in range(3):
        rows = [{"filepath": "a.png", "title": f"{number}{i}"} for i in range(2)]
        if number == 2:
            rows[1]["title"] = 5
        path = write_rows("jsonl", rows, name=f"part-{number}.jsonl")
    data = open_dataset(Pairs(type="pairs", path=str(path.with_name("part-*.jsonl"))))
    assert [data[i].text for i in range(5)] == ["00", "01", "10", "11", "20"]
    with pytest.raises(RecordError, match=r"record part-2.jsonl, line 2: field `title`: found 5"):
        data[5]
    path.with_name("part-1.jsonl").write_text("{\n")
    with pytest.raises(RecordError, match=r"record part-1.jsonl, line 1: not valid JSON"):
        open_dataset(Pairs(type="pairs", path=str(path.with_name("part-*.jsonl"))))[2]


def test_parquet_files_of_a_pattern_are_one_table(write_rows):
    for number in range(2):
        rows = [{"filepath": "a.png", "title": f"{number}{i}"} for i in range(3)]
        path = write_rows("parquet", rows, name=f"train-{number}.parquet")
    data = open_dataset(Pairs(type="pairs", path=str(path.with_name("train-*.parquet"))))
    assert [data[i].text for i in range(6)] == ["00", "01", "02", "10", "11", "12"]


def test_one_column_with_two_types_names_column_files_and_types(write_rows):
    """Text in one file and an object in another would otherwise fail deep inside Arrow."""
    first = write_rows("parquet", [{"id": "a", "image": "a.png"}], name="0.parquet")
    second = write_rows("parquet", [{"id": "b", "image": {"path": "b.png"}}], name="1.parquet")
    with pytest.raises(DataError) as error:
        open_source(Pairs(type="pairs", path=str(first.with_name("*.parquet"))))
    assert str(error.value) == (
        f"column 'image' has two types: string in {first}, struct<path: string> in {second}; write "
        "the files with one schema, or read them apart with `type: mixture`"
    )
    write_rows("parquet", [{"id": "b"}], name="1.parquet")
    with pytest.raises(DataError, match=r"'image' has two types: string in .*, absent in .*1.parq"):
        open_source(Pairs(type="pairs", path=str(first.with_name("*.parquet"))))


def test_one_json_column_with_two_types_is_an_error_of_the_row(write_rows):
    rows = [
        {"messages": TURNS, "images": ["a.png"]},
        {"messages": "a question", "images": ["a.png"]},
        {"messages": TURNS, "images": [{"bytes": None, "path": "a.png"}]},
    ]
    data = open_dataset(Messages(type="messages", path=str(write_rows("jsonl", rows))))
    assert str(data[2].images[0].path) == "a.png"
    with pytest.raises(RecordError, match=r'line 2: field `messages`: found "a question", expect'):
        data[1]


DAMAGED = {
    "empty.parquet": (b"", "is empty: 0 bytes"),
    "cut.parquet": (None, "is not a Parquet file, or is cut off"),
    "text.arrow": (b"no arrow at all", "is not an Arrow file, or is cut off"),
    "empty.csv": (b"\n", "is empty, expected a header"),
    "twice.csv": (b"title,filepath,title\na,b,c\n", "the header names the column 'title' twice"),
    "open.csv": (
        b'filepath,title\na.png,one\nb.png,"two\nc.png,three\n',
        "line 3: a quote is opened and never closed",
    ),
    "latin.csv": ("filepath,größe\n".encode("latin-1"), "line 1: not UTF-8 text"),
    "no.json": (b"3", "expected a JSON list"),
}


@pytest.mark.parametrize("name", DAMAGED)
def test_a_damaged_file_is_named(tmp_path, write_rows, name):
    content, phrase = DAMAGED[name]
    path = tmp_path / name
    if content is None:
        whole = write_rows("parquet", FORMATS["pairs"][1]).read_bytes()
        content = whole[: len(whole) // 2]
    path.write_bytes(content)
    with pytest.raises(DataError) as error:
        open_dataset(Pairs(type="pairs", path=str(path)))
    assert phrase in str(error.value)
    assert str(path) in str(error.value)
    assert "\n" not in str(error.value)


def test_damage_inside_a_parquet_file_is_named(write_rows):
    path = write_rows("parquet", FORMATS["pairs"][1])
    content = bytearray(path.read_bytes())
    content[20:120] = bytes(100)
    path.write_bytes(content)
    with pytest.raises(DataError, match=r"data.parquet: cannot be read .*the file is damaged"):
        open_dataset(Pairs(type="pairs", path=str(path)))


def test_text_that_is_not_utf8_is_an_error_of_its_row(tmp_path):
    path = tmp_path / "data.csv"
    path.write_bytes(b"filepath,title\na.png,one\nb.png,gr\xf6\xdfe\n")
    data = open_dataset(Pairs(type="pairs", path=str(path)))
    assert data[0].text == "one"
    with pytest.raises(RecordError, match=r"record line 3: not UTF-8 text"):
        data[1]


def test_a_field_as_long_as_an_image_is_read(tmp_path):
    long = "x" * 300_000  # the csv module's own limit is 131,072 characters
    path = tmp_path / "data.tsv"
    path.write_text(f"filepath\ttitle\na.png\t{long}\n")
    assert open_dataset(Pairs(type="pairs", path=str(path)))[0].text == long


def test_odd_line_breaks_stay_in_their_text(tmp_path):
    text = "a\u2028b\x0bc\x85d"
    path = tmp_path / "data.csv"
    path.write_text(f"filepath,title\na.png,{text}\nb.png,next\n", encoding="utf-8")
    data = open_dataset(Pairs(type="pairs", path=str(path)))
    assert [data[0].text, data[1].text] == [text, "next"]


def test_splits_of_a_saved_folder(tmp_path):
    import datasets

    parts = {
        name: datasets.Dataset.from_list([{"filepath": "a.png", "title": name}])
        for name in ("train", "validation")
    }
    datasets.DatasetDict(parts).save_to_disk(str(tmp_path / "saved"))
    section = {"type": "pairs", "path": str(tmp_path / "saved")}
    assert open_dataset(Pairs(**section))[0].text == "train"
    assert open_dataset(Pairs(**section, split="validation"))[0].text == "validation"
    with pytest.raises(DataError, match=r"unknown split 'valid'. Did you mean 'validation'\?"):
        open_dataset(Pairs(**section, split="valid"))


def test_a_file_has_no_splits(write_rows):
    path = write_rows("jsonl", FORMATS["pairs"][1])
    with pytest.raises(DataError, match=r"`split` is 'test', but files and folders of images"):
        open_dataset(Pairs(type="pairs", path=str(path), split="test"))


def test_a_folder_per_class_does_not_take_its_splits_for_classes(tmp_path, write_image):
    write_image("data/train/cat/1.png")
    write_image("data/test/cat/2.png")
    section = LabeledImages(type="classification", path=str(tmp_path / "data"), split="train")
    with pytest.raises(DataError, match=r"`split` is 'train'.*name the split's own .* in `path`"):
        open_source(section)


def test_json_behind_the_end_of_a_list_is_not_left_out_silently(tmp_path):
    path = tmp_path / "data.json"
    path.write_text('[{"filepath": "a.png", "title": "a"}]\n[{"filepath": "b.png", "title": "b"}]')
    with pytest.raises(DataError, match=r"found '\[\{.*behind the end of its JSON list"):
        open_dataset(Pairs(type="pairs", path=str(path)))


@pytest.mark.parametrize(
    ("line", "phrase"),
    [
        (r'{"filepath": "a.png", "title": "cut \ud83d"}', "one half of a surrogate pair"),
        ('{"filepath": ' + "[" * 100_000, "not valid JSON: maximum recursion depth"),
        ('{"filepath": "a.png", "title": ' + "9" * 5000 + "}", "not valid JSON: Exceeds the limit"),
    ],
    ids=["half a character", "deep brackets", "many digits"],
)
def test_a_line_that_python_stumbles_over_is_a_bad_record(tmp_path, line, phrase):
    path = tmp_path / "data.jsonl"
    whole = r'{"filepath": "a.png", "title": "whole \ud83d\ude00"}'
    path.write_text(f"{line}\n{whole}\n")
    data = open_dataset(Pairs(type="pairs", path=str(path)))
    assert data[1].text == "whole \U0001f600"
    with pytest.raises(RecordError) as error:
        data[0]
    assert phrase in str(error.value)
    assert error.value.record_id == "line 1"


@pytest.mark.parametrize("field", ["revision", "subset"])
def test_fields_of_hub_data_sets_are_refused_for_files(field):
    with pytest.raises(ValidationError, match=r"only data sets of the Hub have it"):
        Pairs(type="pairs", path="data.tsv", **{field: "v1"})


@pytest.mark.parametrize("container", ["csv", "json list", "parquet"])
def test_bad_rows_are_left_out_and_named_in_every_container(write_rows, write_image, container):
    for name in ("0.png", "2.png", "3.png"):
        write_image(name)
    write_image("4.png").write_bytes(b"")
    rows = [{"filepath": f"{i}.png", "title": "" if i == 3 else f"{i}"} for i in range(5)]
    section = Pairs(type="pairs", path=str(write_rows(container, rows)))
    data = open_dataset(section, on_bad_record="skip")
    assert [data[index].text for index in range(len(data))] == ["0", "2"]
    reasons = [error.reason for error in data.skipped]
    for reason, phrase in zip(reasons, ("image not found", "`title`", "0 bytes"), strict=True):
        assert phrase in reason


def test_paths_that_lead_nowhere(tmp_path, write_rows):
    path = write_rows("jsonl", FORMATS["pairs"][1], name="train.jsonl")
    cases = {
        path.with_name("train.json"): r"does not exist .*Did you mean '.*train.jsonl'",
        path.with_name("*.parquet"): r"no file fits the pattern",
        path.parent: r"is a folder, expected a file .*or one of train.jsonl",
    }
    for wrong, phrase in cases.items():
        with pytest.raises(DataError, match=phrase):
            open_dataset(Pairs(type="pairs", path=str(wrong)))
    write_rows("csv", FORMATS["pairs"][1], name="more.csv")
    with pytest.raises(DataError, match=r"found files of several kinds \(more.csv, train.jsonl\)"):
        open_dataset(Pairs(type="pairs", path=str(path.with_name("*"))))


def test_classes_stored_as_numbers_come_by_name(tmp_path):
    import datasets

    features = datasets.Features(
        {"image": datasets.Value("string"), "label": datasets.ClassLabel(names=["cat", "dog"])}
    )
    rows = [{"image": "a.png", "label": 1}]
    datasets.Dataset.from_list(rows, features=features).save_to_disk(str(tmp_path / "saved"))
    source = open_source(LabeledImages(type="classification", path=str(tmp_path / "saved")))
    assert source[0].values["label"] == "dog"


def test_a_folder_per_class_is_a_source(tmp_path, write_image):
    for name in ("dog/2.jpg", "cat/1.png", "cat/deep/3.jpg"):
        write_image(f"train/{name}")
    (tmp_path / "train" / "cat" / "notes.txt").write_text("no image")
    source = open_source(LabeledImages(type="classification", path=str(tmp_path / "train")))
    rows = [source[index].values for index in range(len(source))]
    assert [(row["label"], row["image"]) for row in rows] == [
        ("cat", "cat/1.png"),
        ("cat", "cat/deep/3.jpg"),
        ("dog", "dog/2.jpg"),
    ]
    (tmp_path / "none").mkdir()
    with pytest.raises(DataError, match=r"expected one folder per class"):
        open_source(LabeledImages(type="classification", path=str(tmp_path / "none")))


def test_reading_a_row_leaves_no_file_open(write_rows):
    _, rows = FORMATS["messages"]
    source = open_source(Messages(type="messages", path=str(write_rows("jsonl", rows))))
    before = len(list(Path("/proc/self/fd").iterdir()))
    assert json.dumps(source[3].values)
    assert len(list(Path("/proc/self/fd").iterdir())) == before
