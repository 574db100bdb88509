"""Stop at a loss that is not a number, without waiting for the device at every step."""

from collections import deque
from dataclasses import dataclass

import torch
from torch import Tensor

from vlft.errors import NonFiniteLossError


@dataclass(frozen=True)
class _Watched:
    value: Tensor
    ready: torch.cuda.Event | None
    record_ids: tuple[str, ...]
    step: int


class FiniteLossGuard:
    """Looks at every loss as soon as it has reached the host.

    On a CPU that is at once. On a GPU the value is copied without blocking and looked at in a later
    call, when the copy is done; ``flush`` waits, and is called before anything is saved.
    """

    def __init__(self) -> None:
        self._pending: deque[_Watched] = deque()

    def watch(self, loss: Tensor, *, record_ids: list[str], step: int) -> None:
        """Take note of a loss.

        Args:
            loss: Detached scalar.
            record_ids: Records of the batch it belongs to.
            step: Optimizer steps done before it.

        Raises:
            NonFiniteLossError: For this or an earlier loss.
        """
        ready = None
        if loss.device.type == "cuda":
            host = torch.empty((), dtype=loss.dtype, pin_memory=True)
            loss = host.copy_(loss, non_blocking=True)
            ready = torch.cuda.Event()
            ready.record()
        self._pending.append(_Watched(loss, ready, tuple(record_ids), step))
        while self._pending and (self._pending[0].ready is None or self._pending[0].ready.query()):
            self._check(self._pending.popleft())

    def flush(self) -> None:
        """Look at every loss that is still on its way.

        Raises:
            NonFiniteLossError: For the first one that is not finite.
        """
        while self._pending:
            watched = self._pending.popleft()
            if watched.ready is not None:
                watched.ready.synchronize()
            self._check(watched)

    @staticmethod
    def _check(watched: _Watched) -> None:
        value = watched.value.item()
        if value - value != 0:  # NaN and infinities alone
            raise NonFiniteLossError(
                f"the loss became {value} in step {watched.step + 1}; records of that batch: "
                f"{', '.join(watched.record_ids)}. Checkpoints written before are sound: look at "
                "these records, lower training.learning_rate, or use bf16 instead of fp16"
            )
