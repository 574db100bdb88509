"""The run directory: never overwritten, resumed from complete checkpoints only."""

from pathlib import Path

import pytest

from vlft.errors import RunDirectoryError
from vlft.training import run_directory
from vlft.training.callbacks import trim_metrics


def test_existing_run_is_refused(tmp_path: Path):
    (tmp_path / "metrics.jsonl").write_text("{}\n")
    with pytest.raises(RunDirectoryError, match=r"exists already: continue it with --resume"):
        run_directory.create(tmp_path, resume=False)


def test_resume_needs_a_run(tmp_path: Path):
    with pytest.raises(RunDirectoryError, match=r"there is no run in .*nothing"):
        run_directory.create(tmp_path / "nothing", resume=True)


def test_half_written_checkpoint_is_passed_over(tmp_path: Path):
    for step, state in ((5, '{"global_step": 5}'), (10, '{"global_step": 10}'), (15, '{"glo')):
        folder = tmp_path / f"checkpoint-{step}"
        folder.mkdir()
        (folder / "trainer_state.json").write_text(state)
    (tmp_path / "checkpoint-20").mkdir()
    assert run_directory.last_checkpoint(tmp_path).name == "checkpoint-10"
    run_directory.remove_incomplete(tmp_path)
    left = sorted(path.name for path in tmp_path.glob("checkpoint-*"))
    assert left == ["checkpoint-10", "checkpoint-5"]


def test_no_complete_checkpoint_is_an_error(tmp_path: Path):
    (tmp_path / "checkpoint-20").mkdir()
    with pytest.raises(RunDirectoryError, match="no complete checkpoint"):
        run_directory.last_checkpoint(tmp_path)


def test_metrics_after_the_resumed_step_are_dropped(tmp_path: Path):
    path = tmp_path / "metrics.jsonl"
    path.write_text('{"step": 1}\n{"step": 5}\n{"step": 9}\n{"st')
    trim_metrics(path, 5)
    assert path.read_text() == '{"step": 1}\n{"step": 5}\n'


def test_environment_names_the_packages_that_matter():
    facts = run_directory.environment()
    assert {"torch", "transformers", "peft", "accelerate"} <= set(facts["packages"])
