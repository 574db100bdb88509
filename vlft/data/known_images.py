"""Records whose images were prepared before: known by their files, encoded without decoding one."""

from collections import OrderedDict
from collections.abc import Callable, Sequence
from copy import copy
from dataclasses import replace
from functools import partial
from hashlib import sha256
from importlib.metadata import PackageNotFoundError, version
from typing import Any, NamedTuple, TypeAlias

from PIL import Image
from torch import Tensor
from transformers import BatchFeature

from vlft.data.encode import ConversationEncoder
from vlft.data.encode_labeled import EncodedLabeled, LabeledEncoder
from vlft.data.encode_pair import EncodedPair, PairEncoder
from vlft.data.feature_store import FeatureStore, Seen
from vlft.data.images import content_of, image_size
from vlft.data.process import one_row_per_image
from vlft.data.records import Conversation, ImageRef, Labeled, Pair
from vlft.data.sample import EncodedConversation, images_in_order
from vlft.errors import DataError

AnyEncoder: TypeAlias = ConversationEncoder | PairEncoder | LabeledEncoder

AnyRecord: TypeAlias = Conversation | Pair | Labeled

AnySample: TypeAlias = EncodedConversation | EncodedPair | EncodedLabeled

RowsOf: TypeAlias = Callable[[Any, tuple[int, int]], int]

MOST_SIZES = 4096
"""Different sizes of images whose shapes are remembered while records are encoded."""

PACKAGES = ("vlft", "transformers", "pillow", "torchvision")
"""Packages that decode and prepare images: another version may do it in another way."""


class Found(NamedTuple):
    """A sample, and what its images are known by.

    Attributes:
        sample: Without image tensors where all images are known.
        sources: Of its images, in order; none where they cannot be found again.
        keys: Names of their rows; None: not known.
        counts: Rows of each image.
    """

    sample: AnySample
    sources: list[str]
    keys: list[str] | None
    counts: list[int]


class KnownImages:
    """Encodes records, and prepares only images that the store does not know.

    Args:
        encode: The encoder of the data set.
        store: Knows images by their sources.
        rows_of: Rows of features that a processor makes of an image of a size; None: always one.

    Attributes:
        finds: Whether images can be found by their sources; else all are prepared at each start.

    Raises:
        DataError: Rows of features do not follow from the images' number or sizes.
    """

    def __init__(self, encode: AnyEncoder, store: FeatureStore, rows_of: RowsOf | None) -> None:
        self._encode: Any = encode  # of a kind that fits its records
        self._store = store
        self._processor = encode.processor
        self._budget: int | None = None
        # a size that follows from the sample would be no matter of the image alone
        self.finds = True
        if isinstance(encode, ConversationEncoder):
            self.finds = encode.image_tokens is None and encode.overlong != "shrink_image"
            self._budget = encode.image_tokens
        self._rows_of = rows_of
        is_fixed = _gives_one_row(encode)
        if rows_of is None and not is_fixed:
            raise DataError(
                "data.cache_vision_features: this host's processor cuts images into parts, and "
                "vlft does not know how many: switch that off in the processor, or leave the "
                "cache off"
            )
        self._blind = _blind(encode, by_size=not is_fixed)
        self._preparation = _preparation(encode)
        self._by_place: dict[Any, str] = {}

    def __call__(self, record: AnyRecord, *, dataset: str) -> Found:
        """Encode a record.

        Raises:
            RecordError: As the encoder.
        """
        sources = self.sources(record, dataset=dataset) if self.finds else []
        seen = [one for one in map(self._store.seen, sources) if one is not None]
        if not self.finds or len(seen) < len(sources):
            sample = self._encode(record, dataset=dataset)
            return Found(sample, sources, None, self._counts(sample))
        sample = self._blind(_stand_ins(record, seen), dataset=dataset)
        return Found(sample, sources, [one.key for one in seen], self._counts(sample))

    def many(self, records: Sequence[AnyRecord], *, dataset: str) -> list[Found]:
        """Encode several records."""
        return [self(record, dataset=dataset) for record in records]

    def sources(self, record: AnyRecord, *, dataset: str) -> list[str]:
        """Return what the images of a record are known by, in order; none of them is decoded.

        Raises:
            RecordError: A file is missing.
        """
        return [self._source(ref, dataset, record.id) for ref in shown(record)]

    def most_rows(self, ref: ImageRef, *, dataset: str, record_id: str) -> int:
        """Return how many rows of features an image has at most, from its header.

        Raises:
            RecordError: It has none that can be read.
        """
        if self._rows_of is None:
            return 1
        size = image_size(
            ref, dataset=dataset, record_id=record_id, max_pixels=self._encode.max_pixels
        )
        rows = self._rows_of(self._processor, size)
        return rows if self._budget is None else min(rows, self._budget)

    def _counts(self, sample: AnySample) -> list[int]:
        sizes = sizes_of(sample)
        if self._rows_of is None:
            return [1] * len(sizes)
        return [self._rows_of(self._processor, size) for size in sizes]

    def _source(self, ref: ImageRef, dataset: str, record_id: str) -> str:
        place = place_of(ref)
        if place is None or place not in self._by_place:
            content = content_of(ref, dataset=dataset, record_id=record_id)
            source = sha256(f"{self._preparation} {content}".encode()).hexdigest()[:32]
            if place is None:
                return source
            self._by_place[place] = source
        return self._by_place[place]


def shown(record: AnyRecord) -> list[ImageRef]:
    """Return the images of a record in the order in which its sample has them."""
    if isinstance(record, Conversation):
        return [record.images[index] for index in images_in_order(record)]
    return [record.image]


def sizes_of(sample: AnySample) -> tuple[tuple[int, int], ...]:
    """Return the images' sizes in pixels where anything follows from them, else 1."""
    return sample.image_sizes if isinstance(sample, EncodedConversation) else ((1, 1),)


def place_of(ref: ImageRef) -> Any:
    """Return what is equal for references to one image; None where only its content tells."""
    return None if ref.path is None else (ref.root, ref.path, ref.box)


class _Shapes:
    """An image processor that gives tensors of the shape that the real one makes of images.

    Args:
        real: The real one, which gets gray images.
        by_size: Whether the shape depends on the images' sizes, and not on their number alone.
    """

    def __init__(self, real: Any, *, by_size: bool) -> None:
        self._real = real
        self._by_size = by_size
        self._made: OrderedDict[str, dict[str, Any]] = OrderedDict()

    def __getattr__(self, name: str) -> Any:
        if name.startswith("_"):  # also what copying asks for before there is a real one
            raise AttributeError(name)
        return getattr(self._real, name)

    def __call__(self, images: Any, **options: Any) -> BatchFeature:
        gray = _gray(images, by_size=self._by_size)
        name = f"{_sizes(gray)} {options}"
        if name not in self._made:
            made = self._real(images=gray, **options)
            self._made[name] = {key: _hollow(value) for key, value in made.items()}
            if len(self._made) > MOST_SIZES:
                self._made.popitem(last=False)
        return BatchFeature(dict(self._made[name]))


def _gray(images: Any, *, by_size: bool) -> Any:
    """Return gray images of the same sizes, or small ones, in the same lists."""
    if isinstance(images, list | tuple):
        return [_gray(one, by_size=by_size) for one in images]
    return Image.new("RGB", images.size if by_size else (28, 28), (127, 127, 127))


def _sizes(images: Any) -> Any:
    return [_sizes(one) for one in images] if isinstance(images, list) else images.size


def _hollow(value: Any) -> Any:
    """Return a tensor of the same shape that takes no memory; whole numbers stay."""
    floating = isinstance(value, Tensor) and value.is_floating_point()
    return value.new_ones(()).expand(value.shape) if floating else value


def _blind(encode: AnyEncoder, *, by_size: bool) -> Any:
    """Return an encoder that looks at no image."""
    blind = copy(encode)
    if isinstance(blind, LabeledEncoder):
        blind.processor = _Shapes(encode.processor, by_size=by_size)
        return blind
    blind.processor = copy(encode.processor)
    blind.processor.image_processor = _Shapes(encode.processor.image_processor, by_size=by_size)
    if isinstance(blind, ConversationEncoder) and not blind.beside:
        blind.host = None  # which would count what is no image
    return blind


def _gives_one_row(encode: AnyEncoder) -> bool:
    if not isinstance(encode, ConversationEncoder) or encode.beside:
        return True
    return one_row_per_image(encode.processor)


def _stand_ins(record: AnyRecord, seen: list[Seen]) -> AnyRecord:
    """Return a record with images of the same sizes that cost nothing."""
    drawn = [ImageRef(draw=partial(Image.new, "L", (one.width, one.height))) for one in seen]
    if not isinstance(record, Conversation):
        return replace(record, image=drawn[0])
    refs = list(record.images)
    for index, ref in zip(images_in_order(record), drawn, strict=True):
        refs[index] = ref
    return replace(record, images=tuple(refs))


def _preparation(encode: AnyEncoder) -> str:
    """Return all that decides what is made of an image, beside its file."""
    settings = {}
    if isinstance(encode, ConversationEncoder) and encode.beside and encode.host:
        settings = encode.host.fewest(encode.processor)
    alone = isinstance(encode, LabeledEncoder)
    processor = encode.processor if alone else encode.processor.image_processor
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
