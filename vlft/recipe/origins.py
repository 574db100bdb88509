"""Values that know where they were written, and how one file goes over another.

A recipe is read as a tree of nodes. Files and overrides are merged as trees, so that every value
of the result still knows its file and line.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Literal

Keys = tuple[str, ...]
"""The way to a value: ``("training", "learning_rate")``."""


@dataclass(frozen=True)
class Origin:
    """Where a value came from.

    Attributes:
        kind: A file, an override on the command line, or the schema's default.
        file: The file as it is shown to the user; None unless ``kind`` is ``file``.
        line: Line in that file, from 1; None for the file as a whole.
    """

    kind: Literal["file", "command line", "default"]
    file: str | None = None
    line: int | None = None

    def __str__(self) -> str:
        if self.kind != "file":
            return self.kind
        return f"{self.file}:{self.line}" if self.line else f"{self.file}"


COMMAND_LINE = Origin("command line")
DEFAULT = Origin("default")


@dataclass(frozen=True)
class Node:
    """A value as it was written.

    Attributes:
        value: A mapping of keys to nodes, a list of nodes, or a scalar.
        origin: Where its key stands (for a list item: where it stands itself).
        text: A scalar as it was spelled, such as ``1e-4``; empty for mappings and lists.
    """

    value: Any
    origin: Origin
    text: str = ""


def merge(base: Node, over: Node) -> Node:
    """Lay one tree over another.

    Mappings are merged key by key. Everything else replaces what it lies over: scalars, lists,
    null, an empty mapping, and a section whose ``type`` is another one, since the fields of the
    old type would be foreign to the new one.
    """
    if not (isinstance(base.value, dict) and isinstance(over.value, dict)) or not over.value:
        return over
    old, new = base.value.get("type"), over.value.get("type")
    if old is not None and new is not None and old.value != new.value:
        return over
    merged = dict(base.value)
    for key, node in over.value.items():
        merged[key] = merge(merged[key], node) if key in merged else node
    return Node(merged, over.origin)


def plain(node: Node) -> Any:
    """Return the values without their origins."""
    if isinstance(node.value, dict):
        return {key: plain(child) for key, child in node.value.items()}
    if isinstance(node.value, list):
        return [plain(child) for child in node.value]
    return node.value


def find(root: Node, keys: tuple[str | int, ...]) -> Node | None:
    """Return the node at the end of a way, or None where nothing was written."""
    node = root
    for key in keys:
        try:
            node = node.value[int(key) if isinstance(node.value, list) else key]
        except (KeyError, IndexError, TypeError, ValueError):
            return None  # not written, or written as something else
    return node


def nearest(root: Node, keys: tuple[str | int, ...]) -> Node:
    """Return the node at the end of a way, or the last one on the way that was written."""
    while (node := find(root, keys)) is None:
        keys = keys[:-1]
    return node


def leaves(values: Mapping[str, Any], keys: Keys = ()) -> Iterator[tuple[Keys, Any]]:
    """Yield every value that is no mapping (or an empty one), with the way to it.

    The items of a list of mappings are numbered from 0.
    """
    for key, value in values.items():
        if isinstance(value, Mapping) and value:
            yield from leaves(value, (*keys, key))
        elif isinstance(value, list) and value and all(isinstance(v, Mapping) for v in value):
            yield from leaves({str(i): item for i, item in enumerate(value)}, (*keys, key))
        else:
            yield (*keys, key), value


def origins_of(values: Mapping[str, Any], root: Node) -> dict[str, Origin]:
    """Return, for every leaf of a resolved recipe, where it was written.

    Args:
        values: The resolved recipe as plain values, defaults included.
        root: The tree it was read from.
    """
    found = {".".join(keys): find(root, keys) for keys, _ in leaves(values)}
    return {name: DEFAULT if node is None else node.origin for name, node in found.items()}
