"""What the layout writers share: images, JSON and parquet on disk."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from PIL import Image

from vlft.data.scenes.raster import render
from vlft.data.scenes.scene import Scene


def write_image(scene: Scene, path: Path) -> None:
    """Write a scene's image as PNG."""
    save(render(scene), path)


def save(image: Image.Image, path: Path) -> None:
    """Write an image as PNG, with the folders above it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    image.save(path, format="PNG")


def write_json(value: Any, path: Path) -> None:
    """Write a value as JSON."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(value, indent=1) + "\n", encoding="utf-8")


def write_jsonl(rows: Sequence[Mapping[str, Any]], path: Path) -> None:
    """Write one JSON object per line."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")


def write_parquet(rows: Sequence[Mapping[str, Any]], path: Path) -> None:
    """Write rows of strings, lists of strings and PIL images as the Hub stores them.

    Args:
        rows: One mapping per row, all with the same keys; None where a string is missing.
        path: The parquet file.
    """
    import datasets  # 2 s to import, and absent on some machines
    from pyarrow import parquet

    features = datasets.Features({name: _feature(value) for name, value in rows[0].items()})
    table = datasets.Dataset.from_list([dict(row) for row in rows], features=features)
    path.parent.mkdir(parents=True, exist_ok=True)
    parquet.write_table(table.data.table, path)  # Dataset.to_parquet draws a progress bar


def _feature(value: Any) -> Any:
    """Return the Hub's type of a column by one of its values; None is a missing string."""
    import datasets

    text = datasets.Value("string")
    if isinstance(value, Image.Image):
        return datasets.Image()
    return datasets.List(text) if isinstance(value, list) else text
