"""The ``towers`` table: which parts of the host are trained, and how fast."""

from collections.abc import Mapping
from typing import Any, Literal, TypeAlias

from pydantic import Field

from vlft.recipe.section import Section

TowerName = Literal["vision", "projector", "language", "text", "head"]

FUSER: Literal["fuser"] = "fuser"
"""What all layers of a ``dehvf`` adapter share: no part of the host, but with a rate of its own."""

PartName = Literal[TowerName, "fuser"]


class Tower(Section):
    """One tower of the host."""

    train: Literal["frozen", "full"] | None = None
    """``full``: all weights of the tower are trained. Null: ``full`` under ``adapter: full``, else
    ``frozen`` (adapters placed on the tower are trained either way)."""
    learning_rate: float | None = Field(None, ge=0)
    """Peak rate for everything trained in this tower, adapters included; null: that of
    ``training``."""
    weight_decay: float | None = Field(None, ge=0)
    """Decay for everything trained in this tower; null: that of ``training``."""


Towers: TypeAlias = Mapping[Any, Tower]
"""Settings by name of the tower, as the recipe's ``towers`` gives them."""
