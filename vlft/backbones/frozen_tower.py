"""Vision towers that are frozen: what their hosts read of them, and hosts that are given it.

Everything after the tower (pixel shuffle, merger, projector, head) still runs, as the host's own
code: a host that is given features calls its tower as ever, and the call returns them.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

import torch
from torch import Tensor, nn

INPUT = "visual_features"
"""Model input that holds features [rows ...] instead of images."""

Images: TypeAlias = dict[str, Tensor]
"""Image tensors by the names that a processor gives them."""


@dataclass(frozen=True)
class FrozenTower:
    """A tower, and what its host reads of it: one row of features for each row of image tensors.

    Attributes:
        tower: The module that runs, and that is passed by where features are given.
        kind: Plain values that tell these features from others of the same weights.
        read: Image tensors to features, one row for each; in evaluation mode, without gradients.
        output: Features to what the tower would have returned; None: the host takes them by itself.
        stand_in: Features to ``pixel_values`` that let the host come to its tower.
        after: Prefixes of parameters in the tower that come after what is read of it.
        rows_of: Rows that a processor makes of an image of a size; None: always one.
        kept: Names of image tensors that the host needs beside the features.
    """

    tower: nn.Module
    kind: Mapping[str, Any]
    read: Callable[[Images], Tensor]
    output: Callable[[Tensor], Any] | None
    stand_in: Callable[[Tensor], Tensor] = lambda features: features
    after: tuple[str, ...] = ()
    rows_of: Callable[[Any, tuple[int, int]], int] | None = None
    kept: tuple[str, ...] = ()

    @property
    def is_trained(self) -> bool:
        """Whether its features change while the host is trained."""
        return any(
            parameter.requires_grad
            for name, parameter in self.tower.named_parameters()
            if not name.startswith(self.after)
        )

    def split(self, inputs: Images, counts: Sequence[int]) -> list[Images]:
        """Give each image its own tensors.

        Args:
            inputs: Tensors of a sample.
            counts: Rows of each image.

        Returns:
            All in one where the counts do not say which rows are whose.
        """
        if any(len(tensor) != sum(counts) for tensor in inputs.values()):
            return [inputs]
        images: list[Images] = [{} for _ in counts]
        for name, tensor in inputs.items():
            for image, part in zip(images, tensor.split(list(counts)), strict=True):
                image[name] = part
        return images

    def num_rows(self, image: Images) -> int:
        """Return how many rows of features an image has."""
        return len(image["pixel_values"])


class FrozenTiles(FrozenTower):
    """A tower that gets tiles: a row for each; a sample's stand in one row of its tensors."""

    def split(self, inputs: Images, counts: Sequence[int]) -> list[Images]:
        """Give each image its own tiles."""
        return super().split({name: tensor[0] for name, tensor in inputs.items()}, counts)


class FrozenGrids(FrozenTower):
    """A tower that gets patches of images of any size, and gives one row for each image."""

    def split(self, inputs: Images, counts: Sequence[int]) -> list[Images]:
        """Give each image its own patches."""
        grids = inputs["image_grid_thw"]
        parts = inputs["pixel_values"].split(grids.prod(dim=-1).tolist())
        return [
            {"pixel_values": part, "image_grid_thw": grid[None]}
            for part, grid in zip(parts, grids, strict=True)
        ]

    def num_rows(self, image: Images) -> int:
        """Return how many images it is."""
        return len(image["image_grid_thw"])


class FrozenPatches(FrozenGrids):
    """The same, and it gives a row for each token that patches become."""

    def num_rows(self, image: Images) -> int:
        """Return how many tokens an image becomes."""
        return int(image["image_grid_thw"].prod()) // self.kind["merged"]


def weight_type(module: nn.Module) -> torch.dtype:
    """Return the floating type that a module computes in."""
    return next(weight.dtype for weight in module.parameters() if weight.is_floating_point())


def take_features(host: nn.Module, frozen: FrozenTower) -> None:
    """Let a host take ``visual_features`` instead of ``pixel_values``; with images it is as before.

    Args:
        host: The bare host.
        frozen: Its tower.
    """
    assert frozen.output is not None, "this host takes features by itself"
    given = _Given(frozen)
    host.register_forward_pre_hook(given.take, with_kwargs=True)
    host.register_forward_hook(given.drop, always_call=True)
    frozen.tower.forward = given.forward


class _Given:
    """Stands for a tower's forward pass while its host has features."""

    def __init__(self, frozen: FrozenTower) -> None:
        self._frozen = frozen
        self._forward = frozen.tower.forward
        self._features: Tensor | None = None

    def take(self, host: Any, args: Any, kwargs: dict[str, Any]) -> tuple[Any, Any]:
        """Keep the features of a call, before the host's forward pass."""
        features = kwargs.pop(INPUT, None)
        if features is not None:
            self._features = features.to(weight_type(self._frozen.tower))
            kwargs["pixel_values"] = self._frozen.stand_in(self._features)
        return args, kwargs

    def drop(self, *call: Any) -> None:
        """Forget them after it."""
        self._features = None

    def forward(self, *args: Any, **kwargs: Any) -> Any:
        """Return what was given, or run the tower."""
        if self._features is None:
            return self._forward(*args, **kwargs)
        assert self._frozen.output is not None
        return self._frozen.output(self._features)
