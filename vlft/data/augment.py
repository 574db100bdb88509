"""Images of training samples, varied anew in every epoch: cut, mirrored, changed by RandAugment.

What is drawn depends on seed, epoch and index of a sample alone, so it is the same in any worker,
on any number of processes, and in a run that is resumed.

The operations and their strengths are those with which BLIP and ADEM-VL train captions
(``util/randaugment.py`` of Hao840/ADEM-VL): RandAugment's without those that turn one color into
another. Here an image is varied at its own size, and shifts are shares of its sides.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from math import exp, log, sqrt
from typing import Any

import numpy as np
from PIL import Image, ImageEnhance, ImageOps

from vlft.data.images import open_image
from vlft.data.records import Conversation, ImageRef, Record, images_of
from vlft.recipe.data.augmentation import Augmentation

_STRETCH = 4 / 3  # how much the sides of a cut change against each other
_ATTEMPTS = 10  # to draw a cut that is inside; then all of the image is kept
_FILL = (128, 128, 128)  # what lies outside of an image that is moved
_STRONGEST = 10

Operation = Callable[[Image.Image, float], Image.Image]
"""An image and a strength from -1 to 1, whose sign is a direction."""


@dataclass(frozen=True)
class Varied:
    """Draws an image with changes.

    Attributes:
        ref: The image as it is.
        section: What is changed.
        draw: Seeds of what is drawn.
        dataset: Name of the data set.
        record_id: Id of the record.
        max_pixels: Larger images are refused before they are decoded.
    """

    ref: ImageRef
    section: Augmentation
    draw: tuple[int, ...]
    dataset: str
    record_id: str
    max_pixels: int

    def __call__(self) -> Image.Image:
        """Open the image and change it.

        Raises:
            RecordError: As ``open_image``.
        """
        image = open_image(
            self.ref, dataset=self.dataset, record_id=self.record_id, max_pixels=self.max_pixels
        )
        return vary(image, self.section, np.random.default_rng(self.draw))


@dataclass(frozen=True)
class Augment:
    """Varies the images of records.

    Attributes:
        section: What is changed.
        seed: Seed of all that is drawn.
        max_pixels: Larger images are refused before they are decoded.
    """

    section: Augmentation
    seed: int
    max_pixels: int

    def __call__(self, record: Record, *, epoch: int, index: int, dataset: str) -> Record:
        """Return a record whose images are varied when they are opened."""
        varied = [
            ImageRef(
                draw=Varied(
                    ref,
                    self.section,
                    (self.seed, epoch, index, number),
                    dataset,
                    record.id,
                    self.max_pixels,
                )
            )
            for number, ref in enumerate(images_of(record))
        ]
        changes: dict[str, Any] = (
            {"images": tuple(varied)} if isinstance(record, Conversation) else {"image": varied[0]}
        )
        return replace(record, **changes)


def vary(image: Image.Image, section: Augmentation, draw: np.random.Generator) -> Image.Image:
    """Return an image of the same size with the changes that are drawn."""
    if section.min_crop_area < 1:
        image = _cut(image, section.min_crop_area, draw)
    if section.flip and draw.random() < 0.5:
        image = ImageOps.mirror(image)
    names = list(OPERATIONS)
    for place in draw.integers(len(names), size=section.num_ops):
        done, sign = draw.random() < 0.5, draw.choice((-1, 1))
        if done:
            image = OPERATIONS[names[place]](image, float(sign) * section.magnitude / _STRONGEST)
    return image


def _cut(image: Image.Image, least: float, draw: np.random.Generator) -> Image.Image:
    for _ in range(_ATTEMPTS):
        area = draw.uniform(least, 1)
        stretch = exp(draw.uniform(-log(_STRETCH), log(_STRETCH)))
        width, height = sqrt(area * stretch), sqrt(area / stretch)
        if max(width, height) <= 1:
            break
    else:
        return image
    left, top = draw.uniform(0, 1 - width), draw.uniform(0, 1 - height)
    x, y = image.size
    box = (left * x, top * y, (left + width) * x, (top + height) * y)
    return image.resize(image.size, Image.Resampling.BICUBIC, box=box)


def _moved(
    image: Image.Image,
    *,
    shear: tuple[float, float] = (0.0, 0.0),
    shift: tuple[float, float] = (0.0, 0.0),
) -> Image.Image:
    """Shear around the center, and shift by shares of the sides."""
    (along_x, along_y), (right, down) = shear, shift
    x = -along_x * image.height / 2 - right * image.width
    y = -along_y * image.width / 2 - down * image.height
    return image.transform(
        image.size,
        Image.Transform.AFFINE,
        (1, along_x, x, along_y, 1, y),
        resample=Image.Resampling.BILINEAR,
        fillcolor=_FILL,
    )


def _enhanced(image: Image.Image, kind: Any, strength: float) -> Image.Image:
    return kind(image).enhance(0.1 + 1.8 * abs(strength))  # 1 leaves it as it is


_SHEAR = 0.3  # of the other side, at full strength
_SHIFT = 10 / 224  # of the side
_TURN = 30  # degrees

OPERATIONS: Mapping[str, Operation] = {
    "identity": lambda image, strength: image,
    "autocontrast": lambda image, strength: ImageOps.autocontrast(image),
    "brightness": lambda image, strength: _enhanced(image, ImageEnhance.Brightness, strength),
    "sharpness": lambda image, strength: _enhanced(image, ImageEnhance.Sharpness, strength),
    "equalize": lambda image, strength: ImageOps.equalize(image),
    "shear_x": lambda image, strength: _moved(image, shear=(_SHEAR * strength, 0.0)),
    "shear_y": lambda image, strength: _moved(image, shear=(0.0, _SHEAR * strength)),
    "translate_x": lambda image, strength: _moved(image, shift=(_SHIFT * strength, 0.0)),
    "translate_y": lambda image, strength: _moved(image, shift=(0.0, _SHIFT * strength)),
    "rotate": lambda image, strength: image.rotate(
        _TURN * strength, resample=Image.Resampling.BILINEAR, fillcolor=_FILL
    ),
}
"""Name to operation."""
