"""Several data sets as one."""

from typing import Annotated, Literal, TypeAlias

from pydantic import Field, model_validator

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
from vlft.recipe.data.scenes import Scenes
from vlft.recipe.section import Contradiction, Section

Measurable: TypeAlias = (
    Messages | ShareGpt | LlavaJson | QuestionAnswer | Pairs | LabeledImages | ScienceQA | Scenes
)
"""What is trained on and measured on, a record each."""

Member: TypeAlias = Measurable | Captions  # which has a record for every caption of an image

MemberSection = Annotated[Member, Field(discriminator="type")]
"""A data set that is no mixture."""


class Mixture(Section):
    """Several data sets, mixed by weight; validation reads each of them once."""

    type: Literal["mixture"]
    """Several data sets as one."""
    datasets: tuple[MemberSection, ...]
    """The data sets, each a section of its own."""
    weights: tuple[float, ...] | None = None
    """Share of each data set in the samples of an epoch, in any unit; null: by size."""
    num_samples: int | None = Field(None, gt=0)
    """Length of an epoch in samples; null: the sizes of all data sets together."""
    homogeneous_batches: bool = False
    """Take every micro batch, over all processes, from one data set."""

    @model_validator(mode="after")
    def _weights_fit(self) -> "Mixture":
        if not self.datasets:
            raise Contradiction("datasets", "expected at least one data set")
        if self.weights is None:
            return self
        if len(self.weights) != len(self.datasets):
            raise Contradiction(
                "weights",
                f"found {len(self.weights)} weights for {len(self.datasets)} data sets: give one "
                "for each, or leave them out to mix by size",
            )
        if any(weight <= 0 for weight in self.weights):
            raise Contradiction("weights", "expected numbers above 0; leave such a data set out")
        return self
