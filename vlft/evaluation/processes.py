"""The processes of one evaluation: who they are, and how they exchange what they found.

A launcher (``accelerate launch``, ``torchrun``) says in the environment how many there are. Every
process holds a whole model and answers its share; only plain objects are exchanged, over gloo, so
any launch file will do and no device takes part.
"""

import os
from collections.abc import Generator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, TypeVar

import torch
import torch.distributed as dist

LONGEST = timedelta(days=2)
"""How long processes wait for the slowest of them."""

Value = TypeVar("Value")


@dataclass(frozen=True)
class Processes:
    """A process among its like.

    Attributes:
        rank: Its number, 0 first.
        size: How many there are.
        local_rank: Its number on this machine.
    """

    rank: int = 0
    size: int = 1
    local_rank: int = 0

    @property
    def is_main(self) -> bool:
        """Whether it is the one that prints and writes results."""
        return self.rank == 0

    @property
    def device(self) -> torch.device:
        """The GPU that is its own, or the CPU."""
        use_cpu = os.environ.get("ACCELERATE_USE_CPU", "false").lower() in ("true", "1", "yes")
        if use_cpu or not torch.cuda.is_available():
            return torch.device("cpu")
        return torch.device("cuda", self.local_rank % torch.cuda.device_count())

    def gather(self, value: Value) -> list[Value]:
        """Return the values of all processes, by rank, to all of them."""
        if self.size == 1:
            return [value]
        found: list[Any] = [None] * self.size
        dist.all_gather_object(found, value)
        return found


ALONE = Processes()


@contextmanager
def launched() -> Generator[Processes]:
    """Join the processes that a launcher started; without a launcher, the one process is alone."""
    size = int(os.environ.get("WORLD_SIZE", "1"))
    if size == 1:
        yield ALONE
        return
    dist.init_process_group("gloo", timeout=LONGEST)
    try:
        yield Processes(dist.get_rank(), size, int(os.environ.get("LOCAL_RANK", "0")))
    finally:
        dist.destroy_process_group()
