"""The processes of one evaluation: who they are, and how they exchange what they found.

A launcher (``accelerate launch``, ``torchrun``) says in the environment how many there are. Every
process holds a whole model and answers its share; only plain objects are exchanged, over gloo, so
any launch file will do and no device takes part.
"""

import os
import sys
from collections.abc import Generator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from threading import Timer
from typing import Any, TypeVar

import torch
import torch.distributed as dist

from vlft.errors import EvaluationError, VlftError

LONGEST = timedelta(days=2)
"""How long processes wait for the slowest of them."""

PATIENCE = 5.0
"""Seconds after which a process that failed says so by itself."""

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
        """Return the values of all processes, by rank, to all of them.

        Raises:
            ElsewhereError: Another process failed inside ``alike``; with its message.
        """
        if self.size == 1:
            return [value]
        found = self._exchange(value, None)
        for rank, (_, failure) in enumerate(found):
            if failure is not None:
                raise ElsewhereError(f"{failure} (process {rank})")
        return [value for value, _ in found]

    @contextmanager
    def alike(self) -> Generator[None]:
        """Fail on all processes where one fails, so that all may go on with something else.

        The others hear of it when they exchange something next, at the latest when they are done.

        Raises:
            VlftError: The process's own error, or that of another.
        """
        try:
            yield
            self.gather(None)
        except ElsewhereError:
            raise
        except VlftError as error:
            if self.size > 1:
                # where the others have hours to go, nobody should have to wait for the message
                told = f"vlft: process {self.rank}: {error}\n"
                early = Timer(PATIENCE, sys.stderr.write, [told])
                early.start()
                self._exchange(None, str(error))
                early.cancel()
            raise

    def _exchange(self, value: Any, failure: str | None) -> list[Any]:
        found: list[Any] = [None] * self.size
        dist.all_gather_object(found, (value, failure))
        return found


class ElsewhereError(EvaluationError):
    """Another process of the evaluation failed."""


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
