"""Order sets: one case per caption, shuffles drawn from tags or taken as the rows hold them."""

import json
import shutil

import pytest
from PIL import Image

from vlft.data import open_dataset
from vlft.data.cleaning import clean_caption
from vlft.data.images import open_image
from vlft.data.readers.aro_order import AroOrderDataset, draws_of
from vlft.data.scenes.layouts.files import write_parquet
from vlft.errors import DataError, RecordError
from vlft.recipe.data.benchmarks import AroOrder

IMAGES = [
    {"image": "val2014/a.png", "caption": ["A red dog runs.", "The dog (red) is here."]},
    {"image": "val2014/b.png", "caption": ["Two cats sit on a mat."]},
]
NOUNS = {"dog", "cats", "mat"}


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch):
    monkeypatch.setenv("VLFT_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


def tagged(text):
    tokens = text.replace(".", " .").split()
    tags = ["NN" if t in NOUNS else "JJ" if t == "red" else "DT" for t in tokens]
    return {"caption": text, "tokens": tokens, "tags": tags}


@pytest.fixture
def folder(tmp_path):
    """A folder with captions and tags beside them."""

    def write(images=IMAGES, tags="set.tags.jsonl"):
        (tmp_path / "set.json").write_text(json.dumps(images))
        texts = [text for image in IMAGES for text in image["caption"]]
        lines = [json.dumps(tagged(text)) + "\n" for text in texts]
        (tmp_path / tags).write_text("".join(lines))
        return tmp_path

    return write


def read(folder, **settings):
    return AroOrderDataset(AroOrder(type="aro_order", path=str(folder / "set.json"), **settings))


def options(records):
    return [[record.text, *record.meta["negatives"]] for record in records]


def test_every_caption_is_a_case_with_four_shuffles(folder, write_image):
    write_image("val2014/a.png")
    records = read(folder())
    assert [record.id for record in map(records.__getitem__, range(3))] == ["0", "1", "2"]
    found = [records[index] for index in range(len(records))]
    assert [record.text for record in found] == [
        "a red dog runs",
        "the dog red is here",
        "two cats sit on a mat",
    ]
    for record in found:
        assert len(record.meta["negatives"]) == 4
        assert all(text == clean_caption(text) for text in record.meta["negatives"])
    assert found[1].meta["caption"] == 1
    assert found[0].meta["drawn"].startswith("sha256-")
    assert "seed 1, tokens and tags of set.tags.jsonl" in found[0].meta["drawn"]
    assert open_image(found[1].image, dataset="x", record_id="1").size == (60, 48)


def test_a_file_of_tags_may_be_named_and_the_seed_changed(folder):
    here = folder(tags="mine.jsonl")
    first = read(here, tags=str(here / "mine.jsonl"))
    assert options(first) == options(read(here, tags=str(here / "mine.jsonl")))
    assert options(first) != options(read(here, tags=str(here / "mine.jsonl"), seed=2))


def test_limit_counts_cases_and_leaves_their_shuffles_as_they_are(folder):
    here = folder()
    assert options(read(here, limit=2)) == options(read(here))[:2]


def test_without_tags_and_spacy_the_message_says_what_to_do(folder, monkeypatch):
    here = folder(tags="elsewhere.jsonl")
    monkeypatch.setattr("vlft.data.aro.tagging._version", lambda package: None)
    with pytest.raises(DataError, match=r"spacy is missing: .* pip install spacy nltk"):
        read(here)


@pytest.mark.parametrize(
    ("image", "message"),
    [
        ({"image": "a.png"}, r"field `caption` is missing, expected a list; there is: image"),
        ({"image": "a.png", "caption": []}, r"field `caption`: found \[\], expected a list of cap"),
        ({"image": "a.png", "caption": ["a", 3]}, r"field `caption\[1\]`: found 3, expected text"),
        ({"image": "a.png", "caption": [" ."]}, r'field `caption\[0\]`: found " \.", expected a c'),
    ],
)
def test_a_bad_row_is_named(folder, image, message):
    with pytest.raises(RecordError, match=f"item 2: {message}"):
        read(folder([IMAGES[0], image]))


def test_a_case_without_an_image_is_named(folder):
    records = read(folder([{"caption": IMAGES[0]["caption"]}]))
    with pytest.raises(RecordError, match="record 1: item 1, field `image` is missing"):
        records[1]


def test_saved_draws_are_rows_that_can_be_read_on_another_machine(folder, cache, write_image):
    write_image("val2014/a.png")
    here = folder()
    first = read(here)
    (rows,) = (cache / "aro").glob("*.jsonl")
    shutil.copy(rows, here / "draws.jsonl")
    section = AroOrder(type="aro_order", path=str(here / "draws.jsonl"))
    again = open_dataset(section)
    assert options(again) == options(first)
    assert again[0].image == first[0].image
    assert "drawn" not in again[0].meta


def test_rows_with_shuffles_are_taken_as_they_are_and_cleaned(tmp_path):
    row = {
        "images": Image.new("RGB", (9, 8)),
        "correct_caption": "A red dog.",
        **{f"hard_text_{n}": f"dog red A. {n}" for n in (1, 2, 3, 4)},
    }
    write_parquet([row, row], tmp_path / "test.parquet")
    section = AroOrder(type="aro_order", path=str(tmp_path / "test.parquet"))
    records = AroOrderDataset(section)
    assert len(records) == 2
    assert records[1].id == "1"
    assert records[1].text == "a red dog"
    assert records[1].meta == {"negatives": [f"dog red a {n}" for n in (1, 2, 3, 4)]}
    assert open_image(records[1].image, dataset="x", record_id="1").size == (9, 8)
    assert draws_of(section) == ""


def test_a_row_that_lacks_a_shuffle_is_named(tmp_path):
    row = {"image": "a.png", "correct_caption": "a", "hard_text_1": "b", "hard_text_2": "c"}
    (tmp_path / "rows.jsonl").write_text(json.dumps(row))
    records = AroOrderDataset(AroOrder(type="aro_order", path=str(tmp_path / "rows.jsonl")))
    with pytest.raises(RecordError, match="record 0: line 1, field `hard_text_3` is missing"):
        records[0]


def test_what_draws_depend_on_is_told_without_drawing(folder, cache):
    here = folder()
    section = AroOrder(type="aro_order", path=str(here / "set.json"), seed=7)
    assert draws_of(section).startswith("seed 7, tokens and tags of set.tags.jsonl (sha256-")
    assert not cache.exists()
