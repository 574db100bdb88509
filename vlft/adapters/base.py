"""What an adapter is to the rest of vlft: a PEFT config with declared behavior."""

import copy
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple, Protocol, TypeAlias, runtime_checkable

from jaxtyping import Bool, Float
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


class Pair(NamedTuple):
    """A layer's factors at step 0, and what their product is multiplied by."""

    a: Float[Tensor, "r columns"]
    b: Float[Tensor, "rows r"]
    scale: float


Start: TypeAlias = Mapping[str, Pair]
"""Step-0 factors by the path of the layer in the bare host."""


class Counted(NamedTuple):
    """A calibration batch, and which of its tokens count (None: all)."""

    batch: Batch
    mask: Bool[Tensor, "batch tokens"] | None = None


class Note(NamedTuple):
    """What was measured for a layer.

    Attributes:
        mode: As of its adapter.
        r: Rank of its LoRA.
        tokens: Calibration tokens that it saw.
        calls: Calls with any.
        width: Of its input.
        effective_rank: Of its input's second moment: its width where all directions carry equally.
        damping: What was added to that moment, as a share of its mean.
    """

    mode: str
    r: int
    tokens: int
    calls: int
    width: int
    effective_rank: float
    damping: float


@dataclass(frozen=True)
class Prepared:
    """What preparation found.

    Attributes:
        start: Factors of the layers that were prepared; any other starts plainly.
        notes: What was measured for each of these layers.
        unseen: Layers that calibration data did not reach.
    """

    start: Start
    notes: Mapping[str, Note] = field(default_factory=dict)
    unseen: tuple[str, ...] = ()

    @property
    def facts(self) -> dict[str, Any]:
        """What was measured, as plain values."""
        layers = {path: note._asdict() for path, note in self.notes.items()}
        return {"layers": layers, "unseen": self.unseen}


@runtime_checkable
class Prepare(Protocol):
    """Finds step-0 factors on calibration data; every process calls it."""

    def __call__(
        self,
        backbone: Backbone,
        section: Any,
        batches: Sequence[Iterable[Counted]],
        run: Callable[[Batch], object],
    ) -> Prepared:
        """Prepare; the host is run, and not changed.

        Args:
            backbone: The bare host, in evaluation mode.
            section: The recipe's ``adapter``.
            batches: This process's share of each data set of ``section.calibrations``.
            run: Runs the host on a batch.
        """
        ...


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
        prepare: Finds where to start on calibration data, before the adapter is placed.
    """

    flags: Callable[[Any], Flags]
    families: frozenset[Family]
    config: Callable[[Any, list[str], Backbone], PeftConfig] | None
    auxiliary_loss: Callable[[Outputs, Batch], Mapping[str, Tensor]] | None = None
    unmergeable: str | None = None
    prepare: Prepare | None = None


EVERY_FAMILY: frozenset[Family] = frozenset({"contrastive", "generative", "vision"})


def with_fields(config: PeftConfig, **fields: Any) -> PeftConfig:
    """Return a PEFT config with some fields changed; the original stays as it is."""
    changed = copy.deepcopy(config)
    for name, value in fields.items():
        setattr(changed, name, value)
    return changed
