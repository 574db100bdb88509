"""From a recipe's section and a host to a DEHVF config."""

import re
from collections.abc import Sequence
from typing import Any

from peft import PeftConfig
from transformers import PreTrainedModel

from vlft.adapters.base import Adapter, Flags
from vlft.adapters.dehvf.config import DehvfConfig
from vlft.adapters.dehvf.hierarchy import reader_of
from vlft.adapters.dehvf.layers import num_siblings
from vlft.adapters.dehvf.model import DehvfModel
from vlft.errors import AdapterError
from vlft.recipe.adapter import DehvfAdapter
from vlft.types import Backbone

assert DehvfModel  # importing it makes the method known to PEFT


def dehvf_config(section: DehvfAdapter, modules: list[str], backbone: Backbone) -> PeftConfig:
    """Return a config with the places and sizes of this host.

    Args:
        section: The recipe's section.
        modules: Linear modules of feed-forward networks; memory stands beside the whole of each.
        backbone: The host, not yet wrapped.

    Raises:
        AdapterError: The host has no vision tower of its own, the groups do not fit its layers, or
            the number of patches is not known or does not fit.
    """
    host: Any = backbone.model
    blocks, tower_path = _vision(backbone)
    tower: Any = host.get_submodule(tower_path)
    reader = reader_of(tower.config)
    groups = _groups(section, len(blocks))
    language = _language_mlps(backbone, modules)
    highest = max(layer for group in _used(section, groups) for layer in group)
    vision = _vision_mlps(backbone)[:highest] if section.vision_adapter_dim else []
    attention, *_ = _matching(backbone, backbone.sites["language.attention"])
    return DehvfConfig(
        target_modules=[*language, *vision],
        vision_tower=tower_path,
        vision_blocks=blocks,
        vision_mlps=vision,
        language_mlps=language,
        attention=attention.split(".")[-2],
        vision_width=reader.width(tower.config),
        language_width=host.config.get_text_config().hidden_size,
        language_layers=num_siblings(host, language[0].rpartition(".")[0]),
        num_patches=_patches(section, reader.patches(tower.config)),
        groups=groups,
        **section.model_dump(
            include={
                "query", "r", "num_learned", "width", "mlp_hidden", "temperature", "scale",
                "memory_dropout", "tie_maps", "memory_scale", "max_images", "vision_adapter_dim",
                "vision_adapter_scale", "vision_adapter_dropout",
            }
        ),
    )  # fmt: skip


def fitting(backbone: Backbone) -> dict[str, int]:
    """Return the options for a first recipe that follow from the host.

    Raises:
        AdapterError: The host has no vision tower of its own, or none that can be read.
    """
    blocks, path = _vision(backbone)
    config: Any = backbone.model.get_submodule(path).config
    patches = reader_of(config).patches(config)
    options = {"groups": next((n for n in NUM_GROUPS if len(blocks) % n == 0), 1)}
    return options if patches is not None else options | {"num_patches": NUM_PATCHES}


NUM_GROUPS = (4, 3, 2, 5, 6, 7, 8)
"""Numbers of groups for a first recipe; the first one that the layers can be divided by."""

NUM_PATCHES = 256
"""Patches of an image for a first recipe, in towers without a number of their own: as CLIP-L's."""


def dehvf_flags(section: DehvfAdapter) -> Flags:
    """Values start at zero, unless one map serves keys and values."""
    return Flags(identity=not section.tie_maps, mergeable=False, mutates_base=False)


def _vision(backbone: Backbone) -> tuple[list[str], str]:
    """Return the paths of the vision tower's blocks, and its own."""
    if "vision" not in backbone.towers or "vision.block" not in backbone.sites:
        raise AdapterError(
            "adapter.type: dehvf needs a host with a vision tower and a language model of its own, "
            f"and a {backbone.type} host has no vision tower: use type: assembled or "
            "image_text_to_text"
        )
    blocks = _matching(backbone, backbone.sites["vision.block"])
    return blocks, _tower_of(backbone.model, blocks[0])


def _groups(section: DehvfAdapter, layers: int) -> list[list[int]]:
    if not isinstance(section.groups, int):
        highest = max(layer for group in section.groups for layer in group)
        if highest > layers:
            raise AdapterError(
                f"adapter.groups: layer {highest} is named, and the vision tower has {layers}"
            )
        return [list(group) for group in section.groups]
    if layers % section.groups:
        fitting = [count for count in range(1, layers + 1) if layers % count == 0]
        raise AdapterError(
            f"adapter.groups: {section.groups} groups of equal size do not cover {layers} vision "
            f"layers: use one of {', '.join(map(str, fitting))}, or list the layers of each group"
        )
    size = layers // section.groups
    return [list(range(start, start + size)) for start in range(1, layers + 1, size)]


def _used(section: DehvfAdapter, groups: Sequence[list[int]]) -> Sequence[list[int]]:
    return groups[-1:] if section.query == "last_only" else groups


def _patches(section: DehvfAdapter, own: int | None) -> int:
    if own is None:
        if section.num_patches is None:
            raise AdapterError(
                "adapter.num_patches: this tower takes images as large as they are: say what they "
                "are pooled to, such as 256"
            )
        return section.num_patches
    if section.num_patches not in (None, own):
        raise AdapterError(
            f"adapter.num_patches: {section.num_patches}, and this tower makes {own} of every "
            "image: leave it out"
        )
    return own


def _language_mlps(backbone: Backbone, modules: list[str]) -> list[str]:
    pattern = backbone.sites["language.mlp"]
    allowed = {*_matching(backbone, pattern)}
    others = [path for path in modules if path not in allowed]
    if others:
        raise AdapterError(
            f"adapter.target_modules: {others[0]!r} is no part of a feed-forward network of the "
            "language model, and DEHVF's memory stands beside these: name their linear modules, "
            f"which are {pattern}"
        )
    return _unique(path.rpartition(".")[0] for path in modules)


def _vision_mlps(backbone: Backbone) -> list[str]:
    return _unique(
        path.rpartition(".")[0] for path in _matching(backbone, backbone.sites["vision.mlp"])
    )


def _tower_of(host: Any, block: str) -> str:
    """Return the innermost model of transformers that a block belongs to."""
    parents = [block[: match.start()] for match in re.finditer(r"\.", block)]
    return next(
        path for path in reversed(parents) if isinstance(host.get_submodule(path), PreTrainedModel)
    )


def _matching(backbone: Backbone, pattern: str) -> list[str]:
    compiled = re.compile(pattern)
    return [path for path, _ in backbone.model.named_modules() if compiled.fullmatch(path)]


def _unique(paths: Any) -> list[str]:
    return list(dict.fromkeys(paths))


DEHVF = Adapter(
    flags=dehvf_flags,
    families=frozenset({"generative"}),
    config=dehvf_config,
    unmergeable="what dehvf adds depends on the image, so no weights can hold it: use the run as "
    "it is (vlft.load, vlft eval, or PEFT after `import vlft.adapters`), go on with it by `vlft "
    "train ... --resume`, or start a new run from its backbone, without init_from",
)
