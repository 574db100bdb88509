"""Which model was measured, and the facts beside the ranking key."""

import importlib.metadata
from collections.abc import Iterable
from functools import cache
from hashlib import sha256
from typing import Any

from peft import PeftModel
from PIL.Image import Image
from pydantic import JsonValue
from torch import nn

from vlft.data.process import image_token_ids, is_processor, process
from vlft.results import ModelIdentity
from vlft.types import Backbone

PACKAGES = ("vlft", "torch", "torchvision", "transformers", "peft", "tokenizers", "pillow")


def identify(backbone: Backbone, *, name: str | None = None) -> ModelIdentity:
    """Say which model a backbone is.

    Args:
        backbone: Any host, bare or with an adapter.
        name: As the user named it; None: where its weights came from.
    """
    source: dict[str, JsonValue] = {key: _plain(value) for key, value in backbone.source.items()}
    origin = source.get("model") or source.get("config") or backbone.type
    return ModelIdentity(name=name or str(origin), source=source, adapter=_adapter(backbone.model))


def recorded_facts(backbone: Backbone, *, batch_size: int) -> dict[str, JsonValue]:
    """Return what is shown with a number and not ranked by."""
    processor = backbone.processor
    template = getattr(processor, "chat_template", None)
    weight = next(backbone.model.parameters())
    return {
        "host": backbone.type,
        "resolution": _resolution(getattr(processor, "image_processor", None)),
        "chat_template": None if template is None else _digest(str(template)),
        "dtype": str(weight.dtype).removeprefix("torch."),
        "device": weight.device.type,
        "batch_size": batch_size,
        "parameters": sum(weight.numel() for weight in backbone.model.parameters()),
        "packages": {name: found for name in PACKAGES if (found := _version(name))},
    }


def visual_tokens_per_image(backbone: Backbone, images: Iterable[Image]) -> float | None:
    """Return how many tokens of the language model's sequence an image takes, as a mean.

    Args:
        backbone: Any host; None is returned for hosts without a sequence that images stand in.
        images: Some that are representative; not decoded for such hosts.
    """
    if backbone.family != "generative" or not is_processor(backbone.processor):
        return None
    shown = list(images)
    if not shown:
        return None
    if backbone.images == "beside":
        return 0.0
    processor = backbone.processor
    encoding = process(
        processor,
        [processor.image_token] * len(shown),
        [[image] for image in shown],
        add_special_tokens=False,
    )
    ids = set(image_token_ids(processor).tolist())
    return sum(token in ids for row in encoding["input_ids"] for token in row) / len(shown)


def _adapter(model: nn.Module) -> dict[str, JsonValue] | None:
    """Return the active adapter's settings that are single values, and its size."""
    if not isinstance(model, PeftModel):
        return None
    settings = model.active_peft_config.to_dict()
    kept: dict[str, JsonValue] = {
        key: _plain(value)
        for key, value in settings.items()
        if isinstance(value, str | int | float) and key != "base_model_name_or_path"
    }
    return kept


def _resolution(image_processor: Any) -> dict[str, JsonValue] | None:
    """Return what images are cropped or scaled to, as the processor says it: pixels or patches."""
    if image_processor is None:
        return None
    size = getattr(image_processor, "crop_size", None) or image_processor.size
    if size is None:  # SigLIP 2 keeps the shape of an image and bounds its patches
        size = {name: getattr(image_processor, name) for name in ("max_num_patches", "patch_size")}
    return {key: _plain(value) for key, value in dict(size).items() if value is not None}


def _plain(value: Any) -> JsonValue:
    if isinstance(value, bool | int | float) or value is None:
        return value
    return str(getattr(value, "value", value))  # members of enumerations by their value


def _digest(text: str) -> str:
    return sha256(text.encode()).hexdigest()[:12]


@cache
def _version(package: str) -> str | None:
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return None
