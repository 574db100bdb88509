"""Image-text pairs in TSV and JSONL."""

from pathlib import Path

import pytest

from vlft.data.readers.pairs import PairsDataset
from vlft.errors import DataError, RecordError
from vlft.recipe.data import Pairs

SHARED = Path(__file__).parents[4] / "shared" / "data"


def read(path, **options):
    return PairsDataset(Pairs(type="pairs", path=str(path), **options))


@pytest.fixture
def write_tsv(tmp_path):
    def write(*lines, name="data.tsv"):
        path = tmp_path / name
        path.write_text("".join(f"{line}\r\n" for line in lines), encoding="utf-8")
        return path

    return write


def test_tsv_by_header(write_tsv):
    path = write_tsv("title\tfilepath\turl", 'a "red" bus\ta.jpg\tx', '"with\ttab"\tb.jpg\ty')
    first, second = read(path)
    assert (first.id, first.text, str(first.image.path)) == ("line 2", 'a "red" bus', "a.jpg")
    assert first.meta == {"url": "x"}
    assert second.text == "with\ttab"


def test_names_of_columns_come_from_the_recipe(write_tsv, write_jsonl):
    names = {"image_column": "img", "text_column": "caption"}
    (row,) = read(write_tsv("img\tcaption", "a.jpg\tone bus"), **names)
    (line,) = read(write_jsonl([{"id": 3, "img": "a.jpg", "caption": "one bus"}]), **names)
    assert (row.text, row.image) == (line.text, line.image)
    assert line.id == "3"


def test_negclip_layout():
    path = SHARED / "aro" / "negclip_valid_head.tsv"
    if not path.exists():
        pytest.skip("the shared data folder is not here")
    data = read(path)
    assert len(data) == 8
    assert data[0].text == "A child holding a flowered umbrella and petting a yak."
    assert data[0].meta["neg_caption"].startswith("['A umbrella")


def test_missing_column_names_the_near_one_and_all(write_tsv):
    with pytest.raises(DataError) as error:
        read(write_tsv("titles\tfilepath", "x\ty"))
    assert "data.tsv: unknown column 'title'. Did you mean 'titles'? Avail" in str(error.value)
    assert str(error.value).endswith("set `text_column`")


def test_other_endings_are_refused(write_tsv):
    with pytest.raises(DataError, match=r"found the ending '.txt', expected .jsonl, .*; rename or"):
        read(write_tsv("title,filepath", name="data.txt"))
    with pytest.raises(DataError, match=r"found the ending '.gz', expected .*; unpack it"):
        read(write_tsv("title,filepath", name="data.csv.gz"))


BAD_ROWS = {
    "columns": ("only text", "line 2: found 1 columns, expected 2 as in the header"),
    "empty text": (" \ta.jpg", 'line 2: field `title`: found "", expected text that is not empty'),
    "empty path": ("a bus\t", "line 2: field `filepath`: found"),
}


@pytest.mark.parametrize(("row", "phrase"), BAD_ROWS.values(), ids=BAD_ROWS)
def test_bad_row(write_tsv, row, phrase):
    with pytest.raises(RecordError) as error:
        read(write_tsv("title\tfilepath", row))[0]
    assert phrase in str(error.value)


def test_bad_json_line(write_jsonl):
    data = read(write_jsonl([{"title": "a bus"}, {"title": 5, "filepath": "a.jpg"}]))
    with pytest.raises(RecordError, match=r"line 1: field `filepath` is missing; .*`image_column`"):
        data[0]
    with pytest.raises(RecordError, match=r"line 2: field `title`: found 5, expected text"):
        data[1]
