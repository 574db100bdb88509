"""Image-text pairs as open_clip reads them: ``pairs.tsv``, and ``images/``.

Columns ``filepath`` and ``title``; ``pairs.jsonl`` holds the same rows.
"""

import csv
from pathlib import Path

from vlft.data.scenes.captions import dense_caption
from vlft.data.scenes.layouts.files import write_image, write_jsonl
from vlft.data.scenes.scene import World, draw_in

COLUMNS = ("filepath", "title")


def write(folder: Path, world: World, indices: range) -> None:
    """Write one pair per index; scenes have as many objects as the world allows."""
    folder.mkdir(parents=True, exist_ok=True)
    rows = []
    for index in indices:
        scene = draw_in(world, index, min_objects=world.max_objects)
        path = f"images/{index:06}.png"
        write_image(scene, folder / path)
        rows.append({"filepath": path, "title": dense_caption(scene)})
    write_jsonl(rows, folder / "pairs.jsonl")
    with (folder / "pairs.tsv").open("w", newline="", encoding="utf-8") as file:
        table = csv.DictWriter(file, COLUMNS, delimiter="\t", lineterminator="\n")
        table.writeheader()
        table.writerows(rows)
