"""Data are found below a folder that the user names, or written by ourselves."""

import json

import pytest

from vlft.data.scenes.layouts import write_layout
from vlft.disk import CACHE
from vlft.errors import EvaluationError
from vlft.evaluation.benchmark import load_benchmark
from vlft.evaluation.places import ROOT, placed, written
from vlft.recipe.data.benchmarks import GeneratedFiles

DECLARATION = """
version: 1
description: ScienceQA's layout.
scorer: multiple_choice
data: {type: scienceqa, path: scienceqa, split: test}
download: take it from the web.
revision: content
prompt_format: as_recorded
max_new_tokens: 4
metric: accuracy
license: CC0
"""


@pytest.fixture
def spec(tmp_path):
    path = tmp_path / "declared.yaml"
    path.write_text(DECLARATION)
    return load_benchmark(str(path))


@pytest.fixture
def data(tmp_path):
    write_layout("scienceqa", tmp_path / "all" / "scienceqa", num_samples=40)
    return tmp_path / "all"


def path_of(spec):
    return spec.data.path


def test_the_folder_of_all_data_or_of_these_or_the_file_may_be_given(spec, data):
    own = data / "scienceqa"
    for given in (data, own):
        assert path_of(placed(spec, str(given))) == str(own)
    file = own / "problems.json"
    assert path_of(placed(spec, str(file))) == str(file)
    assert placed(spec, str(data)).name == spec.name


def test_a_variable_names_the_folder(spec, data, monkeypatch):
    monkeypatch.setenv(ROOT, str(data))
    assert path_of(placed(spec)) == str(data / "scienceqa")


def test_without_anything_it_is_the_folder_data(spec, data, monkeypatch):
    data.rename(data.parent / "data")
    monkeypatch.chdir(data.parent)
    monkeypatch.delenv(ROOT, raising=False)
    assert path_of(placed(spec)) == "data/scienceqa"


def test_data_that_are_not_there_say_where_they_belong_and_where_to_get_them(spec, tmp_path):
    with pytest.raises(EvaluationError) as error:
        placed(spec, str(tmp_path / "gone"))
    text = str(error.value)
    assert f"looked for {tmp_path}/gone/scienceqa and {tmp_path}/gone" in text
    assert "take it from the web." in text
    assert "--data or VLFT_DATA" in text


def test_a_folder_without_these_data_says_where_to_get_them(spec, data, tmp_path):
    (tmp_path / "other" / "aro").mkdir(parents=True)
    with pytest.raises(EvaluationError, match=r"looked for .*other/scienceqa and .* from the web"):
        placed(spec, str(tmp_path / "other"))
    mmeb = load_benchmark("mmeb/image")
    with pytest.raises(EvaluationError, match=r"hf download TIGER-Lab/MMEB-eval"):
        placed(mmeb, str(tmp_path / "other"))
    (tmp_path / "other" / "NIGHTS").mkdir()
    assert path_of(placed(mmeb, str(tmp_path / "other"))) == str(tmp_path / "other")


def test_the_hub_may_be_given(spec):
    found = placed(load_benchmark("custom/vqa", ["data.path=x"]), "hub:user/name@1a2b")
    assert (found.data.path, found.data.revision) == ("hub:user/name", "1a2b")


@pytest.mark.parametrize(("given", "kept"), [("images", None), ("/coco", "/coco")])
def test_images_beside_rows_of_the_hub_lie_where_the_user_says(given, kept):
    changes = ["data.path=x", f"data.image_root={given}"]
    spec = load_benchmark("custom/vqa", changes)
    assert placed(spec, "hub:user/name").data.image_root == kept


def test_ones_own_data_may_be_given_too():
    found = placed(load_benchmark("custom/vqa", ["data.path=x"]), "held_out.jsonl")
    assert found.data.path == "held_out.jsonl"


def test_the_revision_is_that_of_the_deciding_files(spec, data):
    before = placed(spec, str(data)).dataset_revision
    (data / "scienceqa" / "notes.txt").write_text("mine")
    assert placed(spec, str(data)).dataset_revision == before
    problems = data / "scienceqa" / "problems.json"
    problems.write_text(problems.read_text() + "\n")
    assert placed(spec, str(data)).dataset_revision != before


def test_generated_files_are_written_once(tmp_path, monkeypatch):
    monkeypatch.setenv(CACHE, str(tmp_path))
    world = GeneratedFiles(layout="scienceqa", num_samples=20, seed=3)
    folder = written(world)
    problems = folder / "problems.json"
    assert len(json.loads(problems.read_text())) == 20
    problems.write_text("{}")
    assert written(world) == folder
    assert problems.read_text() == "{}"
    other = written(world.model_copy(update={"seed": 4}))
    assert other != folder
    assert [path.name for path in (tmp_path / "worlds").iterdir() if path.name[0] == "."] == []


def test_a_world_is_its_own_revision(spec):
    one, other = (
        spec.model_copy(
            update={"world": GeneratedFiles(layout="scienceqa", num_samples=20, seed=seed)}
        )
        for seed in (1, 2)
    )
    assert one.dataset_revision.startswith("scenes-")
    assert one.dataset_revision != other.dataset_revision


def test_generated_files_take_the_place_of_the_data(spec, tmp_path, monkeypatch):
    monkeypatch.setenv(CACHE, str(tmp_path))
    world = GeneratedFiles(layout="scienceqa", num_samples=20, seed=3)
    found = placed(spec.model_copy(update={"world": world}))
    assert path_of(found) == str(written(world))


def test_what_has_its_place_keeps_it(spec, data):
    found = placed(spec, str(data / "scienceqa"))
    assert placed(found) == found
    drawn = placed(load_benchmark("scenes/mmra_generate", ["world.num_samples=11"]))
    assert placed(drawn) == drawn
