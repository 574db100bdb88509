"""Full fine-tuning: no adapter, the towers themselves are trained."""

from vlft.adapters.base import EVERY_FAMILY, Adapter, Flags
from vlft.recipe.adapter import FullAdapter


def full_flags(section: FullAdapter) -> Flags:
    """Nothing is added, so step 0 is the base; there is nothing to merge or to disable."""
    return Flags(identity=True, mergeable=False, mutates_base=False)


FULL = Adapter(flags=full_flags, families=EVERY_FAMILY, config=None)
