"""Samples whose images are features from disk, computed where they are missing."""

import json
from collections.abc import Callable
from copy import copy
from dataclasses import replace
from hashlib import sha256
from pathlib import Path

from torch.utils.data import Dataset
from tqdm import tqdm

from vlft.backbones.fingerprint import fingerprint
from vlft.backbones.frozen_tower import INPUT
from vlft.data.encode import ConversationEncoder
from vlft.data.encode_labeled import LabeledEncoder
from vlft.data.encode_pair import PairEncoder
from vlft.data.encoded import EncodedDataset
from vlft.data.feature_store import FeatureStore
from vlft.data.fill_features import ALONE, Filling, Processes
from vlft.data.known_images import AnySample, KnownImages, place_of, shown
from vlft.data.mixture import MixedSamples
from vlft.data.records import Conversation, Labeled, Pair, count_of_images
from vlft.data.vision_features import VisionFeatures
from vlft.disk import cache_folder
from vlft.errors import RecordError

FOLDER = "vision_features"
"""Below the folder of files that can be made again."""

LAYOUT = 3
"""Of the files of a store."""


class CachedSamples(Dataset):
    """Samples whose images are features from disk; everything else is kept in memory.

    Args:
        samples: Encoded samples.
        features: What is kept of an image.
        say: Tells the size before anything is computed; called by the first process alone.
        processes: Those that fill the store, each of which makes the same samples.

    Raises:
        DataError: The disk is short, images do not keep apart, or their features are not there.
    """

    def __init__(
        self,
        samples: EncodedDataset,
        features: VisionFeatures,
        *,
        say: Callable[[str], None],
        processes: Processes = ALONE,
    ) -> None:
        self.records = samples.records
        frozen = features.frozen
        said = [LAYOUT, frozen.kind, features.shape, features.made_by]
        named = json.dumps(said, sort_keys=True, default=str).encode()
        weights = fingerprint(frozen.tower, leave_out=frozen.after)
        name = f"{weights}-{sha256(named).hexdigest()[:12]}"
        self._store = FeatureStore(cache_folder() / FOLDER / name, features.shape)
        assert isinstance(samples.encode, ConversationEncoder | PairEncoder | LabeledEncoder)
        known = KnownImages(samples.encode, self._store, frozen.rows_of)
        if processes.number == 0:
            self._say_size(known, say)
        processes.wait()
        looked_up = copy(samples)
        looked_up.encode = known  # pyrefly: ignore[bad-assignment]  # it is asked one by one
        made = Filling(looked_up, self._store, features, processes).run()
        self._samples = [sample for sample, _ in made]
        self._keys = [keys for _, keys in made]

    @property
    def folder(self) -> Path:
        """Where the features are."""
        return self._store.folder

    def __len__(self) -> int:
        return len(self._samples)

    def __getitem__(self, index: int) -> AnySample:
        """Return a sample with its images' features.

        Raises:
            DataError: They are there no longer.
        """
        sample, keys = self._samples[index], self._keys[index]
        if not keys:
            return sample
        return replace(sample, image_inputs={INPUT: self._store.rows(keys), **sample.image_inputs})

    def __getitems__(self, indices: list[int]) -> list[AnySample]:
        """Return a batch."""
        return [self[index] for index in indices]

    def _say_size(self, known: KnownImages, say: Callable[[str], None]) -> None:
        images, missing = self._count(known)
        rows = sum(missing.values())
        # images that are not remembered may be those whose rows are there already
        new = rows if known.finds else max(0, rows - self._store.num_rows)
        self._store.require_room(len(missing), rows=new)
        row, total = self._store.row_bytes, rows * self._store.row_bytes / 1e9
        each = f"of {row:,} bytes each" if rows == len(missing) else f"in {rows:,} rows"
        needed = f"at most {len(missing):,} to compute, {each}: {total:.2f} GB"
        say(
            f"vision features: {count_of_images(images)}, {needed if missing else 'all'} in "
            f"{self.folder}"
        )

    def _count(self, known: KnownImages) -> tuple[int, dict[object, int]]:
        """Count different images, and the rows of those that are perhaps not in the store."""
        looks = known.finds and self._store.has_sources
        images: set[object] = set()
        missing: dict[object, int] = {}
        for index in tqdm(
            range(len(self.records)), "looking for vision features", unit=" records",
            disable=not looks,
        ):  # fmt: skip
            try:
                record = self.records[index]
                assert isinstance(record, Conversation | Pair | Labeled)
                refs = shown(record)
                names = [place_of(ref) or (index, at) for at, ref in enumerate(refs)]
                sources = known.sources(record, dataset=self.records.name) if looks else names
                for ref, source in zip(refs, sources, strict=True):
                    if source not in missing and not (looks and self._store.seen(str(source))):
                        missing[source] = known.most_rows(
                            ref, dataset=self.records.name, record_id=record.id
                        )
            except RecordError:  # it is told, or left out, when it is encoded
                continue
            images.update(names)
        return len(images), missing


def cached(
    samples: EncodedDataset | MixedSamples,
    features: VisionFeatures,
    *,
    say: Callable[[str], None],
    processes: Processes = ALONE,
) -> CachedSamples | MixedSamples:
    """Return samples with features in the place of images; a mixture stays one.

    Args:
        samples: Encoded samples.
        features: What is kept of an image.
        say: As for ``CachedSamples``.
        processes: As for ``CachedSamples``.

    Raises:
        DataError: As ``CachedSamples``.
    """
    if not isinstance(samples, MixedSamples):
        return CachedSamples(samples, features, say=say, processes=processes)
    members = [
        CachedSamples(member, features, say=say, processes=processes) for member in samples.members
    ]
    return samples.with_members(members)
