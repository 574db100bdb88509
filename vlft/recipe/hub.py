"""The ``hub`` section: where a run is published."""

import re
from typing import Literal

from pydantic import field_validator

from vlft.recipe.section import Section


class HubSection(Section):
    """Publishing of the run directory."""

    repo_id: str | None = None
    """``user/name``; null: nothing is pushed."""
    strategy: Literal["end"] = "end"
    """Push once, when training has ended."""

    @field_validator("repo_id")
    @classmethod
    def _user_and_name(cls, value: str | None) -> str | None:
        if value is not None and not re.fullmatch(r"[\w.-]+/[\w.-]+", value):
            raise ValueError("expected user/name")
        return value
