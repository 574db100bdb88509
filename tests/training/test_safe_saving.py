"""A full disk and a kill in the middle of saving: the last checkpoint and all results stay."""

import errno
import os
import resource
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from safetensors.torch import load_file

from vlft.disk import is_full, replace_text, tell_full_disk
from vlft.errors import RunDirectoryError
from vlft.hub import load
from vlft.training import run_directory

SAVING = ("training.save_strategy=steps", "training.save_steps=1", "training.max_steps=8",
          "training.lr_scheduler_type=constant", "training.save_total_limit=3")  # fmt: skip


def test_a_text_appears_whole_or_not_at_all(tmp_path, monkeypatch):
    path = tmp_path / "file"
    replace_text(path, "before")

    def fails(self, target):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(Path, "replace", fails)
    with pytest.raises(OSError, match="No space"):
        replace_text(path, "after")
    assert path.read_text() == "before"
    assert [p.name for p in tmp_path.iterdir()] == ["file"]


def test_a_full_disk_is_told_in_one_line(tmp_path):
    with (
        pytest.raises(RunDirectoryError, match=r"no room on the disk .* to write it \([\d,]+ by"),
        tell_full_disk(tmp_path, what="it"),
    ):
        raise OSError(errno.ENOSPC, "No space left on device")
    with pytest.raises(PermissionError), tell_full_disk(tmp_path, what="it"):
        raise PermissionError
    assert is_full(RuntimeError("I/O error: File too large (os error 27)"))


def small_disk(folder: Path, size: str) -> None:
    folder.mkdir()
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", f"size={size}", "tmpfs", str(folder)],
        capture_output=True,
        check=False,
    )
    if mounted.returncode:
        pytest.skip(f"no small disk can be mounted here: {mounted.stderr.decode().strip()}")


@pytest.mark.slow
def test_a_full_disk_leaves_the_last_checkpoint_and_a_way_on(train, tmp_path):
    disk = tmp_path / "disk"
    small_disk(disk, "9m")  # the base takes 5 MB, a checkpoint about 0.3 MB
    run = disk / "run"
    try:
        with pytest.raises(RunDirectoryError) as caught:
            train(*SAVING, "training.save_total_limit=100", "adapter.r=32", run_dir=run)
        message = str(caught.value)
        assert "is full" in message
        assert "make room, then continue with --resume" in message
        assert "\n" not in message
        last = run_directory.last_checkpoint(run)
        assert last.name in message
        load(last)
        subprocess.run(["mount", "-o", "remount,size=64m", str(disk)], check=True)
        train(*SAVING, "training.save_total_limit=100", "adapter.r=32", run_dir=run, resume=True)
        load(run)
    finally:
        subprocess.run(["umount", "-l", str(disk)], check=False)


def test_a_file_limit_is_told_like_a_full_disk(train, tmp_path):
    """Without root: the system refuses to let the optimizer's file grow."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    run = train("training.save_strategy=steps", "training.save_steps=2", run_dir=tmp_path / "run",
                expect=0)  # fmt: skip
    sizes = [path.stat().st_size for path in (run / "checkpoint-2").iterdir()]
    resource.setrlimit(resource.RLIMIT_FSIZE, (max(sizes) - 1, hard))
    try:
        with pytest.raises(RunDirectoryError, match=r"checkpoint-4 is complete: make room"):
            train("training.save_strategy=steps", "training.save_steps=2", "training.max_steps=8",
                  run_dir=run, resume=True)  # fmt: skip
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    load(run_directory.last_checkpoint(run))


def test_an_export_that_was_cut_off_is_no_model(tmp_path):
    """Only a complete folder moves in; what says "here is a model" moves last."""
    unfinished = tmp_path / run_directory.UNFINISHED
    (unfinished / "base").mkdir(parents=True)
    for name in ("adapter_config.json", "adapter_model.safetensors", "base/parts.safetensors"):
        (unfinished / name).write_text(name)
    moved = []
    original = Path.replace

    def recorded(self, target):
        moved.append(self.name)
        return original(self, target)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Path, "replace", recorded)
        run_directory.put_in_place(unfinished, tmp_path)
    assert moved[-1] == "adapter_config.json"
    assert (tmp_path / "base" / "parts.safetensors").read_text() == "base/parts.safetensors"
    assert not unfinished.exists()


@pytest.mark.slow
@pytest.mark.distributed
def test_killed_while_saving_nothing_complete_is_lost(tiny_recipe, tmp_path):
    """Killed again and again at the moment that a checkpoint appears; each time it goes on."""
    run = tmp_path / "run"
    arguments = [tiny_recipe["generative"], f"training.output_dir={run}", *SAVING]
    environment = os.environ | {"OMP_NUM_THREADS": "1", "HF_HUB_OFFLINE": "1"}
    command = [sys.executable, "-m", "vlft", "train", *arguments]
    complete = 0
    for _ in range(3):
        resume = ["--resume"] if complete else []
        process = subprocess.Popen(
            [*command, *resume], env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE
        )
        seen = {path.name for path in run.glob("checkpoint-*")}
        deadline = time.monotonic() + 120
        while len({path.name for path in run.glob("checkpoint-*")} - seen) < 2:
            assert process.poll() is None, process.stderr.read().decode()
            assert time.monotonic() < deadline
            time.sleep(0.001)
        os.kill(process.pid, signal.SIGKILL)
        process.communicate()
        last = run_directory.last_checkpoint(run)
        assert run_directory.step_of(last) > complete
        complete = run_directory.step_of(last)
        load_file(last / "adapter_model.safetensors")
    load(last)


def test_a_disk_without_room_for_the_checkpoints_is_warned_of(train, capsys, monkeypatch):
    monkeypatch.setattr("vlft.cli.train_disk.free_bytes", lambda folder: 1000)
    train("training.max_steps=1", "training.save_strategy=steps", "training.save_steps=1")
    assert "warning: 2 checkpoints and the one being written take" in capsys.readouterr().out
