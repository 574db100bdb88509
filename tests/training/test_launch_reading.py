"""Processes and devices are read from the launcher's environment."""

import pytest

from vlft.training.launch import compute_threads, read_launch


def test_without_a_launcher(monkeypatch: pytest.MonkeyPatch):
    for name in ("WORLD_SIZE", "ACCELERATE_USE_DEEPSPEED"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("ACCELERATE_USE_CPU", "true")
    launch = read_launch()
    assert (launch.world_size, launch.device, launch.zero_stage) == (1, "cpu", 0)
    assert not launch.through_launcher


def test_deepspeed_stage(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("WORLD_SIZE", "2")
    monkeypatch.setenv("ACCELERATE_USE_DEEPSPEED", "true")
    monkeypatch.setenv("ACCELERATE_DEEPSPEED_ZERO_STAGE", "3")
    launch = read_launch()
    assert (launch.world_size, launch.zero_stage) == (2, 3)
    assert launch.through_launcher


def test_compute_threads_leave_cores_to_the_workers(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("os.sched_getaffinity", lambda pid: set(range(8)))
    monkeypatch.delenv("LOCAL_WORLD_SIZE", raising=False)
    assert [compute_threads(workers) for workers in (0, 1, 4, 20)] == [8, 7, 4, 1]
    monkeypatch.setenv("LOCAL_WORLD_SIZE", "2")
    assert [compute_threads(workers) for workers in (0, 1, 4)] == [4, 3, 1]
