"""What a contradiction is."""

from collections.abc import Iterator
from typing import NamedTuple

from vlft.errors import near


class Conflict(NamedTuple):
    """A contradiction.

    Attributes:
        field: The field that it is reported at.
        message: Why it does not go, and what does.
    """

    field: str
    message: str


def refuse_unknown(
    field: str, name: str, names: frozenset[str], *, kind: str = "name"
) -> Iterator[Conflict]:
    """Refuse a name that an upstream library does not have; with no names, everything passes."""
    if names and name not in names:
        guess = near(name, names)
        hint = f" Did you mean {guess!r}?" if guess else ""
        exist = ", ".join(sorted(names)) if len(names) <= 60 else f"{len(names)} names"
        yield Conflict(field, f"unknown {kind}.{hint} Available: {exist}")
