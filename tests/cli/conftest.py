"""The command line, called in this process as a shell would call it."""

import sys
from typing import NamedTuple

import pytest


class Called(NamedTuple):
    status: int
    out: str
    err: str


@pytest.fixture
def vlft(monkeypatch, capsys):
    """Run a command; give its exit status and what it printed."""
    from vlft.__main__ import main

    def call(*arguments: str) -> Called:
        monkeypatch.setattr(sys, "argv", ["vlft", *arguments])
        capsys.readouterr()
        status = 0
        try:
            main()
        except SystemExit as stop:
            status = stop.code if isinstance(stop.code, int) else int(bool(stop.code))
        return Called(status, *capsys.readouterr())

    return call
