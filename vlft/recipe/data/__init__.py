"""The ``data`` section: one module per group of formats, chosen by ``type``."""

from typing import Annotated, Literal

from pydantic import Field

from vlft.recipe.data.augmentation import Augmentation
from vlft.recipe.data.files import (
    Captions,
    LabeledImages,
    LlavaJson,
    Messages,
    Pairs,
    QuestionAnswer,
    ScienceQA,
    ShareGpt,
)
from vlft.recipe.data.mixture import Member, MemberSection, Mixture
from vlft.recipe.data.scenes import Scenes
from vlft.recipe.section import Section

MAX_IMAGE_PIXELS = 40_000_000
"""Largest image (width times height) that is read where nothing else is said."""

DatasetSection = Annotated[Member | Mixture, Field(discriminator="type")]


class DataSection(Section):
    """What is trained on, what is validated on, and how samples are made."""

    train: DatasetSection | None = None
    """Training set; null only for recipes that are shown or completed on the command line."""
    validation: DatasetSection | None = None
    """Held-out set for ``eval_loss``, the best checkpoint and early stopping."""
    on_bad_record: Literal["error", "skip"] = "error"
    """A record that cannot be read: stop, or leave it out and list it in the run directory."""
    max_length: int | None = Field(None, gt=0)
    """Longest sample in tokens, image tokens included; longer text is cut from its end."""
    overlong: Literal["error", "drop", "shrink_image"] = "error"
    """When cutting text is not enough (image tokens are never cut)."""
    image_tokens_per_sample: int | None = Field(None, gt=0)
    """Most image tokens of one sample, over all of its images; larger images are scaled down
    before they are encoded. Null: what the host's processor makes of them."""
    augmentation: Augmentation | None = None
    """How the images of training samples are varied; those of ``validation`` never are. Null: not
    at all."""
    cache_vision_features: bool = False
    """Keep what a frozen vision tower makes of each image on disk, below ``VLFT_CACHE``: it then
    runs once per image and not in every epoch. The size is said beforehand."""
    max_image_pixels: int = Field(MAX_IMAGE_PIXELS, gt=0)
    """Refuse a larger image (width times height) before it is decoded."""


__all__ = [
    "MAX_IMAGE_PIXELS",
    "Augmentation",
    "Captions",
    "DataSection",
    "DatasetSection",
    "LabeledImages",
    "LlavaJson",
    "MemberSection",
    "Messages",
    "Mixture",
    "Pairs",
    "QuestionAnswer",
    "Scenes",
    "ScienceQA",
    "ShareGpt",
]
