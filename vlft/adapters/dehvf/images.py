"""From the images of a call to what its layers read: tower, fuser, and which image is whose."""

from contextlib import nullcontext
from typing import Any

import torch
from jaxtyping import Int
from torch import Tensor, nn

from vlft.adapters.dehvf.config import DehvfConfig
from vlft.adapters.dehvf.hierarchy import VisionStates, read_hierarchy
from vlft.adapters.dehvf.layers import DehvfNet, SharedNet
from vlft.adapters.dehvf.memory import remember
from vlft.adapters.dehvf.passing import Memories
from vlft.errors import AdapterError

IMAGES = ("pixel_values", "image_grid_thw", "pixel_attention_mask", "image_sizes")
"""Inputs of hosts that carry images."""

OWN = ("image_slots", "prompt_mask", "visual_features")
"""Inputs that are only ours.

``image_slots`` [batch images]: the number of each sample's images among all of the batch, -1 for
none. ``prompt_mask`` [batch tokens]: which tokens ``hidden`` pools, those before a sample's first
answer; the weights hold for all of its tokens, so an answer that took part would be told to the
tokens that predict it. ``visual_features`` [images groups tokens width]: states from a cache
instead of images."""


def taken_from(kwargs: dict[str, Any]) -> dict[str, Tensor]:
    """Take images and what belongs to them out of the inputs.

    Raises:
        AdapterError: The images were encoded already.
    """
    if kwargs.get("mm_encoder_outputs"):
        raise AdapterError(
            "mm_encoder_outputs: DEHVF reads the layers of the vision tower and not its output: "
            "pass pixel_values"
        )
    found = {name: kwargs.pop(name, None) for name in (*IMAGES, *OWN)}
    return {name: value for name, value in found.items() if value is not None}


def rows_of(args: Any, kwargs: dict[str, Any]) -> int | None:
    """Return how many samples a call has, where its inputs say so."""
    sequence = _sequence_of(args, kwargs)
    return None if sequence is None else len(sequence)


def require_no_placeholders(host: Any, args: Any, kwargs: dict[str, Any]) -> None:
    """Refuse a prompt with tokens that stand for images: nothing would take their place.

    It waits for the device, so it is for ``generate``, which does so for each token anyway. Before
    training, the encoder refuses such texts.

    Raises:
        AdapterError: With their number.
    """
    token, sequence = getattr(host.config, "image_token_id", None), _sequence_of(args, kwargs)
    if token is None or sequence is None or sequence.is_floating_point():
        return
    found = int((sequence == token).sum())
    if found:
        raise AdapterError(
            f"input_ids: {found} of the tokens stand for an image (id {token}), and with DEHVF an "
            "image has no token: leave the mark for it out of the text, and pass pixel_values"
        )


def _sequence_of(args: Any, kwargs: dict[str, Any]) -> Tensor | None:
    """Return the tokens of a call, or their embeddings."""
    names = ("input_ids", "inputs_embeds", "inputs")
    given = (*args[:1], *(kwargs.get(name) for name in names))
    return next((value for value in given if isinstance(value, Tensor)), None)


def build(
    host: Any,
    shared: SharedNet,
    taken: dict[str, Tensor],
    *,
    rows: int | None,
    mask: Tensor | None,
    is_prompt: bool = False,
) -> Memories:
    """Run tower and fuser on the images of a call.

    Args:
        host: The host.
        shared: The shared part of its adapters.
        taken: Images and what belongs to them.
        rows: Samples of the call; None where that is not known.
        mask: Which tokens are no padding.
        is_prompt: The call's tokens are all the prompt's, and the memory is kept for the answer.

    Raises:
        AdapterError: It is not said which images belong to which sample, there are more of them
            than the adapter was made for, or which tokens are the prompt's is not said.
    """
    prompt = taken.get("prompt_mask")
    if prompt is None and is_prompt:
        prompt = mask
    found: Memories = {}
    for adapter in shared.active_adapters:
        config = host.peft_config[adapter]
        images = _images_of(taken, rows, config)
        if images is None:
            continue
        if config.query == "hidden" and prompt is None:
            missing = "attention_mask" if is_prompt else "prompt_mask"
            raise AdapterError(
                f"{missing}: with adapter.query: hidden it has to be said which tokens are the "
                "prompt's (a tensor of the shape of input_ids), or padding or an answer would count"
            )
        net = shared.net(adapter)
        states = vision_states(host, config, taken, _weight_dtype(net))
        if len(states.patches) != _count(taken):
            raise AdapterError(
                f"pixel_values: {_count(taken)} images in {len(states.patches)} tiles, and DEHVF "
                "reads images whole: have the image processor cut none "
                "(do_image_splitting=False)"
            )
        fused = net.fuser(states)
        found[adapter] = remember(
            net.fuser,
            fused,
            images,
            prompt=None if prompt is None else prompt.bool(),
            keeps=is_prompt,
        )
    return found


def _weight_dtype(net: DehvfNet) -> torch.dtype:
    return net.fuser.down.weight.dtype


def _count(taken: dict[str, Tensor]) -> int:
    """Return how many images a call has."""
    pixels = taken.get("visual_features", taken.get("pixel_values"))
    assert pixels is not None
    return len(taken.get("image_grid_thw", pixels))


def _images_of(
    taken: dict[str, Tensor], rows: int | None, config: DehvfConfig
) -> Int[Tensor, "batch images"] | None:
    """Return which images belong to which sample."""
    pixels = taken.get("visual_features", taken.get("pixel_values"))
    if pixels is None:
        return None
    count = _count(taken)
    images = taken.get("image_slots")
    if images is None:
        if rows != count:
            raise AdapterError(
                f"image_slots: {count} images for {rows} samples: say which belong to which, by a "
                "tensor [samples, images] of their numbers with -1 for none"
            )
        images = torch.arange(count, device=pixels.device)[:, None]
    if images.shape[1] > config.max_images:
        raise AdapterError(
            f"adapter.max_images: a sample has {images.shape[1]} images, and the adapter was made "
            f"for {config.max_images}: set adapter.max_images and train it so"
        )
    if images.shape[1] < config.max_images:
        # every step uses every parameter, so that no process waits for another's gradient
        missing = config.max_images - images.shape[1]
        images = nn.functional.pad(images, (0, missing), value=-1)
    return images


def vision_states(
    host: Any, config: DehvfConfig, taken: dict[str, Tensor], dtype: torch.dtype
) -> VisionStates:
    """Return the groups' states, from the cache or from the tower.

    Args:
        host: The host.
        config: Of the adapter.
        taken: Image tensors, or ``visual_features``.
        dtype: Of the states.
    """
    cached = taken.get("visual_features")
    if cached is not None:
        expected = (len(config.used_groups), 1 + config.num_patches, config.vision_width)
        if cached.shape[1:] != expected:
            raise AdapterError(
                f"visual_features: found {tuple(cached.shape)}, expected [images, {expected[0]} "
                f"groups, {expected[1]} summary and patches, {expected[2]} wide]: they were made "
                "for another adapter or host"
            )
        return VisionStates(cached[:, :, 0].to(dtype), cached[:, :, 1:].to(dtype))
    tower: Any = host.get_submodule(config.vision_tower)
    trains = any(parameter.requires_grad for parameter in tower.parameters())
    images = {
        name: value.to(tower.dtype) if value.is_floating_point() else value
        for name, value in taken.items()
        if name in IMAGES
    }
    with nullcontext() if trains else torch.no_grad():
        states = read_hierarchy(
            tower,
            [host.get_submodule(path) for path in config.vision_blocks],
            config.used_groups,
            images,
            num_patches=config.num_patches,
        )
    return VisionStates(states.summaries.to(dtype), states.patches.to(dtype))
