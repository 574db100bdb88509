"""ARO's layout (arXiv 2210.01936): two JSON files with an image folder, and two order sets.

    visual_genome_relation.json     relation_name, true_caption, false_caption, bbox_*, image_path
    visual_genome_attribution.json  attributes instead of relation_name
    images/                         images of both
    coco_karpathy_test.json         image, caption (a list); and the same for flickr30k_test.json
    coco_karpathy_test.tags.jsonl   caption, tokens, tags: what the shuffles of the order sets need
    val2014/  flickr30k-images/     their images
    coco_order/                     parquet with ready-made options, as the Hub's mteb copies have

As in the real sets, the scene is only a part of the image: the box cuts it out. Order sets show two
objects or more, so that a shuffle has something to move.
"""

from pathlib import Path
from typing import Any

from PIL import Image

from vlft.data.scenes.captions import captions
from vlft.data.scenes.draws import Draws
from vlft.data.scenes.layouts.files import (
    save,
    write_image,
    write_json,
    write_jsonl,
    write_parquet,
)
from vlft.data.scenes.raster import render
from vlft.data.scenes.scene import Scene, World, draw_in, require_two_objects
from vlft.data.scenes.swaps import SwappedCaption, swapped_captions
from vlft.data.scenes.vocabulary import PUNCTUATION, words_of
from vlft.data.scenes.world import BACKGROUND, COLORS, RELATIONS, SHAPES, SIZES, TEXTURES

_ORDER_SETS = {"coco_karpathy_test": "val2014", "flickr30k_test": "flickr30k-images"}

_TAGS = {
    **dict.fromkeys((*SHAPES, "image"), "NN"),
    **dict.fromkeys((*SIZES, *TEXTURES, *COLORS), "JJ"),
    **dict.fromkeys(("a", "an", "the"), "DT"),
    **dict.fromkeys(("is", "shows"), "VBZ"),
    **dict.fromkeys(("above", "below", "of"), "IN"),
    **dict.fromkeys(("left", "right"), "RB"),  # no adjectives: "left of" stays together
    "there": "EX",
    "and": "CC",
    "which": "WDT",
    **{mark: mark for mark in PUNCTUATION},
}
"""Every token of a caption of two objects or more to its Penn Treebank tag."""


def write(folder: Path, world: World, indices: range) -> None:
    """Write the four sets, each with one case (order sets: one image) per index.

    Raises:
        DataError: The world has single objects, whose attributes cannot be swapped.
    """
    require_two_objects(world, "aro")
    relations = [_case(folder, world, index, "relation") for index in indices]
    write_json(relations, folder / "visual_genome_relation.json")
    attributes = [_case(folder, world, index, "attribute") for index in indices]
    write_json(attributes, folder / "visual_genome_attribution.json")
    for name, images in _ORDER_SETS.items():
        captioned = [_captioned(folder, world, index, images) for index in indices]
        write_json(captioned, folder / f"{name}.json")
        texts = dict.fromkeys(text for record in captioned for text in record["caption"])
        write_jsonl([_tagged(text) for text in texts], folder / f"{name}.tags.jsonl")
    rows = [_order_row(draw_in(world, index)) for index in indices]
    write_parquet(rows, folder / "coco_order/test-00000-of-00001.parquet")


def _case(folder: Path, world: World, index: int, kind: str) -> dict[str, Any]:
    """Make one record of a true and a false caption."""
    scene, swap = _draw_swap(world, index, kind)
    draws = Draws((world.seed, index, "aro", kind))
    image_path = f"{kind}_{index:06}.png"
    left, top = (draws.below(scene.cell + 1, side) for side in ("left", "top"))
    size = world.image_size
    save(_surrounded(scene, left, top), folder / "images" / image_path)
    record = {
        "image_id": index,
        "image_path": image_path,
        "bbox_x": left,
        "bbox_y": top,
        "bbox_w": size,
        "bbox_h": size,
        "true_caption": swap.true.removesuffix("."),
        "false_caption": swap.false.removesuffix("."),
    }
    if kind == "relation":
        return record | {"relation_name": RELATIONS[swap.detail[0]]}
    return record | {"attributes": list(swap.detail)}


def _draw_swap(world: World, index: int, kind: str) -> tuple[Scene, SwappedCaption]:
    attempt = 0
    while True:
        scene = draw_in(world, index, attempt=attempt, min_objects=2)
        swaps = [swap for swap in swapped_captions(scene) if swap.kind == kind]
        if swaps:
            return scene, Draws((world.seed, index, kind)).pick(swaps, "swap")
        attempt += 1


def _surrounded(scene: Scene, left: int, top: int) -> Image.Image:
    """Put the scene's image on a canvas that is one cell larger."""
    size = scene.world.image_size + scene.cell
    canvas = Image.new("RGB", (size, size), BACKGROUND)
    canvas.paste(render(scene), (left, top))
    return canvas


def _captioned(folder: Path, world: World, index: int, images: str) -> dict[str, Any]:
    """Make one record of an image with five captions, as COCO has; the dense one comes first."""
    scene = draw_in(world, index, min_objects=2)
    image = f"{images}/{index:06}.png"
    write_image(scene, folder / image)
    return {"image": image, "caption": list(captions(scene)[:5])}


def _tagged(text: str) -> dict[str, Any]:
    tokens = words_of(text)
    return {"caption": text, "tokens": tokens, "tags": [_TAGS[token] for token in tokens]}


def _order_row(scene: Scene) -> dict[str, Any]:
    swaps = [swap for swap in swapped_captions(scene) if swap.kind == "order"]
    shuffled = {f"hard_text_{number}": swap.false for number, swap in enumerate(swaps, start=1)}
    return {"images": render(scene), "correct_caption": swaps[0].true, **shuffled}
