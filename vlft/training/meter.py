"""Throughput of a run: images, tokens and the share of time spent waiting for data."""

import time

from vlft.types import Batch


class Meter:
    """Counts what went through since the last reading.

    Args:
        world_size: Processes; the counts of this one are taken for all.

    Attributes:
        images_in_step: Images of this process in the latest optimizer step.
    """

    def __init__(self, world_size: int) -> None:
        self._world_size = world_size
        self.images_in_step = 0
        self._reset()

    def _reset(self) -> None:
        self._since = time.perf_counter()
        self._waited = 0.0
        self._images = 0
        self._tokens = 0

    def count(self, batches: list[Batch], *, waited: float) -> None:
        """Add the batches of one optimizer step.

        Args:
            batches: The micro batches.
            waited: Seconds until the data loader had them.
        """
        self._waited += waited
        self.images_in_step = sum(batch["num_images"] for batch in batches)
        self._images += self.images_in_step
        self._tokens += sum(batch["num_tokens"] for batch in batches)

    def leave_out(self, seconds: float) -> None:
        """Do not count time that was not spent on training."""
        self._since += seconds

    def read(self) -> dict[str, float]:
        """Return rates since the last reading and start anew."""
        seconds = max(time.perf_counter() - self._since, 1e-9)
        rates = {
            "images_per_second": round(self._images * self._world_size / seconds, 2),
            "tokens_per_second": round(self._tokens * self._world_size / seconds, 1),
            "data_wait": round(self._waited / seconds, 4),
        }
        self._reset()
        return rates
