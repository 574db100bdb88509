"""What an adapter is to the rest of vlft: a PEFT config with declared behavior."""

import copy
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from peft import PeftConfig
from torch import Tensor

from vlft.types import Backbone, Batch, Family, Outputs


@dataclass(frozen=True)
class Flags:
    """What may be relied on; contract tests are steered by these.

    Attributes:
        identity: At step 0 the model computes what its base computes.
        mergeable: The trained adapter can be folded into the base weights.
        mutates_base: Initialization changes base weights, so that disabling the live adapter does
            not give the base back (the exported adapter is converted, see ``mutation``).
    """

    identity: bool
    mergeable: bool
    mutates_base: bool


@dataclass(frozen=True)
class Adapter:
    """One method.

    Attributes:
        flags: Behavior for the options of a section.
        families: Kinds of host it works on.
        config: PEFT config for a section, the resolved module paths and the bare host; None trains
            the towers themselves.
        auxiliary_loss: An extra named loss from outputs and batch.
        unmergeable: Why no weights can hold what it has learned, and what to do instead; None: PEFT
            is asked to merge it.
    """

    flags: Callable[[Any], Flags]
    families: frozenset[Family]
    config: Callable[[Any, list[str], Backbone], PeftConfig] | None
    auxiliary_loss: Callable[[Outputs, Batch], Mapping[str, Tensor]] | None = None
    unmergeable: str | None = None


EVERY_FAMILY: frozenset[Family] = frozenset({"contrastive", "generative", "vision"})


def with_fields(config: PeftConfig, **fields: Any) -> PeftConfig:
    """Return a PEFT config with some fields changed; the original stays as it is."""
    changed = copy.deepcopy(config)
    for name, value in fields.items():
        setattr(changed, name, value)
    return changed
