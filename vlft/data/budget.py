"""What a host makes of images: the check of placeholders, and the budget of image tokens."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

from torch import Tensor
from transformers import PreTrainedConfig

from vlft.backbones.image_text_to_text import image_tokens_of
from vlft.backbones.image_tokens import BySetting, BySize, ImageTokens, Settings, Size
from vlft.data.records import count_of_images


@dataclass(frozen=True)
class HostImages:
    """A host's way with images.

    Attributes:
        config: Configuration of the model.
        family: How its family turns images into tokens.
    """

    config: PreTrainedConfig
    family: ImageTokens

    @property
    def placeholder(self) -> int:
        """Id of the token that image features replace."""
        return self.config.image_token_id

    def features(self, image_inputs: Mapping[str, Tensor]) -> int | None:
        """Return how many features the host makes of image tensors; None where that is unknown."""
        return self.family.features(self.config, image_inputs)

    def fewest(self, processor: Any) -> Settings:
        """Return settings of the image processor with which a small image has the fewest tokens."""
        flexible = self.family.flexible
        return flexible.fewest(processor) if isinstance(flexible, BySetting) else {}


def host_images(model: Any) -> HostImages | None:
    """Return a generative host's way with images; None without a table, or without images."""
    family = image_tokens_of(model.config)
    return None if family is None else HostImages(model.config, family)


def mismatch(found: int, expected: int, token: int, sizes: Sequence[Size]) -> str:
    """Say that placeholders and image features differ in number."""
    listed = ", ".join(f"{width} x {height}" for width, height in sizes)
    return (
        f"placeholder mismatch: {found} placeholder tokens (id {token}) for "
        f"{count_of_images(len(sizes))} of {listed} pixels, expected {expected}, the number of "
        "features that the host makes of them; the processor does not fit the host "
        "(patch size, image size or feature strategy)"
    )


class Fitted(NamedTuple):
    """How the images of a sample are encoded within a budget.

    Attributes:
        sizes: Width and height to which each image is scaled.
        settings: Keyword arguments of the image processor.
    """

    sizes: tuple[Size, ...]
    settings: Settings


def fit_images(
    sizes: Sequence[Size], *, family: ImageTokens, processor: Any, budget: int
) -> Fitted | None:
    """Find out how images have at most so many tokens together.

    A sample that is within the budget is left as it is, and so is every sample of a family with a
    fixed number of tokens for each image.

    Args:
        sizes: Width and height of each image, in pixels.
        family: How the host turns images into tokens.
        processor: The host's processor.
        budget: Most tokens.

    Returns:
        What to do, or None where nothing helps.

    Raises:
        ValueError: The processor refuses the shape of an image.
    """
    flexible = family.flexible
    as_it_is = Fitted(tuple(sizes), {})
    if flexible is None or sum(flexible.count(processor, size) for size in sizes) <= budget:
        return as_it_is
    if isinstance(flexible, BySetting):
        settings = flexible.choose(processor, sizes, budget)
        return None if settings is None else as_it_is._replace(settings=settings)
    fitted = _shared(sizes, flexible, processor, budget)
    return None if fitted is None else Fitted(tuple(fitted), {})


def _shared(
    sizes: Sequence[Size], family: BySize, processor: Any, budget: int
) -> list[Size] | None:
    """Give images equal shares; what a small one leaves of its share goes to larger ones."""
    counts = [family.count(processor, size) for size in sizes]
    fitted = list(sizes)
    left = budget
    ascending = sorted(range(len(sizes)), key=counts.__getitem__)
    for place, index in enumerate(ascending):
        share = left // (len(sizes) - place)
        if counts[index] > share:
            smaller = family.fit(processor, sizes[index], share)
            if smaller is None:
                return None
            fitted[index] = smaller
        left -= family.count(processor, fitted[index])
    return fitted
