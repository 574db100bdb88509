"""CorDA as an adapter: it starts from its preparation, and is a plain LoRA from then on."""

from vlft.adapters.base import EVERY_FAMILY, Adapter, Flags
from vlft.adapters.corda.plan import corda_config
from vlft.adapters.corda.prepare import prepare
from vlft.recipe.adapter import CordaAdapter


def corda_flags(section: CordaAdapter) -> Flags:
    """The base loses what the factors hold; with ``save: residual`` it is the run's own base."""
    return Flags(identity=True, mergeable=True, mutates_base=section.save == "portable")


CORDA = Adapter(flags=corda_flags, families=EVERY_FAMILY, config=corda_config, prepare=prepare)
