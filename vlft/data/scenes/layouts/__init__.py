"""Writers of the generated world in the file layouts of the real data sets.

Nothing written here is data of those sets, and no score on it is theirs.
"""

from collections.abc import Callable
from pathlib import Path

from vlft.data.scenes.layouts import (
    aro,
    image_text,
    karpathy,
    llava_json,
    messages,
    mmeb,
    mmra,
    negclip,
    scienceqa,
    sugarcrepe,
)
from vlft.data.scenes.scene import World
from vlft.errors import pick
from vlft.recipe.data.scenes import Split

LAYOUTS: dict[str, Callable[[Path, World, range], None]] = {
    "aro": aro.write,
    "karpathy": karpathy.write,
    "llava_json": llava_json.write,
    "messages": messages.write,
    "mmeb": mmeb.write,
    "mmra": mmra.write,
    "negclip": negclip.write,
    "pairs": image_text.write,
    "scienceqa": scienceqa.write,
    "sugarcrepe": sugarcrepe.write,
}
"""Name of a layout to its writer: folder, world, scene indices."""


def write_layout(
    name: str,
    folder: str | Path,
    *,
    num_samples: int,
    seed: int = 0,
    offset: int = 0,
    max_objects: int = 2,
    grid: int = 4,
    jitter: bool = False,
    image_size: int = 48,
    split: Split = "all",
) -> Path:
    """Write samples ``offset`` to ``offset + num_samples`` of a world in one layout.

    Args:
        name: A key of ``LAYOUTS``.
        folder: Where to; files in it are overwritten.
        num_samples: Records per file of the layout.
        seed: Seed of the world.
        offset: First sample.
        max_objects: Largest number of objects in a scene.
        grid: Cells per side.
        jitter: Whether objects leave the grid.
        image_size: Side of the image in pixels.
        split: Which scenes are drawn.

    Returns:
        The folder.

    Raises:
        UnknownNameError: No such layout.
        DataError: The settings contradict each other, or the layout needs others.
    """
    write = pick(LAYOUTS, name, kind="layout")
    world = World(seed, max_objects, grid, jitter, image_size, split)
    write(Path(folder), world, range(offset, offset + num_samples))
    return Path(folder)


__all__ = ["LAYOUTS", "write_layout"]
