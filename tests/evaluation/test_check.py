"""Data are checked without a model: what is shown must be there, and counted."""

import json

import pytest
from PIL import Image

from vlft.data import images
from vlft.data.scenes.layouts import write_layout
from vlft.evaluation.benchmark import load_benchmark
from vlft.evaluation.check import check_data


@pytest.fixture
def scienceqa(tmp_path):
    return write_layout("scienceqa", tmp_path / "scienceqa", num_samples=40)


def spec_of(name, **changes):
    return load_benchmark(name).model_copy(update=changes)


def test_whole_data_have_no_problems_and_are_pinned(scienceqa):
    found = check_data(spec_of("scienceqa/test", expected_n=8), str(scienceqa))
    assert found.problems == ()
    assert (found.n, found.expected_n) == (8, 8)
    assert found.revision.startswith("sha256-")


def test_another_number_of_records_is_told(scienceqa):
    found = check_data(spec_of("scienceqa/test", expected_n=9), str(scienceqa))
    assert found.problems == ("found 8 records, and 9 are declared",)


def test_an_image_that_is_not_shown_is_not_missed(scienceqa):
    for path in (scienceqa / "images" / "test").rglob("*.png"):
        path.unlink()
    assert check_data(spec_of("scienceqa/test_text_only", expected_n=8), str(scienceqa)).n == 8
    shown = check_data(spec_of("scienceqa/test", expected_n=8), str(scienceqa))
    text = check_data(spec_of("scienceqa/test_text_only", expected_n=8), str(scienceqa))
    assert "image not found" in shown.problems[0]
    assert shown.problems[-2] == "and 1 more"
    assert "tools/download.sh gets the images" in shown.problems[-1]
    assert text.problems == ()


def test_every_image_is_looked_at_once(tmp_path, monkeypatch):
    Image.new("RGB", (8, 8)).save(tmp_path / "a.png")
    rows = [{"filepath": "a.png", "title": f"text {n}", "negative": "no"} for n in range(5)]
    path = tmp_path / "pairs.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    looked, real = [], images._open_header
    monkeypatch.setattr(images, "_open_header", lambda *a: looked.append(a) or real(*a))
    assert check_data(load_benchmark("custom/pairs", [f"data.path={path}"])).problems == ()
    assert len(looked) == 1


def test_bytes_in_rows_are_decoded(tmp_path):
    folder = write_layout("mmra", tmp_path / "mmra", num_samples=11)
    spec = spec_of("mmra/images_question", expected_n=11)
    assert check_data(spec, str(folder)).problems == ()


def test_data_that_are_not_there_are_told_with_what_to_do(tmp_path):
    found = check_data(spec_of("aro/vg_relation"), str(tmp_path))
    assert (found.n, found.revision) == (0, None)
    assert "its data are not there: looked for" in found.problems[0]
    assert "Google Drive" in found.problems[0]


@pytest.mark.parametrize(
    ("changes", "problem"),
    [
        ({"scorer": "scienceq"}, "unknown scorer 'scienceq'. Did you mean 'scienceqa'?"),
        ({"prompt_format": "llama"}, "unknown prompt_format 'llama'. Did you mean 'llava'?"),
        ({"settings": {"contexts": "image"}}, "settings: unknown field 'contexts'. Did you mean"),
    ],
)
def test_a_mistake_in_the_declaration_is_one_of_the_problems(scienceqa, changes, problem):
    found = check_data(spec_of("scienceqa/test", expected_n=8, **changes), str(scienceqa))
    assert problem in found.problems[0]
    assert found.n == 8
