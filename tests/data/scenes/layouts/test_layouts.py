"""What holds for every layout."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from vlft.data.scenes.layouts import LAYOUTS, write_layout
from vlft.errors import DataError, UnknownNameError

SWAPPED = ("aro", "negclip", "sugarcrepe")


def tree(folder):
    files = sorted(path for path in Path(folder).rglob("*") if path.is_file())
    return {str(path.relative_to(folder)): content(path) for path in files}


def content(path):
    if path.suffix == ".png":  # the compression may differ between machines, the pixels may not
        with Image.open(path) as image:
            return np.asarray(image).tobytes()
    return path.read_bytes()


@pytest.mark.parametrize("name", LAYOUTS)
def test_a_layout_is_the_same_whenever_it_is_written(name, tmp_path):
    first = write_layout(name, tmp_path / "a", num_samples=5, offset=3)
    second = write_layout(name, str(tmp_path / "b"), num_samples=5, offset=3)
    assert tree(first)
    assert tree(first) == tree(second)


def test_offset_and_seed_give_other_samples(tmp_path):
    folders = [
        write_layout("pairs", tmp_path / str(number), num_samples=4, **settings)
        for number, settings in enumerate(({}, {"offset": 4}, {"seed": 1}))
    ]
    assert len({(folder / "pairs.tsv").read_text() for folder in folders}) == 3


def test_an_unknown_layout_names_the_near_one(tmp_path):
    with pytest.raises(UnknownNameError, match="Did you mean 'scienceqa'"):
        write_layout("science_qa", tmp_path, num_samples=4)


@pytest.mark.parametrize("name", SWAPPED)
def test_layouts_of_swaps_refuse_a_world_of_single_objects(name, tmp_path):
    with pytest.raises(DataError, match=f"{name} needs two objects"):
        write_layout(name, tmp_path, num_samples=4, max_objects=1)


@pytest.mark.parametrize("name", sorted(LAYOUTS.keys() - {*SWAPPED}))
def test_the_others_can_be_written_with_single_objects(name, tmp_path):
    write_layout(name, tmp_path, num_samples=4, max_objects=1)
