"""Features of a frozen vision tower, computed once per image and kept on disk.

They are found by a hash of the image's tensors, as the host's processor makes them, below a folder
named by the tower's weights and by what is kept: other weights, another preprocessing or other
groups are other features.
"""

import json
from collections.abc import Callable
from dataclasses import dataclass, replace
from hashlib import sha256
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torch.utils.data import Dataset

from vlft.adapters.dehvf.features import group_states, is_dehvf
from vlft.adapters.parts import base_model
from vlft.backbones.fingerprint import fingerprint
from vlft.backbones.given_features import llava_features
from vlft.data.feature_store import FeatureStore
from vlft.data.mixture import MixedSamples
from vlft.data.records import count_of_images
from vlft.data.sample import EncodedConversation
from vlft.disk import cache_folder
from vlft.errors import DataError
from vlft.types import Backbone

FOLDER = "vision_features"
"""Below the folder of files that can be made again."""

BATCH = 32
"""Images per pass of the tower."""

INPUT = "visual_features"
"""Model input that holds features instead of images."""


@dataclass(frozen=True)
class VisionFeatures:
    """What is kept of an image.

    Attributes:
        tower: The module whose weights decide.
        shape: Of one image's features.
        kind: Plain values that tell this kind from others of the same tower.
        read: Image tensors to features, one row per image.
    """

    tower: Any
    shape: tuple[int, ...]
    kind: dict[str, Any]
    read: Callable[[dict[str, Tensor]], Tensor]


def vision_features(backbone: Backbone) -> VisionFeatures:
    """Return what a host's training needs of an image.

    Args:
        backbone: With its adapter.

    Raises:
        DataError: Its tower is trained, or it is not known how to give it features.
    """
    model: Any = base_model(backbone.model)
    if is_dehvf(backbone.model):
        found = VisionFeatures(*group_states(backbone.model))
    elif model.config.model_type == "llava":
        found = VisionFeatures(*llava_features(model))
    else:
        raise DataError(
            "data.cache_vision_features: this host takes images of many sizes, or vlft does not "
            "know where its features go in; it works with LLaVA hosts, and with adapter.type: dehvf"
        )
    if any(parameter.requires_grad for parameter in found.tower.parameters()):
        raise DataError(
            "data.cache_vision_features: the vision tower is trained (towers.vision, sites in it, "
            "or adapter.vision_adapter_dim), so its features change: leave the cache off"
        )
    return found


class CachedSamples(Dataset):
    """Samples whose images are features from disk; everything else is kept in memory.

    Args:
        samples: Encoded samples.
        features: What is kept of an image.
        device: Where the tower runs.
        say: Tells the size before anything is computed.
        computes: Whether this process adds what is missing; the others find it there.
    """

    def __init__(
        self,
        samples: Any,
        features: VisionFeatures,
        *,
        device: torch.device,
        say: Callable[[str], None],
        computes: bool = True,
    ) -> None:
        self.records = samples.records
        named = json.dumps(features.kind, sort_keys=True).encode()
        name = f"{fingerprint(features.tower)}-{sha256(named).hexdigest()[:12]}"
        self._store = FeatureStore(cache_folder() / FOLDER / name, features.shape)
        self._features = features
        self._device = device
        self._samples: list[EncodedConversation] = []
        self._keys: list[list[str]] = []
        if computes:
            count = _count(samples)
            size = self._store.require_room(count)
            say(
                f"vision features: {count_of_images(count)} of {self._store.row_bytes:,} bytes, at "
                f"most {size / 1e9:.2f} GB in {self._store.folder}"
            )
        self._fill(samples, computes=computes)
        features.tower.zero_grad(set_to_none=True)

    @property
    def folder(self) -> Path:
        """Where the features are."""
        return self._store.folder

    def __len__(self) -> int:
        return len(self._samples)

    def __getitem__(self, index: int) -> EncodedConversation:
        """Return a sample with its images' features."""
        sample, keys = self._samples[index], self._keys[index]
        if not keys:
            return sample
        return replace(sample, image_inputs={INPUT: self._store.rows(keys)})

    def __getitems__(self, indices: list[int]) -> list[EncodedConversation]:
        """Return a batch."""
        return [self[index] for index in indices]

    def _fill(self, samples: Any, *, computes: bool) -> None:
        waiting: dict[str, dict[str, Tensor]] = {}
        for index in range(len(samples)):
            sample = samples[index]
            images = _split(sample)
            keys = [_key(image) for image in images]
            self._samples.append(replace(sample, image_inputs={}))
            self._keys.append(keys)
            for key, image in zip(keys, images, strict=True):
                if computes and key not in self._store and key not in waiting:
                    waiting[key] = image
            if len(waiting) >= BATCH:
                self._compute(waiting)
        if waiting:
            self._compute(waiting)

    def _compute(self, waiting: dict[str, dict[str, Tensor]]) -> None:
        tensors = list(waiting.values())
        joined = {
            name: torch.cat([one[name] for one in tensors]).to(self._device) for name in tensors[0]
        }
        with torch.no_grad():
            rows = self._features.read(joined)
        self._store.append(list(waiting), rows)
        waiting.clear()


def blank_features(features: VisionFeatures) -> dict[str, Tensor]:
    """Return the features of no image, for batches that have none."""
    return {INPUT: torch.zeros(1, *features.shape, dtype=torch.float16)}


def _count(samples: Any) -> int:
    """Count the images of all records; nothing is decoded."""
    return sum(len(samples.records[index].images) for index in range(len(samples.records)))


def _split(sample: EncodedConversation) -> list[dict[str, Tensor]]:
    count = len(sample.image_sizes)
    if not sample.image_inputs:
        return []
    rows: list[dict[str, Tensor]] = [{} for _ in range(count)]
    for name, tensor in sample.image_inputs.items():
        if len(tensor) != count:
            raise DataError(
                f"data.cache_vision_features: {name} of record {sample.record_id} has "
                f"{len(tensor)} rows for {count_of_images(count)}: this host's images do not keep "
                "apart; leave the cache off"
            )
        for row, part in zip(rows, tensor.split(1), strict=True):
            row[name] = part
    return rows


def _key(image: dict[str, Tensor]) -> str:
    digest = sha256()
    for name, tensor in sorted(image.items()):
        digest.update(f"{name} {tuple(tensor.shape)} {tensor.dtype} ".encode())
        digest.update(tensor.contiguous().numpy().tobytes())
    return digest.hexdigest()


def cached(
    samples: Any,
    features: VisionFeatures,
    *,
    device: torch.device,
    say: Callable[[str], None],
    computes: bool = True,
) -> CachedSamples | MixedSamples:
    """Return samples with features in the place of images; a mixture stays one.

    Args:
        samples: Encoded samples.
        features: What is kept of an image.
        device: As for ``CachedSamples``.
        say: As for ``CachedSamples``.
        computes: As for ``CachedSamples``.

    Raises:
        DataError: The disk is short, or images do not keep apart.
    """
    if not isinstance(samples, MixedSamples):
        return CachedSamples(samples, features, device=device, say=say, computes=computes)
    members = [
        CachedSamples(member, features, device=device, say=say, computes=computes)
        for member in samples.members
    ]
    return samples.with_members(members)
