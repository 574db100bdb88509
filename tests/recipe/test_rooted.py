"""A host that lies in a relative folder is named by its full path; names on the Hub stay."""

from vlft.recipe import load_recipe
from vlft.recipe.rooted import rooted

RECIPE = """
backbone: {type: assembled, vision: parts/clip, language: org/llama, config: tiny_llava}
adapter: {type: full}
objective: {type: language_modeling}
"""


def test_only_what_lies_here_is_changed(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "parts" / "clip").mkdir(parents=True)
    (tmp_path / "r.yaml").write_text(RECIPE)
    host = rooted(load_recipe("r.yaml").recipe).backbone
    assert host.vision == str(tmp_path / "parts" / "clip")
    assert (host.language, host.config) == ("org/llama", "tiny_llava")
