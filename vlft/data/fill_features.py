"""Filling a store of vision features: every process computes its share, and finds the others'.

The images themselves decide which process computes them.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace
from hashlib import sha256

from torch import Tensor
from tqdm import tqdm

from vlft.backbones.frozen_tower import Images
from vlft.data.content import content_key
from vlft.data.encoded import EncodedDataset
from vlft.data.feature_store import FeatureStore, Seen
from vlft.data.known_images import AnySample, Found, shown, sizes_of
from vlft.data.records import Conversation, Labeled, Pair
from vlft.data.vision_features import VisionFeatures
from vlft.errors import DataError, RecordError

BATCH = 32
"""Most images per pass of the tower."""

NUMBERS = BATCH * 3 * 448 * 448
"""Numbers in the tensors of a pass, from which on no more images join it."""

Made = tuple[AnySample, list[str]]
"""A sample without images, and the keys of these."""


@dataclass(frozen=True)
class Processes:
    """The processes that fill one store.

    Attributes:
        number: Of this one.
        count: How many there are.
        wait: Returns when all have come to it.
    """

    number: int = 0
    count: int = 1
    wait: Callable[[], None] = lambda: None


ALONE = Processes()


class Filling:
    """Makes samples whose images are in a store.

    Args:
        samples: Their encoder is ``KnownImages``.
        store: Where rows are put and found.
        features: What is kept of an image.
        processes: Those that fill the store, each of which makes the same samples.
    """

    def __init__(
        self,
        samples: EncodedDataset,
        store: FeatureStore,
        features: VisionFeatures,
        processes: Processes,
    ) -> None:
        self._samples = samples
        self._store = store
        self._features = features
        self._processes = processes

    def run(self) -> list[Made]:
        """Compute what is missing; return all samples once every process is done.

        Raises:
            DataError: The others' features are not there.
        """
        ours = self._share()
        self._processes.wait()
        self._store.reload()
        return [
            ours.pop(index, None) or self._made_by_others(index)
            for index in range(len(self._samples))
        ]

    def _share(self) -> dict[int, Made]:
        """Compute this process's share; return its samples by their place."""
        waiting = _Waiting(self._store, self._features)
        share = [index for index in range(len(self._samples)) if self._is_ours(index)]
        made = {}
        for index in tqdm(
            share, "vision features", unit=" samples", disable=self._processes.number > 0
        ):
            found, keys, images = self._encoded(index)
            waiting.add(found, keys, images)
            made[index] = self._without_images(found.sample), keys
        waiting.flush()
        return made

    def _is_ours(self, index: int) -> bool:
        """Whether this process fills a record; those with one first image are all the same's."""
        if self._processes.count == 1:
            return True
        owner = index
        try:
            record = self._samples.records[index]
            assert isinstance(record, Conversation | Pair | Labeled)
            path = next((ref.path for ref in shown(record)), None)
            if path is not None:
                owner = int.from_bytes(sha256(str(path).encode()).digest()[:8])
        except RecordError:  # it is told, or left out, when it is encoded
            pass
        return owner % self._processes.count == self._processes.number

    def _encoded(self, index: int) -> tuple[Found, list[str], list[Images]]:
        """Return a sample, the keys of its images, and those that had to be prepared."""
        found: Found = self._samples[index]
        if found.keys is not None:
            return found, found.keys, []
        inputs = found.sample.image_inputs
        images = self._features.frozen.split(inputs, found.counts) if inputs else []
        return found, [content_key(image) for image in images], images

    def _made_by_others(self, index: int) -> Made:
        found, keys, _ = self._encoded(index)
        for number, key in enumerate(keys, start=1):
            if key not in self._store:
                raise DataError(
                    f"data.cache_vision_features: {found.sample.dataset}, record "
                    f"{found.sample.record_id}: the features of image {number} are not in "
                    f"{self._store.folder}, where another process puts them: let the "
                    "variable VLFT_CACHE name a folder that all machines share"
                )
        return self._without_images(found.sample), keys

    def _without_images(self, sample: AnySample) -> AnySample:
        kept = self._features.frozen.kept if sample.image_inputs else ()
        return replace(sample, image_inputs={name: sample.image_inputs[name] for name in kept})


class _Waiting:
    """Computes features of images that wait for it, and puts them into a store."""

    def __init__(self, store: FeatureStore, features: VisionFeatures) -> None:
        self._store = store
        self._features = features
        self._waiting: dict[str, Images] = {}
        self._new: dict[str, Seen] = {}

    def add(self, found: Found, keys: list[str], images: list[Images]) -> None:
        """Take the images of a sample that were prepared; computes when enough wait."""
        if not images:
            return
        for key, image in zip(keys, images, strict=True):
            if key not in self._store:
                self._waiting[key] = image
        if found.sources and len(found.sources) == len(keys):
            sizes = sizes_of(found.sample)
            for source, key, size in zip(found.sources, keys, sizes, strict=True):
                self._new[source] = Seen(key, *size)
        numbers = sum(map(_numbers, self._waiting.values()))
        if max(len(self._waiting), len(self._new) // BATCH) >= BATCH or numbers >= NUMBERS:
            self.flush()

    def flush(self) -> None:
        """Compute what waits."""
        if self._waiting:
            rows = self._features.read(list(self._waiting.values()))
            self._store.append(dict(zip(self._waiting, rows, strict=True)))
        if self._new:
            self._store.remember(self._new)
        self._waiting, self._new = {}, {}


def _numbers(image: Images) -> int:
    return sum(map(Tensor.numel, image.values()))
