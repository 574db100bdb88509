"""What preparation found, on disk by what it was made of.

One safetensors file per preparation: the factors in float32, and in its header what was measured
and the key; what was measured also stands beside it as JSON. A key has parts (weights, data,
settings), so that of a file that does not fit it can be said what has changed.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import TypeAlias

from safetensors import SafetensorError, safe_open
from safetensors.torch import load_file, save_file

from vlft.adapters.base import Note, Pair, Prepared
from vlft.disk import replace_file, replace_text, tell_full_disk

Key: TypeAlias = Mapping[str, str]
"""Checksums by part: ``weights``, ``data``, ``settings``."""

A, B = ".a", ".b"
"""Ends of the names of tensors, after the path of their layer."""


@dataclass(frozen=True)
class PreparedStore:
    """Preparations in a folder.

    Attributes:
        folder: It need not exist yet.
    """

    folder: Path

    def path(self, key: Key) -> Path:
        """Return the file of a key."""
        name = sha256(json.dumps(dict(key), sort_keys=True).encode()).hexdigest()[:16]
        return self.folder / f"{name}.safetensors"

    def find(self, key: Key) -> Prepared | None:
        """Return what was found for a key; None: nothing, or a file that cannot be read."""
        path = self.path(key)
        header = _header(path)
        if header is None:
            return None
        said = json.loads(header["prepared"])
        tensors = load_file(path)
        start = {
            layer: Pair(tensors[f"{layer}{A}"], tensors[f"{layer}{B}"], scale)
            for layer, scale in said["scales"].items()
        }
        notes = {layer: Note(**note) for layer, note in said["notes"].items()}
        return Prepared(start, notes, tuple(said["unseen"]))

    def save(self, key: Key, prepared: Prepared) -> Path:
        """Write a preparation; return its file.

        Raises:
            RunDirectoryError: The disk is full.
        """
        path = self.path(key)
        tensors = {f"{layer}{A}": pair.a for layer, pair in prepared.start.items()}
        tensors |= {f"{layer}{B}": pair.b for layer, pair in prepared.start.items()}
        said = {
            "scales": {layer: pair.scale for layer, pair in prepared.start.items()},
            "notes": {layer: note._asdict() for layer, note in prepared.notes.items()},
            "unseen": prepared.unseen,
        }
        header = {"format": "pt", "key": json.dumps(dict(key)), "prepared": json.dumps(said)}
        with tell_full_disk(self.folder, what="the prepared adapter"):
            self.folder.mkdir(parents=True, exist_ok=True)
            replace_file(path, lambda part: save_file(tensors, part, metadata=header))
            replace_text(path.with_suffix(".json"), json.dumps(prepared.facts, indent=2) + "\n")
        return path

    def changed(self, key: Key) -> tuple[str, ...] | None:
        """Return the parts in which the nearest file differs; None: no file has a part of it."""
        found = []
        for path in sorted(self.folder.glob("*.safetensors")):
            header = _header(path)
            if header is not None:
                other = json.loads(header["key"])
                found.append(tuple(part for part in key if other.get(part) != key[part]))
        nearest = min(found, key=len, default=None)
        return None if nearest is None or len(nearest) == len(key) else nearest


def _header(path: Path) -> dict[str, str] | None:
    try:
        with safe_open(path, framework="pt") as file:
            found = file.metadata()
    except (OSError, SafetensorError):
        return None
    return found if found and {"key", "prepared"} <= found.keys() else None
