"""What docs/recipes.md shows is what happens."""

import re
from pathlib import Path

import pytest

from vlft.errors import LaunchError, RecipeError
from vlft.recipe import Recipe, load_recipe, validate
from vlft.recipe.fields import sections_in
from vlft.recipe.launch import Launch
from vlft.recipe.show import as_text

PAGE = (Path(__file__).parents[2] / "docs" / "recipes.md").read_text(encoding="utf-8")
EXAMPLE = re.search(r"```yaml\n(.*?)```", PAGE, re.DOTALL)[1]
CONSOLE = re.findall(r"^\$ vlft show mine\.yaml (.*)\n(.*)$", PAGE, re.MULTILINE)


def fits(shown: str, found: str) -> bool:
    return found.startswith(shown.removesuffix("...")) if shown.endswith("...") else found == shown


@pytest.mark.parametrize(("overrides", "message"), CONSOLE)
def test_each_shown_error_is_the_real_one(write, overrides, message):
    with pytest.raises(RecipeError) as error:
        load_recipe(write(EXAMPLE, "mine.yaml"), overrides.split(" "))
    assert fits(message, str(error.value))


def test_the_shown_origins_are_the_real_ones(write):
    text = as_text(load_recipe(write(EXAMPLE, "mine.yaml"), ["training.max_steps=1e3"]))
    listing = {
        line.split()[0]: line.split()[1:] for line in text.splitlines() if line.startswith("  ")
    }
    shown = re.search(r"```\ntraining\n(.*?)```", PAGE, re.DOTALL)[1]
    for line in shown.splitlines():
        name, value, *origin = line.split()
        assert listing[name][0] == value
        assert " ".join(listing[name][1:]).endswith(" ".join(origin))


def test_the_shown_launch_error_is_the_real_one(write):
    recipe = load_recipe(write(EXAMPLE, "mine.yaml")).recipe
    with pytest.raises(LaunchError) as error:
        validate(recipe, Launch(world_size=3, through_launcher=True))
    assert str(error.value) in PAGE


def test_every_section_and_type_is_in_the_table():
    for name, field in Recipe.model_fields.items():
        row = re.search(rf"^\| `{name}` \|.*$", PAGE, re.MULTILINE)
        assert row, name
        for kind in sections_in(field.annotation):
            assert f"`{kind}`" in row[0] or len(sections_in(field.annotation)) == 1
