"""Layouts written once per session, and the real files they are compared with."""

from collections.abc import Callable
from pathlib import Path

import pytest
from jaxtyping import config

from vlft.data.scenes.layouts import write_layout


@pytest.fixture(scope="session")
def written(tmp_path_factory) -> Callable[[str], Path]:
    """Write a layout, or give the folder it was written to before."""
    folders: dict[str, Path] = {}

    def write(name: str) -> Path:
        if name not in folders:
            config.update("jaxtyping_disable", True)  # shapes are checked in the tests of parts
            folders[name] = write_layout(name, tmp_path_factory.mktemp(name), num_samples=44)
            config.update("jaxtyping_disable", False)
        return folders[name]

    return write


@pytest.fixture
def shared() -> Callable[[str], Path]:
    """Find a file of the real data sets, or skip."""

    def find(name: str) -> Path:
        path = Path(__file__).parents[5] / "shared" / "data" / name
        if not path.exists():
            pytest.skip(f"needs the real file shared/data/{name}")
        return path

    return find
