"""Images to the states of every group of vision layers.

All blocks are read, each through a layer norm without parameters: the norms of a residual stream
differ from layer to layer, and a tower's own last norm fits the top alone. Blocks of a group are
averaged while the tower runs, so that no more than the groups is kept.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from math import isqrt
from threading import get_ident
from typing import Any, NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn.functional import adaptive_avg_pool2d, layer_norm
from transformers import PreTrainedConfig
from transformers.vision_utils import get_vision_window_index

from vlft.errors import AdapterError


class VisionStates(NamedTuple):
    """What a tower makes of images, by group.

    Attributes:
        summaries: The class token of each group; the mean of its patches in towers without one.
        patches: Its patches.
    """

    summaries: Float[Tensor, "images groups width"]
    patches: Float[Tensor, "images groups patches width"]


Inputs = Mapping[str, Tensor]


@dataclass(frozen=True)
class Reader:
    """How to run one kind of tower and read what its blocks give.

    Attributes:
        width: Width of its blocks.
        patches: Patches of an image; None where that depends on the image's size.
        has_class_token: Whether the first state of an image is no patch.
        run: Runs the tower.
        states: Turns what a block gives (or a mean of it) into rows of one per image, pooled to a
            number of patches where the tower has no fixed one.
    """

    width: Callable[[PreTrainedConfig], int]
    patches: Callable[[PreTrainedConfig], int | None]
    has_class_token: bool
    run: Callable[[nn.Module, Inputs], Any]
    states: Callable[[nn.Module, Inputs, Tensor, int], Tensor]


def read_hierarchy(
    tower: nn.Module,
    blocks: Sequence[nn.Module],
    groups: Sequence[Sequence[int]],
    inputs: Inputs,
    *,
    num_patches: int,
) -> VisionStates:
    """Run a tower and return the states of each group of its blocks.

    Args:
        tower: A vision tower of transformers.
        blocks: Its blocks, in order.
        groups: Numbers of the blocks of each group, from 1.
        inputs: Its image tensors by name (``pixel_values``, ``image_grid_thw``).
        num_patches: Patches of an image.

    Returns:
        States in the dtype that the tower computes in.

    Raises:
        AdapterError: The tower makes another number of patches.
    """
    config: Any = tower.config
    reader = reader_of(config)
    with _grouped(blocks, groups) as means:
        reader.run(tower, inputs)
    states = torch.stack([reader.states(tower, inputs, mean, num_patches) for mean in means], dim=1)
    patches = states[:, :, 1:] if reader.has_class_token else states
    if patches.shape[2] != num_patches:
        raise AdapterError(
            f"adapter: this adapter was made for {num_patches} patches of an image, and the tower "
            f"makes {patches.shape[2]}: images of another resolution need an adapter of their own"
        )
    summaries = states[:, :, 0] if reader.has_class_token else patches.mean(dim=2)
    return VisionStates(summaries, patches)


def reader_of(config: PreTrainedConfig) -> Reader:
    """Return how to read the tower of a configuration.

    Raises:
        AdapterError: Nobody has said how to read such a tower.
    """
    kind: Any = config.model_type
    if kind not in READERS:  # a tower of another type is no misspelled one
        raise AdapterError(
            f"adapter.type: dehvf cannot read the vision tower of this host, whose type is {kind}; "
            f"it reads {', '.join(sorted(READERS))}: use a host with one of these, or "
            "adapter.type: lora"
        )
    return READERS[kind]


@contextmanager
def _grouped(
    blocks: Sequence[nn.Module], groups: Sequence[Sequence[int]]
) -> Iterator[list[Tensor]]:
    """While blocks run in this thread, sum their normed states by group, and divide at the end."""
    owner = get_ident()
    sums: list[Tensor | None] = [None] * len(groups)
    found: list[Tensor] = []

    def gather(number: int) -> Callable[[nn.Module, Any, Any], None]:
        def hook(block: nn.Module, args: Any, output: Any) -> None:
            if get_ident() != owner:  # another call's blocks, which has hooks of its own
                return
            state = output[0] if isinstance(output, tuple) else output
            normed = layer_norm(state, state.shape[-1:])
            for place, group in enumerate(groups):
                if number in group:
                    before = sums[place]
                    sums[place] = normed if before is None else before + normed

        return hook

    handles = [
        block.register_forward_hook(gather(number)) for number, block in enumerate(blocks, start=1)
    ]
    try:
        yield found
    finally:
        for handle in handles:
            handle.remove()
    for total, group in zip(sums, groups, strict=True):
        assert total is not None, "a block of the group did not run"
        found.append(total / len(group))


def _run_rows(tower: nn.Module, inputs: Inputs) -> Any:
    return tower(inputs["pixel_values"].flatten(0, -4))  # tiles, where there are any, are rows


def _rows(tower: nn.Module, inputs: Inputs, states: Tensor, num_patches: int) -> Tensor:
    return states


def _run_packed(tower: nn.Module, inputs: Inputs) -> Any:
    return tower(inputs["pixel_values"], grid_thw=inputs["image_grid_thw"])


def _pooled(tower: nn.Module, inputs: Inputs, states: Tensor, num_patches: int) -> Tensor:
    """Pool the packed patches of each image to a square grid.

    Patches stand in units of merge x merge; a unit's mean stands for it, units stand row by row.
    """
    config: Any = tower.config
    merge = config.spatial_merge_size
    grids = inputs["image_grid_thw"]
    units = states.unflatten(0, (-1, merge * merge)).mean(dim=1)
    if config.model_type == "qwen2_5_vl_vision":  # its blocks work in the order of windows
        index, _ = get_vision_window_index(grids, merge, config.window_size, config.patch_size)
        units = units[torch.argsort(index.to(units.device))]
    sizes = [(frames, rows // merge, columns // merge) for frames, rows, columns in grids.tolist()]
    side = isqrt(num_patches)
    images = []
    for image, (frames, rows, columns) in zip(
        units.split([frames * rows * columns for frames, rows, columns in sizes]),
        sizes,
        strict=True,
    ):
        grid = image.view(frames, rows, columns, -1).mean(dim=0).permute(2, 0, 1)
        images.append(adaptive_avg_pool2d(grid, side).flatten(1).T)
    return torch.stack(images)


def _square(config: PreTrainedConfig) -> int:
    sizes: Any = config
    return (sizes.image_size // sizes.patch_size) ** 2


def _hidden_size(config: PreTrainedConfig) -> int:
    sizes: Any = config
    return sizes.hidden_size


def _embed_dim(config: PreTrainedConfig) -> int:
    sizes: Any = config
    return sizes.embed_dim


_CLIP = Reader(_hidden_size, _square, True, _run_rows, _rows)
_SIGLIP = Reader(_hidden_size, _square, False, _run_rows, _rows)
_QWEN = Reader(_hidden_size, lambda config: None, False, _run_packed, _pooled)

READERS: dict[str, Reader] = {
    "clip_vision_model": _CLIP,
    "siglip_vision_model": _SIGLIP,
    "smolvlm_vision": _SIGLIP,
    "idefics3_vision": _SIGLIP,
    "qwen2_5_vl_vision": _QWEN,
    "qwen2_vl_vision": Reader(_embed_dim, lambda config: None, False, _run_packed, _pooled),
}
"""By ``model_type`` of the tower's configuration."""
