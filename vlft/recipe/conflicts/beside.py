"""What does not go with images that reach the language model beside its sequence (DEHVF)."""

from collections.abc import Iterator

from vlft.recipe.adapter import DehvfAdapter
from vlft.recipe.conflicts.conflict import Conflict
from vlft.recipe.schema import Recipe
from vlft.recipe.towers import Tower


def images_beside(recipe: Recipe) -> Iterator[Conflict]:
    """Refuse hosts without a tower to read, and settings of image tokens that do not exist."""
    host = recipe.backbone
    if not isinstance(recipe.adapter, DehvfAdapter):
        return
    if not {"vision", "language"} <= {*host.tower_names}:
        yield Conflict(
            "adapter.type",
            "dehvf needs a host with a vision tower and a language model of its own, and host "
            f"type {host.type} has {', '.join(host.tower_names)}: use type: assembled or "
            "image_text_to_text",
        )
        return
    if recipe.data.image_tokens_per_sample is not None:
        yield Conflict(
            "data.image_tokens_per_sample",
            "with dehvf images take no tokens of the sequence, so there is nothing to reduce: "
            "leave it out (adapter.num_patches pools patches, where a tower has no fixed number)",
        )
    if recipe.towers.get("projector", Tower()).train == "full":
        yield Conflict(
            "towers.projector.train",
            "with dehvf images do not pass the projector, so it would never have a gradient: "
            "leave it frozen",
        )
