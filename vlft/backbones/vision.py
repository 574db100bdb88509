"""Vision hosts: an image encoder with a classification head (ViT, Swin, the tower of a CLIP)."""

from typing import Any

import torch
from torch import nn
from transformers import (
    AutoModelForImageClassification,
    PreTrainedConfig,
    PreTrainedModel,
    ViTImageProcessor,
)

from vlft.backbones.configs import config_for
from vlft.backbones.families import VISION
from vlft.backbones.loading import (
    Device,
    describe,
    model_with_head,
    random_model,
    read_model_config,
    require_architecture,
    shipped_model_config,
)
from vlft.backbones.processors import BUILT_IN, clip_image_processor, load_image_processor
from vlft.errors import BackboneError
from vlft.recipe.backbone import Vision
from vlft.types import Backbone

CLASSES: dict[str, tuple[str, ...]] = {
    "vit": ("ViTForImageClassification", "ViTModel"),
    "swin": ("SwinForImageClassification", "SwinModel"),
    "clip": ("CLIPForImageClassification", "CLIPModel"),
}
"""Supported model types, each with the classes whose checkpoints give an encoder."""

HEAD = "classifier."


def build_vision(section: Vision, device: Device) -> Backbone:
    """Build a vision host.

    A head of the checkpoint is kept when it has the classes that ``labels`` names, in that order,
    or as many without names. Otherwise it is new, random, and one of the host's local parts.

    Raises:
        BackboneError: It cannot be had, or is no image encoder that vlft knows.
    """
    if section.config is not None:
        shipped = config_for(section.type, section.config)
        field, source, config = "backbone.weights", section.weights, shipped_model_config(shipped)
    else:
        field, source = "backbone.model", str(section.model)
        config = read_model_config(
            source,
            field=field,
            revision=section.revision,
            trust_remote_code=section.trust_remote_code,
        )
        _require_encoder(config, field)
    processor_source = section.processor or source
    if section.processor is not None:
        processor = load_image_processor(section.processor, field="backbone.processor")
    elif source is not None:
        processor = load_image_processor(source, field=field, revision=section.revision)
    else:
        processor = _built_in(config, field)
    stored = _labels_of(config)
    if section.labels is not None:
        config.id2label = dict(enumerate(section.labels))
        config.label2id = {label: row for row, label in enumerate(section.labels)}
    keeps_head = _same_classes(stored, _labels_of(config))
    if source is None or device == "meta":
        model = random_model(AutoModelForImageClassification, config, section, device)
        has_head = True
    else:
        model, has_head = model_with_head(
            AutoModelForImageClassification,
            source,
            section,
            head=HEAD,
            field=field,
            revision=section.revision,
            config=config,
        )
    new_head = source is not None and not (keeps_head and has_head)
    if new_head and device == "cpu":
        _start_head(model)
    return Backbone(
        model=model,
        processor=processor,
        family=section.family,
        type=section.type,
        sites=VISION[config.model_type].sites,
        towers=VISION[config.model_type].towers,
        source=describe(section, model.config, processor=processor_source or BUILT_IN),
        local_parts=("",) if source is None else (HEAD,) if new_head else (),
    )


def class_names(model: nn.Module) -> tuple[str, ...]:
    """Return the names of a vision host's classes, in the order of its logits."""
    assert isinstance(model, PreTrainedModel)
    return _labels_of(model.config)


def _labels_of(config: PreTrainedConfig) -> tuple[str, ...]:
    names = dict(config.id2label or {})  # its keys are numbers, in some files written as text
    return tuple(names[row] for row in sorted(names, key=int))


def _same_classes(stored: tuple[str, ...], wanted: tuple[str, ...]) -> bool:
    unnamed = stored == tuple(f"LABEL_{row}" for row in range(len(stored)))
    return len(stored) == len(wanted) if unnamed else stored == wanted


def _start_head(model: Any) -> None:
    """Draw a head as transformers does: normal weights, no bias."""
    head: nn.Linear = model.classifier
    encoder = getattr(model.config, "vision_config", model.config)  # CLIP keeps two of them
    with torch.no_grad():
        head.weight.normal_(std=encoder.initializer_range)
        head.bias.zero_()


def _require_encoder(config: PreTrainedConfig, field: str) -> None:
    names = {kind: classes[0] for kind, classes in CLASSES.items()}
    saved_from = config.architectures or []
    if any(name in CLASSES.get(config.model_type, ()) for name in saved_from):
        return
    require_architecture(config, names, field=field, kind="vision")


def _built_in(config: PreTrainedConfig, field: str) -> Any:
    if config.model_type == "clip":
        return clip_image_processor(config.vision_config.image_size)
    side = config.image_size
    if not isinstance(side, int):
        raise BackboneError(f"{field}: images of {side} are no squares; name a processor")
    return ViTImageProcessor(size={"height": side, "width": side})
