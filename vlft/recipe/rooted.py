"""Relative folders of a host by their full path, so that a run loads from any working directory."""

from pathlib import Path

from vlft.recipe.schema import Recipe

FIELDS = ("model", "weights", "processor", "pretrained", "vision", "language")
"""Fields of ``backbone`` that may name a folder or file here instead of something on the Hub."""


def rooted(recipe: Recipe) -> Recipe:
    """Return a recipe whose host is named by full paths where it lies on this machine."""
    host = recipe.backbone
    changes = {
        name: str(Path(value).absolute())
        for name, value in host
        if name in FIELDS and value is not None and Path(value).exists()
    }
    return recipe.model_copy(update={"backbone": host.model_copy(update=changes)})
