"""Keys and types of neighboring frameworks, answered with ours.

The keys are those of LLaMA-Factory, ms-swift, TRL, Axolotl, LLaVA's scripts and older
``transformers``. A key with no counterpart is answered with the reason or the way around. No key
of our own schema stands here: those are answered with the section that they belong to.
"""

from vlft.recipe.foreign.answers import PIXELS
from vlft.recipe.foreign.data import DATA, OBJECTIVE
from vlft.recipe.foreign.model import ADAPTER, HOST, TOWERS
from vlft.recipe.foreign.training import LAUNCH, TRAINING
from vlft.recipe.foreign.types import TYPES

KEYS: dict[str, str] = {**HOST, **ADAPTER, **TOWERS, **DATA, **OBJECTIVE, **TRAINING, **LAUNCH}
"""Foreign key to what to write here, or why there is nothing to write."""

HOMONYMS: dict[str, str] = {"image_size": PIXELS}
"""Foreign keys that a section of ours has too, with another meaning: Axolotl's size to scale images
to, and the side of a drawn scene."""

__all__ = ["HOMONYMS", "KEYS", "TYPES"]
