"""The ``data`` section: one module per group of formats, chosen by ``type``."""

from typing import Annotated, Literal

from pydantic import Field

from vlft.recipe.data.files import LlavaJson, Messages, Pairs, ScienceQA
from vlft.recipe.data.scenes import Scenes
from vlft.recipe.section import Section

DatasetSection = Annotated[
    Messages | LlavaJson | Pairs | ScienceQA | Scenes, Field(discriminator="type")
]


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


__all__ = ["DataSection", "DatasetSection", "LlavaJson", "Messages", "Pairs", "Scenes", "ScienceQA"]
