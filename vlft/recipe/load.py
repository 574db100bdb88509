"""From a file (or a shipped name) and overrides to a checked recipe that knows its origins."""

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from vlft.errors import RecipeError, UnknownNameError
from vlft.recipe.extends import read_layers, shown
from vlft.recipe.origins import Origin, merge, origins_of, plain
from vlft.recipe.overrides import override_layer
from vlft.recipe.problems import explain
from vlft.recipe.schema import Recipe
from vlft.recipe.shipped import find_shipped, shipped_name
from vlft.recipe.validate import validate

RECIPE_FILE = "recipe.yaml"
"""The resolved recipe in a run directory."""


@dataclass(frozen=True)
class LoadedRecipe:
    """A recipe, and where it came from.

    Attributes:
        recipe: The checked record, defaults filled in.
        origins: Dotted name of every leaf value to where it was written.
        values: What was written, after ``extends`` and overrides, without defaults.
        path: The file.
        name: ``tiny/lora_scenes`` for a shipped recipe, else the file's name without suffix.
    """

    recipe: Recipe
    origins: Mapping[str, Origin]
    values: Mapping[str, Any]
    path: Path
    name: str


def load_recipe(path_or_name: str | Path, overrides: Iterable[str] = ()) -> LoadedRecipe:
    """Read a recipe, resolve it and refuse what contradicts itself.

    Args:
        path_or_name: A file, a run directory, or the name of a shipped recipe.
        overrides: ``section.key=value``; they go over the file.

    Raises:
        RecipeError: One line per problem, each with file and line (or ``command line``), the value,
            what was expected and the nearest thing that works.
    """
    path = find_recipe(path_or_name)
    root = read_layers(path)
    overrides = tuple(overrides)
    if overrides:
        root = merge(root, override_layer(overrides))
    values = plain(root)
    try:
        # JSON mode: a list fits a tuple; nothing else is converted, so "8" and true are no numbers
        recipe = Recipe.model_validate_json(json.dumps(values), strict=True)
    except ValidationError as error:
        raise explain(error, root, file=shown(path)) from None
    origins = origins_of(recipe.model_dump(mode="json"), root)
    validate(recipe, origins=origins)
    return LoadedRecipe(recipe, origins, values, path, _name(path))


def find_recipe(path_or_name: str | Path) -> Path:
    """Return the file that a path, run directory or shipped name stands for.

    Raises:
        RecipeError: None of them exists; with the near match among the shipped ones.
    """
    path = Path(path_or_name)
    if path.is_file():
        return path.resolve()
    if (path / RECIPE_FILE).is_file():
        return (path / RECIPE_FILE).resolve()
    try:
        return find_shipped("recipes", str(path_or_name))
    except UnknownNameError as error:
        raise RecipeError(f"{path_or_name}: there is no such file, and: {error}") from None


def _name(path: Path) -> str:
    name = shipped_name("recipes", path)
    if name is not None:
        return name
    return path.parent.name if path.name == RECIPE_FILE else path.stem
