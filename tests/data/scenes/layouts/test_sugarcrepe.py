"""SugarCrepe's seven files: what is changed in each, and that it is false."""

import json
from collections import Counter

import pytest
from PIL import Image

from vlft.data import open_dataset
from vlft.data.scenes.layouts import write_layout
from vlft.data.scenes.layouts.sugarcrepe import SETS, _scene
from vlft.data.scenes.scene import World
from vlft.data.scenes.truth import holds
from vlft.data.scenes.vocabulary import words_of
from vlft.data.scenes.world import COLORS, RELATIONS, SHAPES, SIZES, TEXTURES
from vlft.recipe.data.benchmarks import CaptionPairs

ATTRIBUTES = {*COLORS, *SIZES, *TEXTURES}
LINKS = {word for words in RELATIONS.values() for word in words.split()}


def changed(record):
    """The words that the wrong caption lost, and those that it gained; articles apart."""
    true, false = (Counter(words_of(record[k])) for k in ("caption", "negative_caption"))
    both = [{*(one - other)} - {"a", "an", ","} for one, other in ((true, false), (false, true))]
    return tuple(both)


@pytest.mark.parametrize("name", SETS)
def test_one_caption_is_true_and_the_other_is_not(written, name):
    folder = written("sugarcrepe")
    records = json.loads((folder / f"{name}.json").read_text())
    assert list(records) == [str(number) for number in range(44)]
    for index, record in enumerate(records.values()):
        assert list(record) == ["filename", "caption", "negative_caption"]
        scene = _scene(World(), index)
        assert holds(scene, record["caption"])
        assert not holds(scene, record["negative_caption"])
        with Image.open(folder / "val2017" / record["filename"]) as image:
            assert image.size == (48, 48)


@pytest.mark.parametrize(
    ("name", "lost", "gained"),
    [
        ("add_att", set(), ATTRIBUTES),
        ("add_obj", set(), {*COLORS, *SHAPES}),
        ("replace_att", ATTRIBUTES, ATTRIBUTES),
        ("replace_obj", {*SHAPES}, {*SHAPES}),
        ("replace_rel", LINKS, LINKS),
        ("swap_att", set(), set()),
        ("swap_obj", set(), set()),
    ],
)
@pytest.mark.parametrize("max_objects", [2, 4])
def test_a_set_changes_what_its_name_says(tmp_path, name, lost, gained, max_objects):
    folder = write_layout("sugarcrepe", tmp_path, num_samples=30, max_objects=max_objects)
    for record in json.loads((folder / f"{name}.json").read_text()).values():
        less, more = changed(record)
        assert less <= lost
        assert more <= gained
        assert bool(more) == bool(gained)


def test_our_reader_reads_them(written):
    folder = written("sugarcrepe")
    path, root = str(folder / "swap_att.json"), str(folder / "val2017")
    records = open_dataset(CaptionPairs(type="caption_pairs", path=path, image_root=root))
    assert len(records) == 44
    assert sorted(words_of(records[3].text)) == sorted(words_of(records[3].meta["negative"]))
