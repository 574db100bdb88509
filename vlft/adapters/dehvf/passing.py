"""What a part of a call leaves for a later part of it, apart for each thread."""

import threading
from typing import Any

from vlft.adapters.dehvf.memory import Memory

Memories = dict[str, Memory]
"""By the adapter's name."""


class Passing(threading.local):
    """Memories on their way through a call; each thread sees its own, and a copy starts without.

    When checkpointing runs a layer again, whoever leaves something here and whoever takes it run in
    one thread, autograd's own on a GPU.

    Attributes:
        memories: Of the forward pass that runs now.
        held: Of the generation that runs now; None: there is none.
    """

    def __init__(self) -> None:
        self.memories: Memories = {}
        self.held: Memories | None = None

    def __reduce__(self) -> tuple[Any, ...]:
        """Copy and pickle as an empty one: what is on its way belongs to a call of the original."""
        return (type(self), ())

    def take(self) -> Memories:
        """Return the memories and leave none behind."""
        found, self.memories = self.memories, {}
        return found
