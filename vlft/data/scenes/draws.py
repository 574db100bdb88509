"""Numbers that depend on a key alone: the world's only source of chance.

A draw hashes its key and purpose with BLAKE2b, so it is the same in every process, on every
platform and under every library version, and drawing one thing never shifts what is drawn next.
"""

import struct
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from hashlib import blake2b
from typing import TypeVar

Item = TypeVar("Item")
Key = int | str


@dataclass(frozen=True)
class Draws:
    """Draws for one key, such as (seed, index).

    Attributes:
        key: What the draws depend on.
    """

    key: tuple[Key, ...]

    def below(self, bound: int, *purpose: Key) -> int:
        """Return an integer in ``[0, bound)``; equal purposes give equal integers."""
        return self.each((bound,), *purpose)[0]

    def each(self, bounds: Sequence[int], *purpose: Key) -> tuple[int, ...]:
        """Return one integer below each of up to eight bounds, independent of each other."""
        text = "/".join(map(str, self.key + purpose))
        digest = blake2b(text.encode(), digest_size=8 * len(bounds)).digest()
        # 64 bits each: the remainder is uniform but for one part in 2**60.
        values = struct.unpack(f">{len(bounds)}Q", digest)
        return tuple(value % bound for value, bound in zip(values, bounds, strict=True))

    def pick(self, items: Sequence[Item], *purpose: Key) -> Item:
        """Return one of the items, each equally likely."""
        return items[self.each((len(items),), *purpose)[0]]

    def shuffled(self, items: Iterable[Item], *purpose: Key) -> tuple[Item, ...]:
        """Return the items in a drawn order (Fisher-Yates)."""
        order = list(items)
        for last in range(len(order) - 1, 0, -1):
            (other,) = self.each((last + 1,), *purpose, last)
            order[last], order[other] = order[other], order[last]
        return tuple(order)

    def within(self, *key: Key) -> "Draws":
        """Return draws for a longer key."""
        return Draws(self.key + key)
