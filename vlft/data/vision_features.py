"""Features of a frozen vision tower: what a host's training needs of an image.

They are kept below a folder named by the tower's weights and configuration and by what is kept, by
a hash of the image's tensors as the host's processor makes them: other weights, another
preprocessing or other groups are other features.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from importlib.metadata import version
from importlib.util import find_spec
from typing import Any

import torch
from jaxtyping import Float
from PIL import Image
from torch import Tensor

from vlft.adapters.dehvf.features import group_states, is_dehvf
from vlft.adapters.parts import base_model
from vlft.backbones.frozen_generative import GENERATIVE
from vlft.backbones.frozen_pooled import CONTRASTIVE, VISION
from vlft.backbones.frozen_tower import (
    INPUT,
    FrozenGrids,
    FrozenTower,
    Images,
    take_features,
)
from vlft.backbones.modes import in_eval_mode
from vlft.data.budget import host_images
from vlft.data.collate import BLANK_SIDE, blank_beside, blank_image
from vlft.errors import DataError
from vlft.types import Backbone

TOWERS = {"generative": GENERATIVE, "contrastive": CONTRASTIVE, "vision": VISION}
"""Ways to read a frozen tower, by the host's family and ``model_type``."""


CODE = {"transformers": "transformers", "open_clip_torch": "open_clip"}
"""Packages that towers come from, and their modules."""

UNRELATED = (
    "architectures",
    "dtype",
    "id2label",
    "label2id",
    "problem_type",
    "transformers_version",
)
"""Fields of a configuration that features do not depend on."""


@dataclass(frozen=True)
class VisionFeatures:
    """What is kept of an image.

    Attributes:
        frozen: The tower, and how it is read.
        device: Where it runs.
        shape: Of one row.
        made_by: What beside the weights decides about features: the tower's class, configuration
            and version, as plain values.
        blank: What a batch without images gets instead of them: a gray image's inputs.
    """

    frozen: FrozenTower
    device: torch.device
    shape: tuple[int, ...]
    made_by: Mapping[str, Any]
    blank: dict[str, Tensor]

    def read(self, images: list[Images]) -> list[Float[Tensor, "rows *shape"]]:
        """Return the features [rows *shape] of each image."""
        return _read(self.frozen, images, self.device)


def vision_features(backbone: Backbone, device: torch.device) -> VisionFeatures:
    """Return what a host's training needs of an image, and have the host take it.

    Args:
        backbone: With its adapter.
        device: Where its tower is put.

    Raises:
        DataError: Its tower is trained, or it is not known how to give it features.
    """
    inputs = _gray(backbone)
    frozen = _frozen_tower(backbone, inputs)
    if frozen.is_trained:
        raise DataError(
            "data.cache_vision_features: the vision tower is trained (towers.vision, sites in it, "
            "or adapter.vision_adapter_dim), so its features change: leave the cache off"
        )
    frozen.tower.to(device)
    rows = _read(frozen, frozen.split(inputs, [1]), device)[0].to("cpu", torch.float16)
    if frozen.output is not None:
        take_features(base_model(backbone.model), frozen)
    kept = {name: inputs[name] for name in frozen.kept}
    made_by = _made_by(base_model(backbone.model), frozen)
    return VisionFeatures(frozen, device, tuple(rows.shape[1:]), made_by, {INPUT: rows, **kept})


def _made_by(model: Any, frozen: FrozenTower) -> dict[str, Any]:
    config = model.config.to_dict()
    if "model_cfg" in config:  # open_clip's
        whole = config["model_cfg"]
        tower = {"quick_gelu": whole.get("quick_gelu", False), **whole["vision_cfg"]}
    else:
        tower = config.get("vision_config", config)
    fields = {
        name: value
        for name, value in tower.items()
        if name not in UNRELATED and not name.startswith("_")
    }
    code = {name: version(name) for name, module in CODE.items() if find_spec(module)}
    return {"class": type(frozen.tower).__qualname__, "config": fields, "code": code}


def _frozen_tower(backbone: Backbone, inputs: Images) -> FrozenTower:
    """Return the tower of a host.

    Raises:
        DataError: It is not known how the host is given its features.
    """
    if is_dehvf(backbone.model):
        kind = FrozenGrids if "image_grid_thw" in inputs else FrozenTower
        return kind(*group_states(backbone.model), output=None)
    model: Any = base_model(backbone.model)
    known = TOWERS[backbone.family]
    if model.config.model_type not in known:
        raise DataError(
            "data.cache_vision_features: vlft does not know where the features of a "
            f"{model.config.model_type!r} model go in: leave the cache off, or use one of "
            f"{', '.join(sorted(known))}"
        )
    return known[model.config.model_type](model)


def _gray(backbone: Backbone) -> Images:
    """Return a small gray image as the host's processor makes it."""
    if backbone.family == "generative":
        make = blank_beside if backbone.images == "beside" else blank_image
        host = host_images(base_model(backbone.model))
        return make(backbone.processor, host).image_inputs
    image = Image.new("RGB", (BLANK_SIDE, BLANK_SIDE), (127, 127, 127))
    alone = backbone.family == "vision"  # its processor is one of images
    images = backbone.processor if alone else backbone.processor.image_processor
    return dict(images([image], return_tensors="pt"))


def _read(frozen: FrozenTower, images: list[Images], device: torch.device) -> list[Tensor]:
    joined = {name: torch.cat([one[name] for one in images]).to(device) for name in images[0]}
    with torch.no_grad(), in_eval_mode(frozen.tower):
        rows = frozen.read(joined)
    return list(rows.split([frozen.num_rows(image) for image in images]))
