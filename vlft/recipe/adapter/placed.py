"""Where an adapter attaches: fields shared by every method that is placed on modules."""

import re
from collections import Counter
from typing import Any

from pydantic import field_validator, model_validator

from vlft.recipe.section import Contradiction, Section


class Placed(Section):
    """An adapter that attaches to named places of the host."""

    sites: tuple[str, ...] = ()
    """Names of places, such as ``language.attention`` (``vlft show RECIPE --model`` lists them)."""
    target_modules: str | None = None
    """Regular expression over full module names, for a place that has no name; it may be given
    beside ``sites``."""

    @field_validator("target_modules", mode="before")
    @classmethod
    def _one_pattern(cls, value: Any) -> Any:
        if isinstance(value, list | tuple):
            suffixes = "|".join(map(str, value))
            raise ValueError(  # noqa: TRY004  pydantic reads ValueError only
                "expected one regular expression over full module names, which also says in which "
                f"tower: '.*language_model.*\\.({suffixes})'; or use `sites`"
            )
        return value

    @field_validator("target_modules")
    @classmethod
    def _compiles(cls, value: str | None) -> str | None:
        try:
            re.compile(value or "")
        except re.error as error:
            raise ValueError(f"not a regular expression: {error}") from None
        return value

    @model_validator(mode="after")
    def _placed(self) -> "Placed":
        if not self.sites and not self.target_modules:
            raise Contradiction(
                "sites",
                "nothing says where the adapter goes: give `sites`, such as "
                "[language.attention], or `target_modules`, a regular expression",
            )
        twice = [site for site, count in Counter(self.sites).items() if count > 1]
        if twice:
            raise Contradiction("sites", f"{twice[0]!r} is named twice")
        return self
