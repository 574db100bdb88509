"""What every recipe section has in common: unknown keys are refused, values are frozen."""

from pydantic import BaseModel, ConfigDict


class Section(BaseModel):
    """A part of a recipe. Frozen; an unknown key is an error."""

    model_config = ConfigDict(
        extra="forbid", frozen=True, use_attribute_docstrings=True, allow_inf_nan=False
    )


class Contradiction(ValueError):  # noqa: N818  read in the sections as what it says
    """Fields of one section that exclude each other.

    Args:
        field: The field that is reported, with its line.
        message: What does not fit and the nearest thing that works.
    """

    def __init__(self, field: str, message: str) -> None:
        super().__init__(message)
        self.field = field
