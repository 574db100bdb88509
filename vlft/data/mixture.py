"""Several data sets as one: their samples behind each other, and how an epoch draws from them."""

from bisect import bisect_right
from collections.abc import Sequence
from copy import copy
from dataclasses import dataclass, replace
from itertools import accumulate
from typing import Any

from torch.utils.data import Dataset

from vlft.data.encoded import EncodedDataset
from vlft.data.records import Record, Records
from vlft.recipe.data import Mixture


@dataclass(frozen=True)
class Mix:
    """How an epoch draws from several data sets.

    Attributes:
        names: Names of the data sets, for messages.
        sizes: Samples of each.
        weights: Share of each in an epoch, in any unit.
        num_samples: Length of an epoch in samples.
        homogeneous: Every micro batch, over all processes, comes from one data set.
    """

    names: tuple[str, ...]
    sizes: tuple[int, ...]
    weights: tuple[float, ...]
    num_samples: int
    homogeneous: bool


class _Joined:
    """Indices of several data sets behind each other."""

    def __init__(self, sizes: Sequence[int]) -> None:
        self._ends = list(accumulate(sizes))

    def __len__(self) -> int:
        return self._ends[-1]

    def place(self, index: int) -> tuple[int, int]:
        """Return the number of the data set that an index falls into, and the index in it."""
        if not 0 <= index < len(self):
            raise IndexError(index)
        number = bisect_right(self._ends, index)
        return number, index - (self._ends[number - 1] if number else 0)


class MixedRecords:
    """The records of several data sets, each read once; ``meta`` says which one a record is of.

    Args:
        members: The data sets.
    """

    def __init__(self, members: Sequence[Records]) -> None:
        self.name = joint_name([member.name for member in members])
        self._members = members
        self._joined = _Joined([len(member) for member in members])

    def __len__(self) -> int:
        return len(self._joined)

    def __getitem__(self, index: int) -> Record:
        """Read one record; its ``meta["dataset"]`` is the data set's name.

        Raises:
            RecordError: The record does not have the declared form.
        """
        number, inside = self._joined.place(index)
        member = self._members[number]
        record = member[inside]
        return replace(record, meta={**record.meta, "dataset": member.name})


class MixedSamples(Dataset):
    """The samples of several data sets; each keeps its name, its bad records and its policy.

    Args:
        members: The data sets, encoded for one host.
        section: How they are mixed.
    """

    def __init__(self, members: Sequence[EncodedDataset], section: Mixture) -> None:
        self.members: tuple[Any, ...] = tuple(members)
        self.records = MixedRecords([member.records for member in members])
        sizes = tuple(len(member) for member in members)
        self.mix = Mix(
            names=tuple(member.records.name for member in members),
            sizes=sizes,
            weights=section.weights or tuple(map(float, sizes)),
            num_samples=section.num_samples or sum(sizes),
            homogeneous=section.homogeneous_batches,
        )
        self._joined = _Joined(sizes)

    def __len__(self) -> int:
        return len(self._joined)

    def set_epoch(self, epoch: int) -> None:
        """Choose the epoch that records are varied for, from 0."""
        for member in self.members:
            if isinstance(member, EncodedDataset):
                member.set_epoch(epoch)

    def __getitem__(self, index: int) -> Any:
        """Encode a record of the data set that the index falls into.

        Raises:
            RecordError: The record is bad and the policy does not allow it.
        """
        number, inside = self._joined.place(index)
        return self.members[number][inside]

    def __getitems__(self, indices: list[int]) -> list[Any]:
        """Encode a batch, with one call for each data set in it."""
        places = [self._joined.place(index) for index in indices]
        samples: list[Any] = [None] * len(indices)
        for number in dict.fromkeys(number for number, _ in places):
            mine = [at for at, place in enumerate(places) if place[0] == number]
            found = self.members[number].__getitems__([places[at][1] for at in mine])
            for at, sample in zip(mine, found, strict=True):
                samples[at] = sample
        return samples

    def with_members(self, members: Sequence[Any]) -> "MixedSamples":
        """Return the same mixture of other data sets of the same sizes."""
        assert tuple(map(len, members)) == self.mix.sizes
        changed = copy(self)
        changed.members = tuple(members)
        return changed

    def starts(self) -> list[int]:
        """The index of the first sample of each data set."""
        sizes = self.mix.sizes
        return [end - size for end, size in zip(accumulate(sizes), sizes, strict=True)]


Samples = EncodedDataset | MixedSamples
"""What is trained or validated on."""


def epoch_size(samples: Samples) -> int:
    """Samples of an epoch of training."""
    return samples.mix.num_samples if isinstance(samples, MixedSamples) else len(samples)


def first_indices(samples: Samples, count: int) -> list[int]:
    """Indices of the first samples, of each data set of a mixture at least one.

    Args:
        samples: The samples.
        count: How many, or as many as there are.
    """
    if not isinstance(samples, MixedSamples):
        return list(range(min(count, len(samples))))
    each = max(1, count // len(samples.members))
    return [
        start + inside
        for start, size in zip(samples.starts(), samples.mix.sizes, strict=True)
        for inside in range(min(each, size))
    ]


def joint_name(names: Sequence[str]) -> str:
    """Name a mixture by its data sets."""
    return " + ".join(dict.fromkeys(names))
