"""Labeled images: from rows, folders and scenes to batches of a vision host."""

import json
from collections import Counter

import pytest
import torch
from PIL import Image

from vlft.backbones import build
from vlft.data import open_dataset, pipeline
from vlft.data.encode_labeled import LabeledEncoder, collate_labeled
from vlft.data.records import Labeled
from vlft.data.scenes.dataset import SceneDataset
from vlft.data.scenes.world import KINDS, SHAPES
from vlft.errors import DataError, RecordError
from vlft.evaluation.capabilities import Classifier, capabilities_of
from vlft.recipe.backbone import Vision
from vlft.recipe.data import DataSection, LabeledImages, Scenes
from vlft.types import Classifies

COLORS = {"red": (220, 20, 20), "green": (20, 220, 20), "blue": (20, 20, 220)}


@pytest.fixture(scope="module")
def vit():
    torch.manual_seed(0)
    return build(Vision(type="vision", config="tiny_vit", labels=tuple(COLORS)))


@pytest.fixture
def folder(tmp_path):
    """Two images of each color, in a folder per color."""
    for name, rgb in COLORS.items():
        for number in range(2):
            path = tmp_path / "train" / name / f"{number}.png"
            path.parent.mkdir(parents=True, exist_ok=True)
            Image.new("RGB", (30 + number, 20), rgb).save(path)
    return tmp_path / "train"


def section(path, **fields):
    return LabeledImages(type="classification", path=str(path), **fields)


def test_a_folder_per_class(folder):
    records = open_dataset(section(folder))
    assert [record.label for record in map(records.__getitem__, range(6))] == [
        "blue", "blue", "green", "green", "red", "red",
    ]  # fmt: skip
    assert isinstance(records[0], Labeled)
    assert records[0].id == "blue/0.png"


@pytest.mark.parametrize("ending", ["csv", "tsv", "jsonl", "json", "parquet"])
def test_rows_of_any_container(ending, folder):
    rows = [{"file": f"{name}/1.png", "kind": name, "id": f"x-{name}"} for name in COLORS]
    path = folder / f"rows.{ending}"
    if ending == "parquet":
        import pyarrow as pa
        import pyarrow.parquet as pq

        pq.write_table(pa.Table.from_pylist(rows), path)
    elif ending in ("csv", "tsv"):
        separator = "," if ending == "csv" else "\t"
        lines = [separator.join(rows[0]), *(separator.join(row.values()) for row in rows)]
        path.write_text("\n".join(lines) + "\n")
    elif ending == "jsonl":
        path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    else:
        path.write_text(json.dumps(rows))
    records = open_dataset(section(path, image_column="file", label_column="kind"))
    assert [(records[i].id, records[i].label) for i in range(3)] == [
        (f"x-{name}", name) for name in COLORS
    ]


def test_numbers_are_names_and_other_values_are_refused(folder):
    path = folder / "rows.jsonl"
    values = [3, "  red ", None, True, ""]
    path.write_text(
        "".join(json.dumps({"image": "red/0.png", "label": value}) + "\n" for value in values)
    )
    records = open_dataset(section(path))
    assert [records[0].label, records[1].label] == ["3", "red"]
    for index in (2, 3, 4):
        with pytest.raises(RecordError, match=r"field `label`: found .*the name of a class"):
            records[index]


def test_a_missing_column_is_answered_with_the_nearest(folder):
    (folder / "rows.csv").write_text("image,labl\nred/0.png,red\n")
    with pytest.raises(DataError, match=r"'label'. Did you mean 'labl'\?.*set `label_column`"):
        open_dataset(section(folder / "rows.csv"))


def test_a_batch_has_pixels_and_rows_of_the_head(folder, vit):
    records = open_dataset(section(folder))
    encode = LabeledEncoder(vit.processor, labels=tuple(COLORS))
    batch = collate_labeled(encode.many([records[i] for i in range(6)], dataset="d"))
    assert batch["labels"].tolist() == [2, 2, 1, 1, 0, 0]
    assert batch["pixel_values"].shape == (6, 3, 48, 48)
    alone = encode(records[4], dataset="d")
    assert torch.equal(alone.image_inputs["pixel_values"][0], batch["pixel_values"][4])
    assert batch["num_images"] == 6


def test_an_unknown_class_is_answered_with_the_nearest(folder, vit):
    (folder / "rows.csv").write_text("id,image,label\nr1,red/0.png,redd\n")
    samples = pipeline.open_samples(vit, DataSection(), section(folder / "rows.csv"), None)
    with pytest.raises(RecordError, match=r"unknown class 'redd'. Did you mean 'red'\?.*labels"):
        samples[0]


def test_a_large_image_is_refused_before_it_is_decoded(folder, vit):
    data = DataSection(max_image_pixels=500)
    samples = pipeline.open_samples(vit, data, section(folder), None)
    with pytest.raises(RecordError, match=r"30 x 20 = 600"):
        samples[0]


@pytest.mark.parametrize(("level", "names"), [("fine", SHAPES), ("coarse", KINDS)])
def test_scenes_of_one_object_are_labeled_by_its_shape(level, names):
    world = Scenes(
        type="scenes", task="classification", num_samples=400, seed=3, labels_level=level
    )
    records = SceneDataset(world)
    counts = Counter(records[index].label for index in range(400))
    assert set(counts) == set(names)
    assert min(counts.values()) > 400 / len(names) / 3
    scene = records[0].image.draw.scene
    assert len(scene.objects) == 1
    assert records[0].label == (
        scene.objects[0].shape if level == "fine" else scene.objects[0].kind
    )


def test_a_level_goes_with_classification_only():
    with pytest.raises(ValueError, match="task pairs has no classes"):
        Scenes(type="scenes", task="pairs", labels_level="coarse")


def test_logits_do_not_depend_on_the_batch(folder, vit):
    records = open_dataset(section(folder))
    images = [Image.open(folder / records[i].id).convert("RGB") for i in range(6)]
    model = capabilities_of(vit, batch_size=4)
    assert isinstance(model, Classifier)
    assert isinstance(model, Classifies)
    assert model.classes == tuple(COLORS)
    together = model.classify(images)
    assert together.shape == (6, 3)
    assert together.dtype == torch.float32
    for row, image in enumerate(images):
        torch.testing.assert_close(model.classify([image])[0], together[row])
