"""The ``full`` adapter section: no adapter, the towers themselves are trained."""

from typing import Literal

from vlft.recipe.section import Section


class FullAdapter(Section):
    """Full fine-tuning of every tower that ``towers`` does not freeze."""

    type: Literal["full"]
    """Adapter method."""
