"""What does not go with images beside the sequence (DEHVF), and with features from a cache."""

from collections.abc import Iterator

from vlft.recipe.adapter import DehvfAdapter, FullAdapter
from vlft.recipe.adapter.placed import Placed
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


def cached_features(recipe: Recipe) -> Iterator[Conflict]:
    """Refuse a cache of features that training changes, or that no host takes."""
    if not recipe.data.cache_vision_features:
        return
    host, adapter = recipe.backbone, recipe.adapter
    if "vision" not in host.tower_names:
        yield Conflict(
            "data.cache_vision_features",
            f"host type {host.type} has no vision tower: leave it off",
        )
        return
    if isinstance(adapter, DehvfAdapter) and adapter.vision_adapter_dim:
        yield Conflict(
            "data.cache_vision_features",
            "adapter.vision_adapter_dim trains the vision tower, so its features change: set it "
            "to 0, or leave the cache off",
        )
    if recipe.data.augmentation is not None:
        yield Conflict(
            "data.cache_vision_features",
            "data.augmentation varies images in every epoch, so their features change: leave one "
            "of them out",
        )
    chosen = recipe.towers.get("vision", Tower()).train
    trained = chosen == "full" or (isinstance(adapter, FullAdapter) and chosen != "frozen")
    inside = isinstance(adapter, Placed) and any(
        site.startswith("vision.") for site in adapter.sites
    )
    if trained or inside:
        yield Conflict(
            "data.cache_vision_features",
            "the vision tower is trained, so its features change: set towers.vision.train: frozen "
            "and take its sites out of the adapter, or leave the cache off",
        )
