"""Karpathy's layout: both of its forms say the same, and every caption is true."""

import json

from vlft.data import open_dataset
from vlft.data.scenes.captions import captions
from vlft.data.scenes.layouts import write_layout
from vlft.data.scenes.scene import World, draw_in
from vlft.recipe.data.benchmarks import Karpathy


def read(path):
    return list(open_dataset(Karpathy(type="karpathy", path=str(path))))


def test_both_forms_give_the_same_records(tmp_path):
    folder = write_layout("karpathy", tmp_path, num_samples=6, offset=2)
    blip, own = (read(folder / name) for name in ("coco_karpathy_test.json", "dataset_coco.json"))
    assert blip == own
    assert [pair.id for pair in blip] == ["2", "3", "4", "5", "6", "7"]
    assert all((pair.image.root / pair.image.path).is_file() for pair in blip)


def test_captions_are_those_of_the_scene_and_flickr30k_has_further_scenes(tmp_path):
    folder = write_layout("karpathy", tmp_path, num_samples=5)
    coco = json.loads((folder / "coco_karpathy_test.json").read_text())
    flickr = json.loads((folder / "flickr30k_test.json").read_text())
    for index, row in enumerate([*coco, *flickr]):
        assert row["caption"] == [*captions(draw_in(World(), index))][:5]
    assert [pair.id for pair in read(folder / "flickr30k_test.json")] == [*"01234"]
