from pathlib import Path

import pytest

from vlft.errors import UnknownNameError
from vlft.recipe import shipped


def test_a_recipe_is_found_under_each_of_its_spellings():
    wanted = shipped.shipped_root("recipes") / "tiny" / "lora_scenes.yaml"
    for name in ("tiny/lora_scenes", "tiny/lora_scenes.yaml", "recipes/tiny/lora_scenes.yaml"):
        assert shipped.find_shipped("recipes", name) == wanted
    assert shipped.shipped_name("recipes", wanted) == "tiny/lora_scenes"


def test_parts_are_found_but_not_listed():
    assert shipped.find_shipped("recipes", "_base/generative").is_file()
    assert not [name for name in shipped.list_shipped("recipes") if name.startswith("_")]


def test_configurations_lie_in_the_package():
    assert "tiny_llava" in shipped.list_shipped("configs")


def test_an_unknown_name_gets_the_near_one_and_the_list():
    with pytest.raises(UnknownNameError, match=r"Did you mean 'tiny/lora_scenes'\?.*clip_lora"):
        shipped.find_shipped("recipes", "lora_scenes")


def test_a_name_cannot_leave_its_folder():
    with pytest.raises(UnknownNameError):
        shipped.find_shipped("recipes", "../pyproject")


def test_a_file_from_elsewhere_has_no_shipped_name(tmp_path):
    assert shipped.shipped_name("recipes", tmp_path / "x.yaml") is None


def test_in_a_wheel_the_files_lie_inside_the_package(tmp_path, monkeypatch):
    packed = tmp_path / "site" / "vlft" / "_shipped" / "recipes" / "tiny"
    packed.mkdir(parents=True)
    (packed / "one.yaml").write_text("seed: 1\n")
    monkeypatch.setattr(shipped, "PACKAGE", tmp_path / "site" / "vlft")
    assert shipped.list_shipped("recipes") == ["tiny/one"]
    assert shipped.find_shipped("recipes", "tiny/one") == packed / "one.yaml"


def test_without_files_nothing_is_listed(tmp_path, monkeypatch):
    monkeypatch.setattr(shipped, "PACKAGE", Path(tmp_path) / "vlft")
    assert shipped.list_shipped("eval") == []
