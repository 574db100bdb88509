"""Records whose images were prepared before: known by their files, encoded without decoding one."""

from collections.abc import Mapping, Sequence
from copy import copy
from functools import partial
from hashlib import sha256
from importlib.metadata import PackageNotFoundError, version
from typing import Any, NamedTuple

from PIL import Image
from torch import Tensor
from transformers import BatchFeature

from vlft.data.encode import ConversationEncoder
from vlft.data.feature_store import FeatureStore, Seen
from vlft.data.images import content_of
from vlft.data.process import one_row_per_image
from vlft.data.records import Conversation, ImageRef
from vlft.data.sample import EncodedConversation, images_in_order

PACKAGES = ("vlft", "transformers", "pillow", "torchvision")
"""Packages that decode and prepare images: another version may do it in another way."""


class Found(NamedTuple):
    """A sample, and what its images are known by.

    Attributes:
        sample: Without image tensors where all images are known.
        sources: Of its images, in order; none where they cannot be found again.
        keys: Names of their rows; None: not known.
    """

    sample: EncodedConversation
    sources: list[str]
    keys: list[str] | None


class KnownImages:
    """Encodes records, and prepares only images that the store does not know.

    Args:
        encode: The encoder of the data set.
        store: Knows images by their sources.
    """

    def __init__(self, encode: ConversationEncoder, store: FeatureStore) -> None:
        self._encode = encode
        self._store = store
        # a size that follows from the sample would be no matter of the image alone
        self.finds = encode.image_tokens is None and encode.overlong != "shrink_image"
        self.finds &= encode.beside or one_row_per_image(encode.processor)
        self._blind = _blind(encode)
        self._preparation = _preparation(encode)
        self._by_place: dict[Any, str] = {}

    def __call__(self, record: Conversation, *, dataset: str) -> Found:
        """Encode a record.

        Raises:
            RecordError: As the encoder.
        """
        sources = self.sources(record, dataset=dataset) if self.finds else []
        seen = [one for one in map(self._store.seen, sources) if one is not None]
        if not self.finds or len(seen) < len(sources):
            return Found(self._encode(record, dataset=dataset), sources, None)
        sample = self._blind(_stand_ins(record, seen), dataset=dataset)
        return Found(sample, sources, [one.key for one in seen])

    def many(self, records: Sequence[Conversation], *, dataset: str) -> list[Found]:
        """Encode several records."""
        return [self(record, dataset=dataset) for record in records]

    def sources(self, record: Conversation, *, dataset: str) -> list[str]:
        """Return what the images of a record are known by, in order; none of them is decoded.

        Raises:
            RecordError: A file is missing.
        """
        refs = [record.images[index] for index in images_in_order(record)]
        return [self._source(ref, dataset, record.id) for ref in refs]

    def _source(self, ref: ImageRef, dataset: str, record_id: str) -> str:
        place = place_of(ref)
        if place is None or place not in self._by_place:
            content = content_of(ref, dataset=dataset, record_id=record_id)
            source = sha256(f"{self._preparation} {content}".encode()).hexdigest()[:32]
            if place is None:
                return source
            self._by_place[place] = source
        return self._by_place[place]


def place_of(ref: ImageRef) -> Any:
    """Return what is equal for references to one image; None where only its content tells."""
    return None if ref.path is None else (ref.root, ref.path, ref.box)


class _Shapes:
    """An image processor that gives tensors of the shape that the real one makes of any image."""

    def __init__(self, real: Any) -> None:
        self._real = real
        self._one: Mapping[str, Tensor] | None = None

    def __getattr__(self, name: str) -> Any:
        if name.startswith("_"):  # also what copying asks for before there is a real one
            raise AttributeError(name)
        return getattr(self._real, name)

    def __call__(self, images: Any, **options: Any) -> BatchFeature:
        if self._one is None:
            gray = Image.new("RGB", (28, 28), (127, 127, 127))
            made = self._real(images=[[gray]], **options)
            self._one = {name: value for name, value in made.items() if isinstance(value, Tensor)}
        count = _count(images)
        return BatchFeature(
            {
                name: value.new_zeros(()).expand(count, *value.shape[1:])
                for name, value in self._one.items()
            }
        )


def _count(images: Any) -> int:
    return sum(map(_count, images)) if isinstance(images, list | tuple) else 1


def _blind(encode: ConversationEncoder) -> ConversationEncoder:
    """Return an encoder that looks at no image."""
    blind = copy(encode)
    blind.processor = copy(encode.processor)
    blind.processor.image_processor = _Shapes(encode.processor.image_processor)
    return blind


def _stand_ins(record: Conversation, seen: list[Seen]) -> Conversation:
    """Return a record with images of the same sizes that cost nothing."""
    refs = list(record.images)
    for index, one in zip(images_in_order(record), seen, strict=True):
        refs[index] = ImageRef(draw=partial(Image.new, "L", (one.width, one.height)))
    return Conversation(record.id, record.messages, tuple(refs), record.meta)


def _preparation(encode: ConversationEncoder) -> str:
    """Return all that decides what is made of an image, beside its file."""
    settings = encode.host.fewest(encode.processor) if encode.beside and encode.host else {}
    processor = encode.processor.image_processor
    return "\n".join(
        [
            f"{type(processor).__module__}.{type(processor).__qualname__}",
            processor.to_json_string(),
            repr(sorted(settings.items())),
            str(encode.max_pixels),
            *(f"{name} {_version(name)}" for name in PACKAGES),
        ]
    )


def _version(package: str) -> str:
    try:
        return version(package)
    except PackageNotFoundError:
        return "-"
