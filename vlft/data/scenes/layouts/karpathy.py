"""Images with several captions each, as Karpathy's splits of COCO and Flickr30k are published.

    coco_karpathy_test.json   BLIP's form: image, caption (a list)
    dataset_coco.json         Karpathy's own: images with filepath, filename, cocoid, split and
                              sentences
    val2014/                  images of both, named as COCO's
    flickr30k_test.json       BLIP's form again, with flickr30k-images/

Every image is of the test split.
"""

from pathlib import Path
from typing import Any

from vlft.data.scenes.captions import captions
from vlft.data.scenes.layouts.files import write_image, write_json
from vlft.data.scenes.scene import World, draw_in

MOST_CAPTIONS = 5


def write(folder: Path, world: World, indices: range) -> None:
    """Write both sets, each with one image per index; the second one shows further scenes."""
    coco, flickr = [], []
    for index in indices:
        name = f"val2014/COCO_val2014_{index:012}.png"
        coco.append(_captioned(folder, world, index, name))
        name = f"flickr30k-images/{index}.png"
        flickr.append(_captioned(folder, world, index + len(indices), name))
    write_json(coco, folder / "coco_karpathy_test.json")
    official = {"images": [_official(row) for row in coco], "dataset": "coco"}
    write_json(official, folder / "dataset_coco.json")
    write_json(flickr, folder / "flickr30k_test.json")


def _captioned(folder: Path, world: World, index: int, name: str) -> dict[str, Any]:
    scene = draw_in(world, index)
    write_image(scene, folder / name)
    return {"image": name, "caption": list(captions(scene)[:MOST_CAPTIONS])}


def _official(row: dict[str, Any]) -> dict[str, Any]:
    folder, name = row["image"].split("/")
    return {
        "filepath": folder,
        "filename": name,
        "cocoid": int(Path(name).stem.rsplit("_", 1)[1]),
        "split": "test",
        "sentences": [{"raw": caption} for caption in row["caption"]],
    }
