"""MMEB's rows become rankings that share their candidates; what is wrong is named with its row."""

import numpy as np
import pytest
from pyarrow import Table, parquet

from vlft.data import open_dataset
from vlft.data.readers import mmeb
from vlft.data.records import images_of
from vlft.data.scenes.layouts import write_layout
from vlft.errors import DataError, RecordError
from vlft.evaluation.light import light_record
from vlft.recipe.data.benchmarks import Mmeb

V1 = {
    "qry_text": "<|image_1|>\nfind it.\n",
    "qry_img_path": "q/1.jpg",
    "tgt_text": ["a cat", "a dog", "a cow"],
    "tgt_img_path": ["", "", ""],
}
V2 = {
    "qry_inst": "<|image_1|>\nfind it:",
    "qry_text": "like this",
    "qry_img_path": "q/1.jpg",
    "tgt_inst": "<|image_1|>\nshow it.",
    "tgt_text": ["", ""],
    "tgt_img_path": ["t/1.jpg", "t/2.jpg"],
}


@pytest.fixture
def folder(tmp_path):
    (tmp_path / "images").mkdir()
    return tmp_path


def write(folder, name, rows, file="test-00000-of-00001.parquet"):
    (folder / name).mkdir(exist_ok=True)
    parquet.write_table(Table.from_pylist(rows), folder / name / file)


def read(folder, *names, **options):
    options = {"path": str(folder), "image_root": str(folder / "images")} | options
    return mmeb.MmebDataset(Mmeb(type="mmeb", datasets=names, **options))


def candidates(record):
    return [record.pool[place] for place in record.candidates]


def test_v1_rows(folder):
    write(folder, "NIGHTS", [V1])
    (record,) = read(folder, "NIGHTS")
    assert record.id == "NIGHTS/0"
    assert record.meta == {"dataset": "NIGHTS"}
    assert (record.query.text, record.query.instruction) == ("<|image_1|>\nfind it.\n", None)
    assert str(record.query.image.path) == "q/1.jpg"
    assert record.query.image.root == folder / "images"
    assert [item.text for item in candidates(record)] == ["a cat", "a dog", "a cow"]
    assert {(item.image, item.instruction) for item in candidates(record)} == {(None, None)}


def test_v2_rows_keep_instructions_apart(folder):
    write(folder, "NIGHTS", [V2])
    (record,) = read(folder, "NIGHTS")
    assert (record.query.instruction, record.query.text) == ("<|image_1|>\nfind it:", "like this")
    first, second = candidates(record)
    assert (first.text, first.instruction) == ("", "<|image_1|>\nshow it.")
    assert [str(one.image.path) for one in (first, second)] == ["t/1.jpg", "t/2.jpg"]
    assert [str(ref.path) for ref in images_of(record)] == ["q/1.jpg", "t/1.jpg", "t/2.jpg"]


def test_v2_rows_of_texts_have_no_images_and_no_target_instruction(folder):
    row = {key: V2[key] for key in ("qry_inst", "qry_text", "qry_img_path")}
    write(folder, "VOC2007", [row | {"tgt_text": ["cat", "dog"]}])
    (record,) = read(folder, "VOC2007")
    assert [(item.text, item.image) for item in candidates(record)] == [
        ("cat", None), ("dog", None)
    ]  # fmt: skip


def test_one_empty_text_stands_for_a_list(folder):
    write(folder, "NIGHTS", [V2 | {"tgt_text": ""}])
    (record,) = read(folder, "NIGHTS")
    assert [item.text for item in candidates(record)] == ["", ""]


def test_missing_texts_and_images_may_be_null(folder):
    row = V1 | {"tgt_text": [None, None], "tgt_img_path": ["t/1.jpg", "t/2.jpg"]}
    write(folder, "NIGHTS", [row, V1 | {"qry_img_path": None}])
    first, second = read(folder, "NIGHTS")
    assert [item.text for item in candidates(first)] == ["", ""]
    assert second.query.image is None


def test_lists_are_taken_as_long_as_they_are_and_repeats_stay(folder):
    short = V1 | {"tgt_text": ["a cat", "a cat"], "tgt_img_path": ["", ""]}
    write(folder, "NIGHTS", [V1, short])
    assert [len(record.candidates) for record in read(folder, "NIGHTS")] == [3, 2]


def test_rows_share_one_pool_of_different_candidates(folder):
    other = V1 | {"tgt_text": ["a cow", "a hen"], "tgt_img_path": ["", ""]}
    write(folder, "NIGHTS", [V1, other])
    first, second = read(folder, "NIGHTS")
    assert first.pool is second.pool
    assert [item.text for item in first.pool] == ["a cat", "a dog", "a cow", "a hen"]
    assert [first.candidates.tolist(), second.candidates.tolist()] == [[0, 1, 2], [2, 3]]
    assert all(record.candidates.dtype == np.int32 for record in (first, second))


def test_data_sets_take_turns(folder):
    write(folder, "NIGHTS", [V1, V1, V1])
    write(folder, "CIRR", [V1])
    found = read(folder, "NIGHTS", "CIRR")
    assert [record.id for record in found] == ["NIGHTS/0", "CIRR/0", "NIGHTS/1", "NIGHTS/2"]
    assert [record.id for record in read(folder, "NIGHTS", "CIRR", limit=2)] == [
        "NIGHTS/0", "CIRR/0"
    ]  # fmt: skip


def test_several_files_are_read_in_order(folder):
    write(folder, "NIGHTS", [V1], "test-00000-of-00002.parquet")
    write(folder, "NIGHTS", [V1 | {"qry_text": "second"}], "test-00001-of-00002.parquet")
    write(folder, "NIGHTS", [V1, V1], "train-00000-of-00001.parquet")
    assert [record.query.text for record in read(folder, "NIGHTS")][1:] == ["second"]


def test_the_training_spelling_of_imagenet_is_taken(folder):
    write(folder, "ImageNet_1K", [V1])
    for name in ("ImageNet-1K", "ImageNet_1K"):
        (record,) = read(folder, name)
        assert record.id == "ImageNet-1K/0"
    with pytest.raises(DataError, match="datasets names 'ImageNet-1K' twice"):
        read(folder, "ImageNet-1K", "ImageNet_1K")


def test_folders_that_are_not_asked_for_are_ignored(folder):
    write(folder, "NIGHTS", [V1])
    write(folder, "CIFAR-100", [V1])
    assert len(read(folder, "NIGHTS")) == 1


def test_missing_data_sets_are_named_with_their_place(folder):
    write(folder, "NIGHTS", [V1])
    with pytest.raises(DataError) as error:
        read(folder, "NIGHTS", "RefCOCO", "EDIS")
    assert "2 of 3 data sets are missing: RefCOCO, EDIS; each is expected as" in str(error.value)
    assert f"{folder}/NAME/test*.parquet" in str(error.value)
    assert "data.datasets=[...]" in str(error.value)


def test_a_missing_folder_of_images_is_named(folder):
    write(folder, "NIGHTS", [V1])
    with pytest.raises(DataError, match=r"folder of images .*gone' does not exist; unpack images"):
        read(folder, "NIGHTS", image_root=str(folder / "gone"))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"tgt_text": ["a", "b"]}, r"NIGHTS/1: found 2 texts in `tgt_text` and 3 paths in `tgt_"),
        ({"tgt_text": [], "tgt_img_path": []}, r"NIGHTS/1: `tgt_text` is empty, expected cand"),
        ({"tgt_text": None, "tgt_img_path": None}, r"NIGHTS/1: `tgt_text` is empty, expected"),
        ({"tgt_text": ["", "b", "c"]}, r"NIGHTS/1: the right candidate, .* is empty, expected"),
        ({"qry_text": " ", "qry_img_path": ""}, r"NIGHTS/1: `qry_text` and `qry_img_path` are e"),
    ],
)
def test_a_bad_row_is_named(folder, change, message):
    write(folder, "NIGHTS", [V1, V1 | change])
    with pytest.raises(RecordError, match=rf"^{folder}, record {message}"):
        read(folder, "NIGHTS")


def test_a_missing_column_is_named_with_the_nearest(folder):
    write(folder, "NIGHTS", [{"qry_tex": "a", "qry_img_path": "b", "tgt_text": ["c"]}])
    with pytest.raises(DataError, match=r"NIGHTS: unknown column 'qry_text'. Did you mean 'qry_t"):
        read(folder, "NIGHTS")


def test_columns_without_lists_are_refused(folder):
    write(folder, "NIGHTS", [V1 | {"tgt_text": "a", "tgt_img_path": "b"}])
    with pytest.raises(DataError, match="`tgt_text` and `tgt_img_path` hold no lists"):
        read(folder, "NIGHTS")


def test_a_damaged_file_is_named(folder):
    write(folder, "NIGHTS", [V1])
    (folder / "NIGHTS" / "test-00000-of-00001.parquet").write_bytes(b"PAR1 cut")
    with pytest.raises(DataError, match=r"test-00000-of-00001.parquet cannot be read \("):
        read(folder, "NIGHTS")


def test_the_hubs_configurations_are_read(folder, monkeypatch):
    asked = []

    class Source:
        def as_table(self):
            return Table.from_pylist([V1])

    def hub_rows(section):
        asked.append((section.path, section.subset, section.split, section.revision))
        return Source()

    monkeypatch.setattr(mmeb, "hub_rows", hub_rows)
    options = {"path": "hub:user/mmeb", "revision": "1a2b"}
    found = read(folder, "NIGHTS", "CIRR", **options)
    assert [record.id for record in found] == ["NIGHTS/0", "CIRR/0"]
    assert asked == [("hub:user/mmeb", name, "test", "1a2b") for name in ("NIGHTS", "CIRR")]
    with pytest.raises(DataError, match=r"images.zip: unpack that, and set `data.image_root`"):
        read(folder, "NIGHTS", image_root=None, **options)


def test_a_ranking_is_light_already_and_an_index_ends(folder):
    write(folder, "NIGHTS", [V1])
    records = open_dataset(
        Mmeb(type="mmeb", path=str(folder), image_root=str(folder), datasets=("NIGHTS",))
    )
    record = light_record(records, 0, max_pixels=10)
    assert record.pool is records[0].pool
    with pytest.raises(IndexError):
        records[1]


def test_the_generated_world_is_read(folder):
    write_layout("mmeb", folder, num_samples=3, max_objects=2)
    found = read(folder, "Scenes-t2i", "Scenes-VG")
    assert len(found) == 6
    for record in found:
        for ref in images_of(record):
            assert (ref.root / ref.path).is_file()
