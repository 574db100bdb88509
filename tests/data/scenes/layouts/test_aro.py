"""ARO's files as the dossier states them."""

import json

import numpy as np
import pytest
from PIL import Image

from vlft.data import open_dataset
from vlft.data.scenes.captions import captions
from vlft.data.scenes.layouts import write_layout
from vlft.data.scenes.layouts.aro import _draw_swap
from vlft.data.scenes.raster import pixels
from vlft.data.scenes.scene import World, draw_in
from vlft.data.scenes.truth import holds
from vlft.data.scenes.vocabulary import words_of
from vlft.data.scenes.world import COLORS, SHAPES
from vlft.recipe.data.benchmarks import AroOrder

COMMON = {
    "image_path": str,
    "bbox_x": int,
    "bbox_y": int,
    "bbox_w": int,
    "bbox_h": int,
    "true_caption": str,
    "false_caption": str,
}
CASES = {
    "relation": ("visual_genome_relation.json", "relation_name"),
    "attribute": ("visual_genome_attribution.json", "attributes"),
}


@pytest.mark.parametrize("kind", CASES)
def test_cases_have_the_fields_in_use(written, kind):
    name, extra = CASES[kind]
    records = json.loads((written("aro") / name).read_text())
    assert len(records) == 44
    for record in records:
        assert all(type(record[key]) is kept for key, kept in COMMON.items())
        assert extra in record
        assert sorted(words_of(record["true_caption"])) == sorted(words_of(record["false_caption"]))


@pytest.mark.parametrize("kind", CASES)
def test_the_box_cuts_out_a_scene_of_which_one_caption_is_true(written, kind):
    folder = written("aro")
    for index, record in enumerate(json.loads((folder / CASES[kind][0]).read_text())):
        scene, _ = _draw_swap(World(), index, kind)
        with Image.open(folder / "images" / record["image_path"]) as image:
            left, top = record["bbox_x"], record["bbox_y"]
            box = (left, top, left + record["bbox_w"], top + record["bbox_h"])
            assert image.size != (record["bbox_w"], record["bbox_h"])
            assert (np.asarray(image.crop(box)) == pixels(scene)).all()
        assert holds(scene, record["true_caption"])
        assert not holds(scene, record["false_caption"])


def test_attributes_are_two_strings_and_no_relation_is_dropped_as_symmetric(written, shared):
    attribution = json.loads((written("aro") / "visual_genome_attribution.json").read_text())
    assert all(
        [type(value) for value in record["attributes"]] == [str, str] for record in attribution
    )
    relation = json.loads((written("aro") / "visual_genome_relation.json").read_text())
    names = {record["relation_name"] for record in relation}
    assert names == {"left of", "right of", "above", "below"}
    symmetric = json.loads(shared("aro/symmetric_relations.json").read_text())
    assert not names & set(symmetric)


@pytest.mark.parametrize("name", ["coco_karpathy_test", "flickr30k_test"])
def test_order_sets_are_images_with_lists_of_true_captions(written, name):
    folder = written("aro")
    records = json.loads((folder / f"{name}.json").read_text())
    for index, record in enumerate(records):
        assert record.keys() == {"image", "caption"}
        assert (folder / record["image"]).exists()
        assert set(record["caption"]) <= set(captions(draw_in(World(), index, min_objects=2)))
        assert len(record["caption"]) == 5


@pytest.mark.parametrize("settings", [{}, {"max_objects": 4, "seed": 5}])
def test_every_caption_is_tagged_word_by_word(settings, tmp_path):
    folder = write_layout("aro", tmp_path, num_samples=40, **settings)
    for name in ("coco_karpathy_test", "flickr30k_test"):
        records = json.loads((folder / f"{name}.json").read_text())
        lines = (folder / f"{name}.tags.jsonl").read_text().splitlines()
        tagged = {line["caption"]: line for line in map(json.loads, lines)}
        assert len(tagged) == len(lines)
        assert {text for record in records for text in record["caption"]} == set(tagged)
        for text, line in tagged.items():
            assert line["tokens"] == words_of(text)
            tags = dict(zip(line["tokens"], line["tags"], strict=True))
            assert all(tags.get(color, "JJ") == "JJ" for color in COLORS)
            assert all(tags.get(shape, "NN") == "NN" for shape in SHAPES)
            assert tags["."] == "."


def test_our_reader_draws_shuffles_of_the_order_sets(written, tmp_path, monkeypatch):
    monkeypatch.setenv("VLFT_CACHE", str(tmp_path))
    path = written("aro") / "coco_karpathy_test.json"
    records = open_dataset(AroOrder(type="aro_order", path=str(path)))
    assert len(records) == 5 * 44
    for index in range(len(records)):
        words = [sorted(text.split()) for text in records[index].meta["negatives"]]
        assert words == [sorted(records[index].text.split())] * 4


def test_ready_made_order_options_have_the_columns_of_the_hub_copy(written):
    from datasets import Dataset

    rows = Dataset.from_parquet(str(written("aro") / "coco_order/test-00000-of-00001.parquet"))
    assert set(rows.column_names) == {
        "images",
        "correct_caption",
        *(f"hard_text_{number}" for number in (1, 2, 3, 4)),
    }
    first = rows[0]
    assert first["images"].size == (48, 48)
    words = sorted(first["correct_caption"].split())
    for number in (1, 2, 3, 4):
        shuffled = first[f"hard_text_{number}"]
        assert shuffled != first["correct_caption"]
        assert len(shuffled.split()) == len(words)
