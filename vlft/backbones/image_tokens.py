"""How many tokens an image becomes, per family: of tensors, of a size, and how to get fewer.

The arithmetic asks the image processors of transformers, so that a checkpoint's own settings count.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

from torch import Tensor
from transformers import PreTrainedConfig
from transformers.models.got_ocr2.image_processing_got_ocr2 import get_optimal_tiled_canvas

Size: TypeAlias = tuple[int, int]
"""Width and height in pixels."""

Settings: TypeAlias = Mapping[str, Any]
"""Keyword arguments of an image processor's call."""

Features: TypeAlias = Callable[[PreTrainedConfig, Mapping[str, Tensor]], int | None]
Count: TypeAlias = Callable[[Any, Size], int]
Fit: TypeAlias = Callable[[Any, Size, int], Size | None]
Choose: TypeAlias = Callable[[Any, Sequence[Size], int], Settings | None]

_SHORTEST_SIDE = 16  # pixels; scaling alone goes no further, then the longer side is squeezed
_HALVINGS = 12  # of the interval in which the scale is searched


@dataclass(frozen=True)
class BySize:
    """A family whose number of tokens follows the size of an image.

    Attributes:
        count: Tokens that a processor makes of an image of a size.
        fit: The largest size with at most so many tokens, close to the image's own shape; None
            where no image has so few.
    """

    count: Count
    fit: Fit


@dataclass(frozen=True)
class BySetting:
    """A family that scales images up before it cuts them, so that their size does not matter.

    Attributes:
        count: Tokens that a processor makes of an image of a size.
        choose: The settings with the most tiles at which images together have at most so many
            tokens; None where there are none.
        fewest: The settings with which an image has the fewest tokens.
    """

    count: Count
    choose: Choose
    fewest: Callable[[Any], Settings]


@dataclass(frozen=True)
class ImageTokens:
    """How a family turns images into tokens.

    Attributes:
        features: Features that a host makes of image tensors, one for each placeholder; None where
            its vision tower is one that the formula does not hold for.
        flexible: How to get fewer; None: every image becomes equally many.
    """

    features: Features
    flexible: BySize | BySetting | None = None


def _llava_features(config: PreTrainedConfig, inputs: Mapping[str, Tensor]) -> int | None:
    vision = config.vision_config
    if vision.model_type not in ("clip_vision_model", "siglip_vision_model"):
        return None
    patches = (vision.image_size // vision.patch_size) ** 2
    class_tokens = int(vision.model_type == "clip_vision_model")
    dropped = int(config.vision_feature_select_strategy == "default")
    return len(inputs["pixel_values"]) * (patches + class_tokens - dropped)


def _qwen_features(config: PreTrainedConfig, inputs: Mapping[str, Tensor]) -> int:
    patches = inputs["image_grid_thw"].prod(dim=-1).sum()
    return int(patches) // config.vision_config.spatial_merge_size**2


def _idefics_features(config: PreTrainedConfig, inputs: Mapping[str, Tensor]) -> int:
    pixels = inputs["pixel_values"]
    tiles = int(pixels.flatten(2).any(dim=-1).sum())  # rows are filled up with tiles of zeros
    side = config.vision_config.patch_size
    patches = (pixels.shape[-2] // side) * (pixels.shape[-1] // side)
    return tiles * (patches // config.scale_factor**2)


def _paligemma_features(config: PreTrainedConfig, inputs: Mapping[str, Tensor]) -> int:
    vision = config.vision_config
    return len(inputs["pixel_values"]) * (vision.image_size // vision.patch_size) ** 2


def _gemma3_features(config: PreTrainedConfig, inputs: Mapping[str, Tensor]) -> int:
    return len(inputs["pixel_values"]) * config.mm_tokens_per_image


def _internvl_features(config: PreTrainedConfig, inputs: Mapping[str, Tensor]) -> int:
    tiles, _, height, width = inputs["pixel_values"].shape
    rows, cols = config.vision_config.patch_size
    return tiles * int((height // rows) * (width // cols) * config.downsample_ratio**2)


def _qwen_count(processor: Any, size: Size) -> int:
    images = processor.image_processor
    return images.get_number_of_image_patches(size[1], size[0]) // images.merge_size**2


def _idefics_count(processor: Any, size: Size, settings: Settings | None = None) -> int:
    images = processor.image_processor
    tiles, _, _ = images.get_number_of_image_patches(size[1], size[0], settings)
    return max(1, tiles) * processor.image_seq_len  # 0 stands for an image that is not cut


def _idefics_choose(processor: Any, sizes: Sequence[Size], limit: int) -> Settings | None:
    tile = processor.image_processor.max_image_size["longest_edge"]
    longest = processor.image_processor.size["longest_edge"]
    for side in range(longest // tile, 0, -1):
        settings = _idefics_settings(processor, side)
        if sum(_idefics_count(processor, size, settings) for size in sizes) <= limit:
            return settings
    return None


def _idefics_settings(processor: Any, side: int = 1) -> Settings:
    """Settings that scale an image to so many tiles along its longer side."""
    return {
        "size": {"longest_edge": side * processor.image_processor.max_image_size["longest_edge"]}
    }


def _internvl_count(processor: Any, size: Size) -> int:
    tiles = processor.image_processor.get_number_of_image_patches(
        size[1], size[0], processor.images_kwargs
    )
    return tiles * processor.image_seq_length


def _by_scaling(count: Count) -> BySize:
    """For families whose tokens fall as an image is scaled down."""

    def fits(processor: Any, size: Size, limit: int) -> bool:
        try:
            return count(processor, size) <= limit
        except ValueError:  # a shape that the processor refuses
            return False

    def fit(processor: Any, size: Size, limit: int) -> Size | None:
        smallest = min(1.0, _SHORTEST_SIDE / min(size))
        if not fits(processor, _scaled(size, smallest), limit):
            return squeezed(processor, _scaled(size, smallest), limit)
        too_large, fitting = 1.0, smallest
        for _ in range(_HALVINGS):
            middle = (too_large + fitting) / 2
            if fits(processor, _scaled(size, middle), limit):
                fitting = middle
            else:
                too_large = middle
        return _scaled(size, fitting)

    def squeezed(processor: Any, size: Size, limit: int) -> Size | None:
        """Shorten the longer side of an image that is too long for its limit at any scale."""
        shorter, longer = sorted(size)
        while longer > shorter:
            longer = max(shorter, int(longer * 0.9))
            shape = (longer, shorter) if size[0] > size[1] else (shorter, longer)
            if fits(processor, shape, limit):
                return shape
        return None

    return BySize(count, fit)


def _internvl_fit(processor: Any, size: Size, limit: int) -> Size | None:
    """The tiles follow an image's shape, so take the shape of the best grid with few enough."""
    images = processor.image_processor
    tiles = limit // processor.image_seq_length
    if tiles < 1:
        return None
    side = (images.size.height, images.size.width)
    most = max(1, tiles - 1)  # several tiles come with an overview
    columns, rows = get_optimal_tiled_canvas((size[1], size[0]), side, 1, most)
    return columns * side[1], rows * side[0]


def _scaled(size: Size, factor: float) -> Size:
    return max(1, round(size[0] * factor)), max(1, round(size[1] * factor))


LLAVA = ImageTokens(_llava_features)
QWEN_VL = ImageTokens(_qwen_features, _by_scaling(_qwen_count))
IDEFICS = ImageTokens(
    _idefics_features, BySetting(_idefics_count, _idefics_choose, _idefics_settings)
)
PALIGEMMA = ImageTokens(_paligemma_features)
GEMMA3 = ImageTokens(_gemma3_features)
INTERNVL = ImageTokens(_internvl_features, BySize(_internvl_count, _internvl_fit))
