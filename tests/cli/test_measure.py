"""``vlft eval`` without a model, and ``vlft compare``."""

import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from vlft.data.scenes.layouts.messages import write
from vlft.data.scenes.scene import World
from vlft.recipe.shipped import find_shipped
from vlft.results import read_result


@pytest.fixture
def held_out(tmp_path):
    """Twelve conversations, with the answers that a perfect model gives."""
    write(tmp_path, World(seed=1000), range(12))
    path = tmp_path / "messages.jsonl"
    rows = [json.loads(line) for line in path.read_text().splitlines()]
    said = tmp_path / "said.jsonl"
    said.write_text(
        "".join(
            json.dumps({"id": row["id"], "answer": row["messages"][-1]["content"]}) + "\n"
            for row in rows
        )
    )
    return path


def test_predictions_are_scored_without_a_model(vlft, held_out, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    called = vlft(
        "eval", f"data.path={held_out}", "--benchmark", "custom/vqa", "--predictions", "said.jsonl",
        "--name", "oracle", "--json",
    )  # fmt: skip
    assert called.status == 0, called.err
    result = json.loads(called.out)
    assert result["model"]["name"] == "oracle"
    assert {metric["value"] for metric in result["metrics"]} == {1.0}
    (written,) = (tmp_path / "results" / "said").glob("*.json")
    assert read_result(written).model.name == "oracle"


def test_a_report_is_scored_and_not_written_again(vlft, tmp_path):
    hit = {"hit@1": 0.808, "num_pred": 1000, "num_data": 1000}
    path = tmp_path / "theirs.json"
    path.write_text(json.dumps({"metrics": {"image": {"NIGHTS": hit}, "video": {"K700": hit}}}))
    called = vlft(
        "eval", "--benchmark", "mmeb/image", "--predictions", str(path), "--out",
        str(tmp_path / "here"), "--json",
    )  # fmt: skip
    assert called.status == 0, called.err
    assert json.loads(called.out)["metrics"][0]["value"] == 0.808
    # theirs also holds videos, and says who measured it
    assert [written.name for written in (tmp_path / "here").iterdir()] == [
        "mmeb-image.limited.json"
    ]


def test_data_may_be_given_apart(vlft, held_out, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    called = vlft(
        "eval", "data.path=unused.jsonl", "--benchmark", "custom/vqa", "--predictions",
        "said.jsonl", "--data", str(held_out), "--out", "here",
    )  # fmt: skip
    assert called.status == 0, called.err
    assert "exact_match" in called.out
    assert "written: here/" in called.out


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((), "name what to measure: a run directory, a checkpoint or hub:user/name"),
        (("--predictions", "a.jsonl"), "--benchmark: name one"),
        (("--predictions", "a.jsonl", "--suite", "scenes"), "a file belongs to one benchmark"),
        (("run", "--predictions", "a.jsonl"), "--predictions scores a file without a model"),
        (("run", "--suite", "scenes", "--partial"), "--partial belongs to --predictions"),
        (("run", "--suite", "scenes", "--policy", "x"), "--policy belongs to --predictions"),
        (("--suite", "scenez"), "name what to measure"),
        (("run", "other", "--suite", "scenes"), "found 'run' and 'other': name one RUN"),
        (("--predictions", "a", "--suite", "x", "--limit", "3"), "--limit belongs to a RUN"),
        (("--check-data", "--suite", "scenez"), "Did you mean 'scenes'"),
        (("run", "--benchmark", "mine.yaml"), "mine.yaml is no file (looked at /"),
        (("run", "--benchmark", "scenes/retrieva.yaml"), "Did you mean 'scenes/retrieval'?"),
        (
            ("run", "--benchmark", "custom/vqa", "data={type: question_answering, path: x.csv}"),
            "command line: data.type: unknown type 'question_answering'. Did you mean "
            "'question_answer'?",
        ),
        (("--predictions", "a", "--suite", "scenes"), "scenes/retrieval and 28 more: name one"),
    ],
)
def test_what_does_not_go_together_is_said(vlft, arguments, message):
    called = vlft("eval", *arguments)
    assert called.status == 2
    assert message in called.err
    assert called.err.count("\n") == 1


STARTED = """
import json, sys
from vlft.__main__ import main
sys.argv = ["vlft", *json.loads(sys.argv[1])]
try:
    main()
finally:
    print(json.dumps(sorted(sys.modules)))
"""


@pytest.mark.parametrize(
    ("arguments", "heavy"),
    [
        (["eval", "run", "--suite", "scenez"], ("torch",)),
        (["eval", "--suite", "scenez", "--check-data"], ("torch",)),
        (["eval", "--suite", "scenes", "--predictions", "x.jsonl"], ("torch",)),
        (["eval", "--benchmark", "custom/vqa", "--check-data"], ("torch",)),
        (["compare", "a", "b"], ("torch",)),
        (["eval", "--benchmark", "mmra/generate", "--check-data"], ("transformers", "peft")),
        (
            ["eval", "--benchmark", "mmra/generate", "--predictions", "x.jsonl"],
            ("transformers", "peft"),
        ),
    ],
)
def test_what_asks_no_model_starts_fast(vlft, held_out, arguments, heavy, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for folder in ("a", "b"):
        called = vlft(
            "eval", f"data.path={held_out}", "--benchmark", "custom/vqa", "--predictions",
            "said.jsonl", "--out", folder,
        )  # fmt: skip
        assert called.status == 0, called.err
    done = subprocess.run(
        [sys.executable, "-c", STARTED, json.dumps(arguments)],
        capture_output=True, text=True, timeout=120, cwd=tmp_path,
    )  # fmt: skip
    assert "Traceback" not in done.stderr
    assert not set(heavy) & set(json.loads(done.stdout.splitlines()[-1]))


def test_the_data_are_checked_without_a_model(vlft, held_out):
    called = vlft(
        "eval", f"data.path={held_out}", "--benchmark", "custom/vqa", "--check-data", "--json"
    )
    assert called.status == 0, called.err
    found = json.loads(called.out)
    assert (found["n"], found["problems"]) == (12, [])
    assert found["revision"].startswith("sha256-")


def test_the_data_of_a_run_are_those_of_its_suite(vlft, lora_run, held_out, tmp_path):
    run_dir = shutil.copytree(lora_run, tmp_path / "run")
    recipe = run_dir / "recipe.yaml"
    text = recipe.read_text().replace("suite: null", "suite: custom/vqa")
    recipe.write_text(text.replace("overrides: []", f"overrides: ['data.path={held_out}']"))
    called = vlft("eval", str(run_dir), "--check-data")
    assert called.status == 0, called.err
    assert "fine" in called.out


def test_what_cannot_be_measured_is_told_and_the_rest_is_measured(vlft, clip_run, tmp_path):
    benchmarks = ("aro/vg_relation", "scenes/retrieval", "scenes/retrieval")
    called = vlft(
        "eval", str(clip_run), "--limit", "5", "--out", str(tmp_path / "out"),
        *(part for name in benchmarks for part in ("--benchmark", name)),
    )  # fmt: skip
    assert called.status == 2
    assert "vlft: aro/vg_relation: its data are not there" in called.err
    assert "vlft: 1 of 2 benchmarks could not be measured" in called.err
    assert called.out.count("written: ") == 1
    assert (tmp_path / "out" / "scenes-retrieval.limited.json").is_file()


def test_a_bad_image_in_the_middle_stops_its_benchmark_alone(vlft, lora_run, held_out, tmp_path):
    next((held_out.parent / "images").iterdir()).unlink()
    called = vlft(
        "eval", f"data.path={held_out}", str(lora_run), "--benchmark", "custom/vqa",
        "--batch-size", "2", "--out", str(tmp_path / "out"),
    )  # fmt: skip
    assert called.status == 2
    assert "image not found" in called.err
    assert "could not be measured" not in called.err
    assert not list((tmp_path / "out").glob("*.json"))


def test_results_that_cannot_be_written_are_told_before_anything_is_loaded(
    vlft, lora_run, tmp_path
):
    (tmp_path / "taken").write_text("")
    for out in ("taken", "taken/below"):
        called = vlft(
            "eval", str(lora_run), "--suite", "scenes", "--out", str(tmp_path / out)
        )  # fmt: skip
        assert called.status == 2
        assert called.err.startswith("vlft: results cannot be written to ")
        assert called.err.count("\n") == 1


def test_a_run_may_hold_an_equals_sign_and_stand_anywhere(vlft, lora_run, tmp_path):
    run_dir = shutil.copytree(lora_run, tmp_path / "lr=1" / "run")
    called = vlft(
        "eval", "data.num_samples=4", str(run_dir), "data.questions=[kind]", "--benchmark",
        "scenes/question_answering", "--json",
    )  # fmt: skip
    assert called.status == 0, called.err
    result = json.loads(called.out)
    assert result["model"]["name"] == str(run_dir)
    assert result["metrics"][0]["n"] == 4


def test_two_benchmarks_of_one_name_are_refused(vlft, lora_run, tmp_path):
    text = find_shipped("eval", "scenes/question_answering").read_text()
    for folder, number in (("a", 5), ("b", 6)):
        (tmp_path / folder).mkdir()
        changed = text.replace("num_samples: 2048", f"num_samples: {number}")
        (tmp_path / folder / "mine.yaml").write_text(changed)
    called = vlft(
        "eval", str(lora_run), "--benchmark", str(tmp_path / "a" / "mine.yaml"),
        "--benchmark", str(tmp_path / "b" / "mine.yaml"),
    )  # fmt: skip
    assert called.status == 2
    assert "two benchmarks are called mine" in called.err


@pytest.mark.parametrize(
    ("damage", "state", "message"),
    [
        (
            lambda path: next((path.parent / "images").iterdir()).unlink(),
            "not as declared",
            "image not found",
        ),
        (lambda path: path.write_text(path.read_text()[:-40]), "not as declared", "line 12"),
        (lambda path: path.unlink(), "cannot be read", "does not exist"),
    ],
)
def test_damaged_data_are_told_and_the_status_is_2(vlft, held_out, damage, state, message):
    damage(held_out)
    called = vlft("eval", f"data.path={held_out}", "--benchmark", "custom/vqa", "--check-data")
    assert called.status == 2
    assert state in called.out
    assert message in called.err


def test_two_runs_are_compared(vlft, lora_run, tmp_path):
    for name, limit in (("a", "20"), ("b", "20")):
        called = vlft(
            "eval", str(lora_run), "--benchmark", "scenes/question_answering", "--limit", limit,
            "--out", str(tmp_path / name),
        )  # fmt: skip
        assert called.status == 0, called.err
    called = vlft("compare", str(tmp_path / "a"), str(tmp_path / "b"), "--json")
    assert called.status == 0, called.err
    found = json.loads(called.out)
    assert (found["difference"], found["p"], found["n"]) == (0.0, 1.0, 20)
    called = vlft("compare", str(tmp_path / "a"), str(tmp_path / "b"), "--groups")
    assert "scenes/question_answering" in called.out
    assert "McNemar's exact test" in called.out


def results_of(folder, ending):
    """Results in a folder of benchmarks whose names end so; file names may be cut."""
    return [
        path for path in Path(folder).glob("*.json") if read_result(path).benchmark.endswith(ending)
    ]


def test_a_benchmark_that_cannot_be_compared_stops_no_other(vlft, held_out, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for metric in ("anls", "token_f1"):
        called = vlft(
            "eval", f"data.path={held_out}", f"metric={metric}", "--benchmark", "custom/vqa",
            "--predictions", "said.jsonl", "--out", "a",
        )  # fmt: skip
        assert called.status == 0, called.err
    shutil.copytree("a", "b")
    (other,) = results_of("b", "metric=anls")
    other.write_text(other.read_text().replace('"as_recorded"', '"short_answer"'))
    called = vlft("compare", "a", "b")
    assert called.status == 2
    assert "token_f1" in called.out
    assert "anls" not in called.out
    assert "measured in different ways: prompt_format" in called.err


def test_what_only_one_has_is_told_in_one_line(vlft, held_out, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for number in range(7):
        called = vlft(
            "eval", f"data.path={held_out}", f"max_new_tokens={number + 1}", "--benchmark",
            "custom/vqa", "--predictions", "said.jsonl", "--out", "a",
        )  # fmt: skip
        assert called.status == 0, called.err
    Path("b").mkdir()
    (first,) = results_of("a", "max_new_tokens=1")
    for file in (first, first.with_suffix(".samples.jsonl")):
        shutil.copy(file, "b")
    called = vlft("compare", "a", "b")
    assert called.status == 0, called.err
    assert called.err.startswith("vlft: only in a: custom/vqa:")
    assert called.err.endswith(" and 1 more\n")
    assert called.err.count("\n") == 1


def test_runs_without_a_common_benchmark_are_told(vlft, held_out, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for folder, metric in (("a", "anls"), ("b", "token_f1")):
        called = vlft(
            "eval", f"data.path={held_out}", f"metric={metric}", "--benchmark", "custom/vqa",
            "--predictions", "said.jsonl", "--out", folder,
        )  # fmt: skip
        assert called.status == 0, called.err
    called = vlft("compare", "a", "b")
    assert called.status == 2
    assert "a and b have no benchmark in common" in called.err
    assert called.err.count("\n") == 1
    called = vlft("compare", "a", "gone")
    assert called.status == 2
    assert "gone is not there" in called.err


def test_an_evaluation_goes_on_from_its_log(vlft, lora_run, tmp_path):
    command = (
        "eval", str(lora_run), "data.num_samples=20", "--benchmark", "scenes/question_answering",
        "--batch-size", "4", "--out", str(tmp_path),
    )  # fmt: skip
    assert vlft(*command).status == 0
    (samples,) = tmp_path.glob("*.samples.jsonl")
    before = samples.read_bytes()
    (log,) = tmp_path.glob("logs/*/rank0.jsonl")
    lines = log.read_text().splitlines(keepends=True)
    log.write_text("".join(lines[:2]) + lines[2][:30])
    shutil.copy(samples, tmp_path / "kept")
    samples.unlink()
    called = vlft(*command)
    assert called.status == 0, called.err
    assert samples.read_bytes() == before
    assert len(log.read_text().splitlines()) == len(lines) + 1


def test_a_leaderboard_is_made_of_results(vlft, held_out, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for name in ("one", "two"):
        called = vlft(
            "eval", f"data.path={held_out}", "--benchmark", "custom/vqa", "--predictions",
            "said.jsonl", "--name", name, "--out", f"results/{name}",
        )  # fmt: skip
        assert called.status == 0, called.err
    called = vlft("leaderboard", "results", "--out", "site")
    assert called.status == 0, called.err
    assert "rows: 2, tables: 1" in called.out
    assert {"index.html", "leaderboard.csv", "leaderboard.json", "leaderboard.md"} <= {
        path.name for path in (tmp_path / "site").iterdir()
    }
    called = vlft("leaderboard", "results", "--published", "match")
    assert called.status == 2
    assert "Did you mean 'matching'?" in called.err


def test_missing_data_are_told_before_a_model_is_loaded(vlft, lora_run, tmp_path, monkeypatch):
    from vlft import hub

    monkeypatch.setattr(hub, "load", lambda folder: pytest.fail("the model was loaded"))
    called = vlft(
        "eval", str(lora_run), "--suite", "aro", "--data", str(tmp_path), "--out", str(tmp_path)
    )
    assert called.status == 2
    assert called.err.count("its data are not there: looked for") == 4
