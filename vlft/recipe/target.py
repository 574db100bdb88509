"""The ``target`` section: the published number that a recipe is after."""

from typing import Literal

from pydantic import Field, model_validator

from vlft.recipe.section import Contradiction, Section


class TargetSection(Section):
    """What the recipe should reach, according to whom, and whether it was run."""

    benchmark: str
    """Benchmark of ``eval/``."""
    metric: str
    """Metric of that benchmark."""
    value: float | None = None
    """Published value, in the metric's unit; null when none is known."""
    tolerance: float | None = Field(None, ge=0)
    """Accepted difference, in the metric's unit."""
    source: str
    """Paper and table of the value."""
    status: Literal["not_run", "reproduced", "missed"] = "not_run"
    """What our own run gave."""

    @model_validator(mode="after")
    def _status_needs_a_value(self) -> "TargetSection":
        if self.status != "not_run" and self.value is None:
            raise Contradiction(
                "status", "there is no published `value` to compare with: give it, or not_run"
            )
        return self
