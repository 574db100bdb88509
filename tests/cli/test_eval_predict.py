"""``vlft eval`` writes results that name what they are of; ``vlft predict`` answers."""

import json
import shutil

import pytest
from PIL import Image

from vlft.evaluation.benchmark import load_suite
from vlft.results import read_result, read_samples


@pytest.fixture
def image(tmp_path):
    path = tmp_path / "a.png"
    Image.new("RGB", (60, 40), "red").save(path)
    return str(path)


def test_limited_result_is_written_and_marked(vlft, lora_run, tmp_path):
    out = tmp_path / "results"
    called = vlft(
        "eval", str(lora_run), "--benchmark", "scenes/question_answering", "--limit", "6",
        "--out", str(out),
    )  # fmt: skip
    assert called.status == 0, called.err
    path = out / "scenes-question_answering.limited.json"
    assert f"written: {path}" in called.out
    result = read_result(path)
    assert result.protocol.ranking_key.coverage == "limited"
    assert result.model.name == str(lora_run)
    assert result.metrics[0].name == "accuracy"
    assert result.metrics[0].n == 6
    facts = result.protocol.recorded
    trained = json.loads((lora_run / "environment.json").read_text())["trained_parameters"]
    assert facts["trained_parameters"] == trained > 0
    assert facts["visual_tokens_per_image"] == 16
    assert len(result.model.weights) == 16
    row = next(line for line in called.out.splitlines() if "accuracy" in line)
    assert row.split()[:2] == ["accuracy", f"{result.metrics[0].value:.4f}"]
    assert "scenes/question_answering (limited: never ranks)" in called.out
    assert result.samples_file is not None
    assert len(read_samples(out / result.samples_file)) == 6


def test_json_is_the_result(vlft, clip_run, tmp_path):
    called = vlft(
        "eval", str(clip_run), "--benchmark", "scenes/retrieval", "--limit", "8",
        "--out", str(tmp_path), "--json",
    )  # fmt: skip
    assert called.status == 0, called.err
    printed = json.loads(called.out.splitlines()[-1])
    written = json.loads((tmp_path / "scenes-retrieval.limited.json").read_text())
    assert printed["metrics"] == written["metrics"]


@pytest.mark.slow
def test_suite_of_the_recipe_is_the_default(vlft, lora_run, tmp_path):
    run_dir = shutil.copytree(lora_run, tmp_path / "run")
    recipe = run_dir / "recipe.yaml"
    recipe.write_text(recipe.read_text().replace("suite: null", "suite: scenes"))
    called = vlft("eval", str(run_dir), "--limit", "3")
    assert called.status == 0, called.err
    assert "not applicable" in called.out  # retrieval, of a host that does not embed
    results = [read_result(path) for path in (run_dir / "results").glob("*.json")]
    assert {result.benchmark for result in results} == {s.name for s in load_suite("scenes")}
    measured = [result for result in results if result.status == "scored"]
    assert len(measured) > 20
    assert {result.protocol.ranking_key.coverage for result in measured} == {"limited"}
    assert all(metric.n >= 3 for result in measured for metric in result.metrics[:1])


def test_no_benchmark_is_named(vlft, lora_run):
    called = vlft("eval", str(lora_run))
    assert called.status == 2
    assert "--benchmark: name one" in called.err


def test_unknown_benchmark(vlft, lora_run):
    called = vlft("eval", str(lora_run), "--benchmark", "scenes/retrival")
    assert called.status == 2
    assert "Did you mean 'scenes/retrieval'?" in called.err


def test_generative_run_answers(vlft, lora_run, image):
    called = vlft(
        "predict", str(lora_run), "--image", image, "--prompt", "what color is it?",
        "--max-new-tokens", "3",
    )  # fmt: skip
    assert called.status == 0, called.err
    assert len(called.out.splitlines()) == 1
    without = vlft("predict", str(lora_run), "--prompt", "what is red?", "--max-new-tokens", "3")
    assert without.status == 0, without.err


def test_contrastive_run_ranks_texts(vlft, clip_run, image):
    called = vlft("predict", str(clip_run), "--image", image, "--prompt", "a red square | a dog")
    assert called.status == 0, called.err
    rows = [line.split("\t") for line in called.out.splitlines()]
    assert {(row[0], row[2]) for row in rows} == {(image, "a red square"), (image, "a dog")}
    values = [float(row[1]) for row in rows]
    assert 1 >= values[0] >= values[1] >= -1


def test_contrastive_run_needs_an_image(vlft, clip_run):
    called = vlft("predict", str(clip_run), "--prompt", "a dog")
    assert called.status == 2
    assert "--image: a contrastive host compares texts with an image" in called.err


@pytest.mark.parametrize("run", ["lora_run", "clip_run"])
def test_missing_image(run, vlft, request, tmp_path):
    run_dir = str(request.getfixturevalue(run))
    called = vlft("predict", run_dir, "--image", str(tmp_path / "no.png"), "--prompt", "what?")
    assert called.status == 2
    assert called.err.startswith("vlft: ")
    assert "image not found: " in called.err
    assert called.err.count("\n") == 1


def test_run_that_is_not_there(vlft):
    called = vlft("predict", "runs/gone/far", "--prompt", "what?")
    assert called.status == 2
    assert "'runs/gone/far' is no folder" in called.err


def test_the_recipe_names_the_held_out_file_too(vlft, lora_run, tmp_path):
    from vlft.data.scenes.layouts.messages import write
    from vlft.data.scenes.scene import World

    write(tmp_path, World(seed=1000), range(5))
    run_dir = shutil.copytree(lora_run, tmp_path / "run")
    recipe = run_dir / "recipe.yaml"
    text = recipe.read_text().replace("suite: null", "suite: custom/vqa")
    path = tmp_path / "messages.jsonl"
    recipe.write_text(text.replace("overrides: []", f"overrides: ['data.path={path}']"))
    called = vlft("eval", str(run_dir), "metric=token_f1", "--out", str(tmp_path / "out"))
    assert called.status == 0, called.err
    assert "token_f1" in called.out.splitlines()[1]
    (result,) = (tmp_path / "out").glob("*.json")
    assert json.loads(result.read_text())["protocol"]["ranking_key"]["dataset_revision"].startswith(
        "sha256-"
    )
