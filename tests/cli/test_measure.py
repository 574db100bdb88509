"""``vlft eval`` without a model, and ``vlft compare``."""

import json
import shutil

import pytest

from vlft.data.scenes.layouts.messages import write
from vlft.data.scenes.scene import World
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
        (("--check-data", "--suite", "scenez"), "Did you mean 'scenes'"),
    ],
)
def test_what_does_not_go_together_is_said(vlft, arguments, message):
    called = vlft("eval", *arguments)
    assert called.status == 2
    assert message in called.err
    assert called.err.count("\n") == 1


def test_the_data_are_checked_without_a_model(vlft, held_out):
    called = vlft(
        "eval", f"data.path={held_out}", "--benchmark", "custom/vqa", "--check-data", "--json"
    )
    assert called.status == 0, called.err
    found = json.loads(called.out)
    assert (found["n"], found["problems"]) == (12, [])
    assert found["revision"].startswith("sha256-")


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (lambda path: next((path.parent / "images").iterdir()).unlink(), "image not found"),
        (lambda path: path.write_text(path.read_text()[:-40]), "line 12"),
        (lambda path: path.unlink(), "does not exist"),
    ],
)
def test_damaged_data_are_told_and_the_status_is_2(vlft, held_out, damage, message):
    damage(held_out)
    called = vlft("eval", f"data.path={held_out}", "--benchmark", "custom/vqa", "--check-data")
    assert called.status == 2
    assert "not as declared" in called.out
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
    called = vlft("compare", "a", "gone")
    assert called.status == 2
    assert "no result with samples is there" in called.err


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
