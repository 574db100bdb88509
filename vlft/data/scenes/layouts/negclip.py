"""NegCLIP's layout (arXiv 2210.01936): ``negclip.tsv`` and ``images/``.

Columns: the row index (unnamed), ``title``, ``filepath``, ``neg_caption`` (the text of a Python
list of false captions), ``neg_image`` (the text of a list of three other rows with similar images).
"""

import csv
from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path

from vlft.data.scenes.captions import dense_caption
from vlft.data.scenes.draws import Draws
from vlft.data.scenes.layouts.files import write_image
from vlft.data.scenes.scene import Scene, World, draw_in, require_two_objects
from vlft.data.scenes.swaps import hard_captions
from vlft.errors import DataError

NUM_NEIGHBORS = 3


def write(folder: Path, world: World, indices: range) -> None:
    """Write one row per index; the scenes have at least two objects.

    Raises:
        DataError: There are too few rows for three neighbors, or only lone objects to swap.
    """
    require_two_objects(world, "negclip")
    if len(indices) <= NUM_NEIGHBORS:
        raise DataError(
            f"negclip: num_samples {len(indices)} leaves rows without {NUM_NEIGHBORS} neighbors; "
            f"use at least {NUM_NEIGHBORS + 1}"
        )
    scenes = [draw_in(world, index, min_objects=2) for index in indices]
    neighbors = _neighbors(scenes)
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / "negclip.tsv").open("w", newline="", encoding="utf-8") as file:
        table = csv.writer(file, delimiter="\t", lineterminator="\n")
        table.writerow(("", "title", "filepath", "neg_caption", "neg_image"))
        for number, scene in enumerate(scenes):
            path = f"images/{scene.index:06}.png"
            write_image(scene, folder / path)
            false = list(hard_captions(scene))
            table.writerow((number, dense_caption(scene), path, false, neighbors[number]))


def _neighbors(scenes: Sequence[Scene]) -> list[list[int]]:
    """Draw for each scene rows that share an object's color and shape, or failing that, others."""
    rows_with: dict[tuple[str, str], list[int]] = defaultdict(list)
    for number, scene in enumerate(scenes):
        for thing in scene.objects:
            rows_with[thing.name].append(number)
    found = []
    for number, scene in enumerate(scenes):
        draws = Draws((scene.world.seed, scene.index, "neighbors"))
        similar = {row for thing in scene.objects for row in rows_with[thing.name]} - {number}
        near = list(draws.shuffled(sorted(similar), "near"))[:NUM_NEIGHBORS]
        step = 0
        while len(near) < NUM_NEIGHBORS:
            row = draws.below(len(scenes), "any", step)
            if row != number and row not in near:
                near.append(row)
            step += 1
        found.append(near)
    return found
