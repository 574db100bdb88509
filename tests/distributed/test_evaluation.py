"""Two processes measure what one does, and a killed measurement what one left alone does."""

import importlib.util
import os
import subprocess
import sys
from pathlib import Path

import pytest

from vlft.data.scenes.layouts.messages import write
from vlft.data.scenes.scene import World
from vlft.recipe.shipped import find_shipped

ROOT = Path(__file__).parents[2]
CHANGES = ("--batch-size", "8")
ENVIRONMENT = {
    **os.environ,
    "OMP_NUM_THREADS": "1",
    "HF_HUB_OFFLINE": "1",
    "CUDA_VISIBLE_DEVICES": "",
}


def script():
    path = ROOT / "scripts" / "kill_evaluation.py"
    spec = importlib.util.spec_from_file_location(path.stem, path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


KILLING = script()

BENCHMARKS = {
    # 45 records in batches of 8: no process has as many as the other
    "lora_run": ("scenes/question_answering", "data.num_samples=45"),
    "clip_run": ("scenes/retrieval", "data.num_samples=45"),
}


@pytest.mark.slow
@pytest.mark.distributed
@pytest.mark.parametrize("run", BENCHMARKS)
def test_two_processes_are_one(run, request, free_port, tmp_path):
    run_dir, (benchmark, *overrides) = request.getfixturevalue(run), BENCHMARKS[run]
    launch = ["-m", "accelerate.commands.launch", "--config_file"]
    launch += [str(ROOT / "accelerate_configs" / "cpu_ddp.yaml")]
    launch += ["--main_process_port", str(free_port()), str(ROOT / "eval" / "run.py")]
    found = {}
    for name, start in (("one", ["-m", "vlft", "eval"]), ("two", launch)):
        command = [sys.executable, *start, str(run_dir), *overrides, "--suite", benchmark]
        done = subprocess.run(
            [*command, *CHANGES, "--out", str(tmp_path / name)],
            cwd=tmp_path, env=ENVIRONMENT, capture_output=True, text=True, timeout=240,
        )  # fmt: skip
        assert done.returncode == 0, done.stderr[-3000:]
        assert done.stdout.count("written: ") == 1
        found[name] = KILLING.facts(tmp_path / name)
    assert found["one"] == found["two"]
    logs = sorted(path.name for path in tmp_path.glob("two/logs/*/rank*.jsonl"))
    assert logs == ["rank0.jsonl", "rank1.jsonl"]
    assert KILLING.lines(tmp_path / "one") == KILLING.lines(tmp_path / "two")


@pytest.mark.slow
@pytest.mark.distributed
def test_what_two_processes_began_one_finishes(request, free_port, tmp_path):
    run_dir, (benchmark, *overrides) = request.getfixturevalue("clip_run"), BENCHMARKS["clip_run"]
    arguments = [str(run_dir), *overrides, "--suite", benchmark, *CHANGES]
    alone = [sys.executable, "-m", "vlft", "eval", *arguments]
    subprocess.run([*alone, "--out", "one"], cwd=tmp_path, env=ENVIRONMENT, check=True, timeout=120)
    (log,) = tmp_path.glob("one/logs/*/rank0.jsonl")
    lines = log.read_text().splitlines(keepends=True)
    part = tmp_path / "two" / log.parent.relative_to(tmp_path / "one")
    part.mkdir(parents=True)
    (part / "about.json").write_bytes((log.parent / "about.json").read_bytes())
    (part / "rank0.jsonl").write_text("".join(lines[:2]))
    (part / "rank3.jsonl").write_text(lines[4] + lines[5][:40])
    subprocess.run([*alone, "--out", "two"], cwd=tmp_path, env=ENVIRONMENT, check=True, timeout=120)
    assert KILLING.facts(tmp_path / "one") == KILLING.facts(tmp_path / "two")
    assert (part / "rank0.jsonl").read_text().count("\n") == len(lines) - 1


@pytest.mark.slow
@pytest.mark.distributed
def test_an_evaluation_is_killed_three_times(lora_run, tmp_path, monkeypatch):
    for name, value in ENVIRONMENT.items():
        monkeypatch.setenv(name, value)
    benchmark, overrides = "scenes/question_answering", ["data.num_samples=400"]
    command = [sys.executable, "-m", "vlft", "eval", str(lora_run), *overrides]
    again = KILLING.kill_and_compare(
        [*command, "--benchmark", benchmark, *CHANGES], tmp_path, kills=3, seed=1
    )
    assert again <= 3  # a line that a kill cut off


@pytest.mark.slow
@pytest.mark.distributed
def test_a_process_that_fails_holds_up_nobody_and_the_next_benchmark_is_measured(
    lora_run, free_port, tmp_path
):
    """One image is missing, so one of two processes cannot go on with the first benchmark."""
    text, benchmarks = find_shipped("eval", "custom/vqa").read_text(), []
    for name in ("bad", "good"):
        write(tmp_path / name, World(seed=1000), range(45))
        path = f"type: messages, path: {name}/messages.jsonl"
        (tmp_path / f"{name}.yaml").write_text(text.replace("type: messages", path))
        benchmarks += ["--benchmark", f"{name}.yaml"]
    images = sorted((tmp_path / "bad" / "images").iterdir())
    images[len(images) // 2].unlink()
    launch = ["-m", "accelerate.commands.launch", "--config_file"]
    launch += [str(ROOT / "accelerate_configs" / "cpu_ddp.yaml")]
    launch += ["--main_process_port", str(free_port()), str(ROOT / "eval" / "run.py")]
    command = [sys.executable, *launch, str(lora_run), *benchmarks, *CHANGES, "--out", "out"]
    done = subprocess.run(
        command, cwd=tmp_path, env=ENVIRONMENT, capture_output=True, text=True, timeout=240
    )
    assert done.returncode != 0
    assert "vlft: bad, record" in done.stderr
    assert "image not found" in done.stderr
    assert "Connection" not in done.stderr
    assert "vlft: 1 of 2 benchmarks could not be measured" in done.stderr
    assert [path.name for path in (tmp_path / "out").glob("*.json")] == ["good.json"]
    kept = list((tmp_path / "out" / "logs").glob("bad-*/rank*.jsonl"))
    assert kept, "what was answered before is kept"
