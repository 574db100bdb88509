"""The order of a mixture's samples: a function of seed and epoch alone.

A data set with n samples in an epoch is walked through in seeded passes that go on over the epochs:
epoch e takes samples e * n to (e + 1) * n of the endless row of its permutations. So no sample
comes twice before all came once, whatever the weights, and any epoch can be made without those
before it, which is what resuming needs.
"""

from collections.abc import Iterator, Sequence

import numpy as np
from jaxtyping import Int
from torch.utils.data import Sampler

from vlft.data.mixture import Mix
from vlft.errors import DataError

_ORDER, _PASS = 1, 2  # what a draw is for; equal seeds with another purpose draw other numbers


class MixtureSampler(Sampler[int]):
    """Draws the indices of a mixture's samples.

    Args:
        mix: What is mixed.
        num_samples: Samples of an epoch.
        seed: Seed of the order.
        chunk: Samples of a micro batch over all processes, which homogeneous mixtures take from one
            data set; their epochs are cut to whole chunks.

    Raises:
        DataError: An epoch is too short for each data set to have its share.
    """

    def __init__(self, mix: Mix, *, num_samples: int, seed: int, chunk: int) -> None:
        self._mix = mix
        self._seed = seed
        self._chunk = chunk if mix.homogeneous else 1
        self._counts = apportion(mix.weights, num_samples // self._chunk)
        self._epoch = 0
        for name, weight, count in zip(mix.names, mix.weights, self._counts, strict=True):
            if count == 0:
                unit = f"batches of {chunk}" if mix.homogeneous else "samples"
                raise DataError(
                    f"{name}: its weight {weight:g} of {sum(mix.weights):g} gives it none of the "
                    f"{num_samples // self._chunk} {unit} of an epoch; raise its weight or the "
                    "mixture's `num_samples`"
                )

    def __len__(self) -> int:
        return sum(self._counts) * self._chunk

    def set_epoch(self, epoch: int) -> None:
        """Choose the epoch that is drawn next, from 0."""
        self._epoch = epoch

    def __iter__(self) -> Iterator[int]:
        """Draw the epoch's indices into the data sets behind each other."""
        yield from self._draw(self._epoch).tolist()

    def _draw(self, epoch: int) -> Int[np.ndarray, " samples"]:
        members = np.repeat(np.arange(len(self._counts)), self._counts)
        np.random.default_rng([self._seed, _ORDER, epoch]).shuffle(members)
        order = np.empty((len(members), self._chunk), dtype=np.int64)
        offset = 0
        for member, (size, count) in enumerate(zip(self._mix.sizes, self._counts, strict=True)):
            drawn = count * self._chunk
            inside = self._passes(member, size, start=epoch * drawn, count=drawn)
            order[members == member] = (inside + offset).reshape(count, self._chunk)
            offset += size
        return order.reshape(-1)

    def _passes(
        self, member: int, size: int, *, start: int, count: int
    ) -> Int[np.ndarray, " samples"]:
        """A piece of the endless row of permutations of one data set."""
        first, last = start // size, (start + count - 1) // size
        row = np.concatenate(
            [
                np.random.default_rng([self._seed, _PASS, member, number]).permutation(size)
                for number in range(first, last + 1)
            ]
        )
        return row[start - first * size :][:count]


def apportion(weights: Sequence[float], total: int) -> list[int]:
    """Divide a number by weights into whole shares (largest remainders; ties go to the first)."""
    quotas = np.asarray(weights, dtype=np.float64) / sum(weights) * total
    shares = np.floor(quotas + 1e-9).astype(np.int64)  # 0.1 * 30 is less than 3 in binary
    most = np.argsort(shares - quotas, kind="stable")[: total - int(shares.sum())]
    shares[most] += 1
    return shares.tolist()
