"""VG-Relation and VG-Attribution: official records, rows of the Hub copies, and bad ones."""

import json

import pytest
from PIL import Image

from vlft.data import open_dataset
from vlft.data.images import open_image
from vlft.data.readers.aro import AroDataset
from vlft.data.readers.caption_rows import on_split
from vlft.data.scenes.layouts.files import write_parquet
from vlft.errors import RecordError
from vlft.recipe.data.benchmarks import Aro

CASE = {
    "image_path": "a.png",
    "bbox_x": 10,
    "bbox_y": 5,
    "bbox_w": 20,
    "bbox_h": 30,
    "true_caption": "the dog is under the chair",
    "false_caption": "the chair is under the dog",
    "relation_name": "under",
    "image_id": 77,  # further fields are left alone
    "id": "not ours",
}
MORE = {key: value for key, value in CASE.items() if key != "relation_name"}


@pytest.fixture
def read(tmp_path):
    def write(*cases, **settings):
        path = tmp_path / "visual_genome_relation.json"
        path.write_text(json.dumps(cases))
        return AroDataset(Aro(type="aro", path=str(path), **settings))

    return write


def test_official_records_have_a_box_and_the_false_caption(read, write_image):
    write_image("images/a.png", size=(60, 48))
    record = read(CASE, CASE)[1]
    assert record.id == "1"
    assert record.text == CASE["true_caption"]
    assert record.meta["negative"] == CASE["false_caption"]
    assert record.meta["relation_name"] == "under"
    assert record.meta["image_id"] == 77
    assert record.image.box == (10, 5, 30, 35)
    assert open_image(record.image, dataset="x", record_id="1").size == (20, 30)


def test_attributes_are_joined(read):
    record = read(MORE | {"attributes": ["white", "large"]})[0]
    assert record.meta["attribute_pair"] == "white_large"


def test_an_image_folder_may_be_given(read, tmp_path, write_image):
    write_image("elsewhere/a.png")
    record = read(CASE, image_root=str(tmp_path / "elsewhere"))[0]
    assert open_image(record.image, dataset="x", record_id="0").size == (20, 30)


def test_rows_of_the_hub_copies_hold_the_image_and_a_box_of_their_own(tmp_path):
    from datasets import Dataset, Features, Value
    from datasets import Image as ImageFeature
    from pyarrow import parquet

    image = Image.new("RGB", (60, 48), (200, 30, 40))
    image.paste((0, 0, 255), (10, 5, 30, 35))
    box = {"x": 10.0, "y": 5.0, "w": 20.0, "h": 30.0}
    row = {
        "image": image,
        "image_path": "a.png",
        "true_caption": "t",
        "false_caption": "f",
        "relation_name": "under",
        "bbox": box,
    }
    features = Features(
        {name: Value("string") for name in row}
        | {"image": ImageFeature(), "bbox": {side: Value("float32") for side in "xywh"}}
    )
    table = Dataset.from_list([row], features=features)
    parquet.write_table(table.data.table, tmp_path / "test.parquet")
    record = AroDataset(Aro(type="aro", path=str(tmp_path / "test.parquet")))[0]
    shown = open_image(record.image, dataset="x", record_id="0")
    assert shown.size == (20, 30)
    assert shown.getcolors() == [(600, (0, 0, 255))]
    assert record.meta["negative"] == "f"


def test_a_row_without_a_box_is_named(tmp_path):
    row = {"images": Image.new("RGB", (9, 9)), "true_caption": "t", "false_caption": "f"}
    write_parquet([row], tmp_path / "test.parquet")
    with pytest.raises(
        RecordError, match=r"record 0: row 0, field `bbox_x` is missing, expected p"
    ):
        AroDataset(Aro(type="aro", path=str(tmp_path / "test.parquet")))[0]


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"bbox_w": None}, r"field `bbox_w`: found null, expected pixels above 0"),
        ({"bbox_h": 0}, r"field `bbox_h`: found 0, expected pixels above 0"),
        ({"bbox_w": -3}, r"field `bbox_w`: found -3, expected pixels above 0"),
        ({"bbox_x": "7"}, r'field `bbox_x`: found "7", expected pixels'),
        ({"bbox_y": True}, r"field `bbox_y`: found true, expected pixels"),
        ({"bbox_x": float("nan")}, r"field `bbox_x`: found NaN, expected pixels"),
        ({"false_caption": ...}, r"field `false_caption` is missing, expected text; there is: "),
        ({"true_caption": " "}, r'field `true_caption`: found "", expected a caption'),
        ({"image_path": ...}, r"field `image` is missing, expected an image; there is: "),
        ({"bbox_h": ...}, r"field `bbox_h` is missing, expected pixels; there is: "),
        ({"relation_name": 3}, r"field `relation_name`: found 3, expected text"),
        (
            {"relation_name": ..., "attributes": ["white"]},
            r'field `attributes`: found \["white"\], expected a list of two texts',
        ),
        ({"bbox_x": ..., "bbox_y": ..., "bbox_w": ..., "bbox_h": ..., "bbox": {"x": 1}}, "bbox.y"),
    ],
)
def test_a_bad_record_is_named_with_its_place_and_field(read, changes, message):
    bad = {key: value for key, value in (CASE | changes).items() if value is not ...}
    with pytest.raises(RecordError, match=f"record 1: item 2, .*{message}") as caught:
        read(CASE, bad)[1]
    assert "\n" not in str(caught.value)


def test_limit_and_the_table_of_readers(read, tmp_path):
    assert len(read(CASE, CASE, CASE, limit=2)) == 2
    section = Aro(type="aro", path=str(tmp_path / "visual_genome_relation.json"))
    assert open_dataset(section)[2].id == "2"


def test_hub_copies_are_read_from_their_test_split():
    assert on_split(Aro(type="aro", path="hub:mteb/ARO-Visual-Relation"), "test").split == "test"
    assert on_split(Aro(type="aro", path="hub:a/b", split="train"), "test").split == "train"
    assert on_split(Aro(type="aro", path="a.json"), "test").split is None
