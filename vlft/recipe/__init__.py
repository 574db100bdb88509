"""Recipes: the sections of the schema, and how a file becomes a checked record. No torch here.

``load_recipe`` reads a file into a ``Recipe`` and remembers where every value came from;
``validate`` refuses what contradicts itself; ``show`` prints the result; ``json_schema`` exports
the schema for editors.
"""

from vlft.recipe.load import LoadedRecipe, load_recipe
from vlft.recipe.schema import Recipe
from vlft.recipe.validate import validate

__all__ = ["LoadedRecipe", "Recipe", "load_recipe", "validate"]
