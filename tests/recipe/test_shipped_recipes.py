"""Every shipped recipe loads, and opens like a notebook."""

import pytest

from vlft.recipe import load_recipe
from vlft.recipe.shipped import find_shipped, list_shipped, shipped_root

RECIPES = list_shipped("recipes")


def test_there_are_recipes():
    assert {"tiny/pretrain_scenes", "tiny/lora_scenes", "tiny/clip_lora"} <= set(RECIPES)


@pytest.mark.parametrize("name", RECIPES)
def test_it_loads(name):
    loaded = load_recipe(name)
    assert loaded.name == name
    assert loaded.recipe.data.train is not None


@pytest.mark.parametrize("name", RECIPES)
def test_it_opens_with_command_hardware_and_score(name):
    header = find_shipped("recipes", name).read_text().split("\n\n")[0]
    comments = [line for line in header.splitlines() if line.startswith("#")]
    for label in ("command:", "hardware:", "wall time:", "expected:"):
        assert any(line.removeprefix("#").strip().startswith(label) for line in comments), label
    assert f"vlft train {name}" in header


@pytest.mark.parametrize("name", RECIPES)
def test_a_recipe_that_starts_from_a_run_names_the_recipe_of_that_run(name):
    start = load_recipe(name).recipe.init_from
    if start is not None and start.startswith("runs/"):
        assert (
            load_recipe(start.removeprefix("runs/")).recipe.backbone
            == load_recipe(name).recipe.backbone
        )


def test_every_part_is_extended_by_some_recipe():
    root = shipped_root("recipes")
    texts = "".join(path.read_text() for path in root.rglob("*.yaml"))
    for part in (root / "_base").glob("*.yaml"):
        assert f"extends: ../_base/{part.name}" in texts
