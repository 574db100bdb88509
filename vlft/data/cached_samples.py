"""Samples whose images are features from disk, computed where they are missing."""

import json
from collections.abc import Callable
from copy import copy
from dataclasses import replace
from hashlib import sha256
from pathlib import Path

import torch
from torch import Tensor
from torch.utils.data import Dataset
from tqdm import tqdm

from vlft.backbones.fingerprint import fingerprint
from vlft.backbones.modes import in_eval_mode
from vlft.data.encode import ConversationEncoder
from vlft.data.encoded import EncodedDataset
from vlft.data.feature_store import FeatureStore, Seen
from vlft.data.known_images import Found, KnownImages, place_of
from vlft.data.mixture import MixedSamples
from vlft.data.records import Conversation, count_of_images
from vlft.data.sample import EncodedConversation, images_in_order
from vlft.data.vision_features import INPUT, VisionFeatures
from vlft.disk import cache_folder
from vlft.errors import DataError, RecordError

FOLDER = "vision_features"
"""Below the folder of files that can be made again."""

BATCH = 32
"""Images per pass of the tower."""

Image = dict[str, Tensor]
"""Tensors of one image, a row of each."""


class CachedSamples(Dataset):
    """Samples whose images are features from disk; everything else is kept in memory.

    Args:
        samples: Encoded samples.
        features: What is kept of an image.
        device: Where the tower runs.
        say: Tells the size before anything is computed.
        computes: Whether this process adds what is missing; the others find it there.

    Raises:
        DataError: The disk is short, images do not keep apart, or their features are not there.
    """

    def __init__(
        self,
        samples: EncodedDataset,
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
        self._samples: list[EncodedConversation] = []
        self._keys: list[list[str]] = []
        assert isinstance(samples.encode, ConversationEncoder)
        known = KnownImages(samples.encode, self._store)
        if computes:
            self._say_size(known, say)
        looked_up = copy(samples)
        looked_up.encode = known  # pyrefly: ignore[bad-assignment]  # it is asked one by one
        self._fill(looked_up, _Filling(self._store, features, device) if computes else None)

    @property
    def folder(self) -> Path:
        """Where the features are."""
        return self._store.folder

    def __len__(self) -> int:
        return len(self._samples)

    def __getitem__(self, index: int) -> EncodedConversation:
        """Return a sample with its images' features.

        Raises:
            DataError: They are there no longer.
        """
        sample, keys = self._samples[index], self._keys[index]
        if not keys:
            return sample
        return replace(sample, image_inputs={INPUT: self._store.rows(keys)})

    def __getitems__(self, indices: list[int]) -> list[EncodedConversation]:
        """Return a batch."""
        return [self[index] for index in indices]

    def _say_size(self, known: KnownImages, say: Callable[[str], None]) -> None:
        images, missing = self._count(known)
        # images that are not remembered may be those whose rows are there already
        self._store.require_room(missing if known.finds else max(0, missing - len(self._store)))
        row = self._store.row_bytes
        needed = (
            f"at most {missing:,} to compute, of {row:,} bytes each: {missing * row / 1e9:.2f} GB"
        )
        say(
            f"vision features: {count_of_images(images)}, {needed if missing else 'all'} in "
            f"{self.folder}"
        )

    def _count(self, known: KnownImages) -> tuple[int, int]:
        """Count different images, and those that are surely or perhaps not in the store."""
        looks = known.finds and self._store.has_sources
        images: set[object] = set()
        missing: set[object] = set()
        for index in tqdm(
            range(len(self.records)), "looking for vision features", unit=" records",
            disable=not looks,
        ):  # fmt: skip
            try:
                record = self.records[index]
                assert isinstance(record, Conversation)
                refs = [record.images[at] for at in images_in_order(record)]
                names = [place_of(ref) or (index, at) for at, ref in enumerate(refs)]
                sources = known.sources(record, dataset=self.records.name) if looks else names
            except RecordError:  # it is told, or left out, when it is encoded
                continue
            images.update(names)
            missing.update(
                source for source in sources if not (looks and self._store.seen(str(source)))
            )
        return len(images), len(missing)

    def _fill(self, samples: EncodedDataset, filling: "_Filling | None") -> None:
        for index in tqdm(
            range(len(samples)), "vision features", unit=" samples", disable=filling is None
        ):
            found: Found = samples[index]
            keys = found.keys
            if keys is None:
                images = _split(found.sample)
                keys = [_key(image) for image in images]
                if filling is not None:
                    filling.add(found, keys, images)
            if filling is None:
                self._require(found.sample, keys)
            self._samples.append(replace(found.sample, image_inputs={}))
            self._keys.append(keys)
        if filling is not None:
            filling.flush()

    def _require(self, sample: EncodedConversation, keys: list[str]) -> None:
        for number, key in enumerate(keys, start=1):
            if key not in self._store:
                raise DataError(
                    f"data.cache_vision_features: {sample.dataset}, record {sample.record_id}: "
                    f"the features of image {number} are not in {self.folder}, where the main "
                    "process puts them: let the variable VLFT_CACHE name a folder that all "
                    "machines share"
                )


class _Filling:
    """Computes features of images that wait for it, and puts them into a store."""

    def __init__(self, store: FeatureStore, features: VisionFeatures, device: torch.device) -> None:
        self._store = store
        self._features = features
        self._device = device
        self._waiting: dict[str, Image] = {}
        self._new: dict[str, Seen] = {}

    def add(self, found: Found, keys: list[str], images: list[Image]) -> None:
        """Take the images of a sample; computes when enough wait."""
        for key, image in zip(keys, images, strict=True):
            if key not in self._store:
                self._waiting[key] = image
        if found.sources:
            sizes = found.sample.image_sizes
            for source, key, size in zip(found.sources, keys, sizes, strict=True):
                self._new[source] = Seen(key, *size)
        if max(len(self._waiting), len(self._new) // BATCH) >= BATCH:
            self.flush()

    def flush(self) -> None:
        """Compute what waits."""
        tensors = list(self._waiting.values())
        if tensors:
            joined = {
                name: torch.cat([one[name] for one in tensors]).to(self._device)
                for name in tensors[0]
            }
            with torch.no_grad(), in_eval_mode(self._features.tower):
                rows = self._features.read(joined)
            self._store.append(list(self._waiting), rows)
        if self._new:
            self._store.remember(self._new)
        self._waiting, self._new = {}, {}


def _split(sample: EncodedConversation) -> list[Image]:
    count = len(sample.image_sizes)
    if not sample.image_inputs:
        return []
    rows: list[Image] = [{} for _ in range(count)]
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


def _key(image: Image) -> str:
    digest = sha256()
    for name, tensor in sorted(image.items()):
        digest.update(f"{name} {tuple(tensor.shape)} {tensor.dtype} ".encode())
        digest.update(tensor.contiguous().numpy().tobytes())
    return digest.hexdigest()


def cached(
    samples: EncodedDataset | MixedSamples,
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
        DataError: As ``CachedSamples``.
    """
    if not isinstance(samples, MixedSamples):
        return CachedSamples(samples, features, device=device, say=say, computes=computes)
    members = [
        CachedSamples(member, features, device=device, say=say, computes=computes)
        for member in samples.members
    ]
    return samples.with_members(members)
