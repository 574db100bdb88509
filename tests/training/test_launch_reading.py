"""Processes and devices are read from the launcher's environment."""

import pytest

from vlft.training.launch import read_launch


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
