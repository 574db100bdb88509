"""Recipes of the smallest kind, and a way to write them."""

from pathlib import Path

import pytest

GENERATIVE = """\
backbone: {type: assembled, config: tiny_llava}
adapter: {type: lora, sites: [language.attention]}
objective: {type: language_modeling}
"""

CONTRASTIVE = """\
backbone: {type: clip, config: tiny_clip}
adapter: {type: full}
objective: {type: contrastive}
"""


@pytest.fixture
def generative():
    return GENERATIVE


@pytest.fixture
def contrastive():
    return CONTRASTIVE


@pytest.fixture
def write(tmp_path, monkeypatch):
    """Write a file below the working directory, which is a fresh one."""
    monkeypatch.chdir(tmp_path)

    def _write(text: str, name: str = "recipe.yaml") -> Path:
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
        return path

    return _write
