"""MMEB's evaluation rows: the positive comes first, and only it is right."""

import numpy as np
import pytest
from PIL import Image

from vlft.data.scenes.layouts.mmeb import DATASETS, NUM_CANDIDATES


def rows_of(folder, name):
    from datasets import Dataset

    return list(Dataset.from_parquet(str(folder / name / "test-00000-of-00001.parquet")))


def pixels_of(path):
    with Image.open(path) as image:
        return np.asarray(image).tobytes()


@pytest.mark.parametrize("name", DATASETS)
def test_rows_have_the_official_columns_and_lists_of_equal_length(written, name):
    rows = rows_of(written("mmeb"), name)
    assert len(rows) == 44
    for row in rows:
        assert set(row) == {"qry_text", "qry_img_path", "tgt_text", "tgt_img_path"}
        assert len(row["tgt_text"]) == len(row["tgt_img_path"])
        assert 1 < len(row["tgt_text"]) <= NUM_CANDIDATES
        assert ("<|image_1|>" in row["qry_text"]) == bool(row["qry_img_path"])


@pytest.mark.parametrize("name", DATASETS)
def test_candidates_are_distinct_and_their_images_exist(written, name):
    folder = written("mmeb") / "images"
    for row in rows_of(written("mmeb"), name):
        candidates = list(zip(row["tgt_text"], row["tgt_img_path"], strict=True))
        assert len(set(candidates)) == len(candidates)
        for path in (row["qry_img_path"], *row["tgt_img_path"]):
            assert not path or (folder / path).is_file()


@pytest.mark.parametrize("name", ["Scenes-t2i", "Scenes-i2i", "Scenes-VG"])
def test_no_other_candidate_shows_the_same_as_the_positive(written, name):
    folder = written("mmeb") / "images"
    for row in rows_of(written("mmeb"), name):
        right, *wrong = (pixels_of(folder / path) for path in row["tgt_img_path"])
        assert right not in wrong


def test_the_mirrored_image_is_the_positive(written):
    folder = written("mmeb") / "images"
    for row in rows_of(written("mmeb"), "Scenes-i2i")[:10]:
        with Image.open(folder / row["qry_img_path"]) as query:
            occupied = (np.asarray(query) != 236).any(-1).reshape(4, 12, 4, 12).any((1, 3))
        with Image.open(folder / row["tgt_img_path"][0]) as target:
            mirrored = (np.asarray(target) != 236).any(-1).reshape(4, 12, 4, 12).any((1, 3))
        assert (occupied[:, ::-1] == mirrored).all()
