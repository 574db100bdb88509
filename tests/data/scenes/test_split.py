"""Held-out scenes: disjoint from training scenes whatever the seed, and an eighth of all."""

import pytest

from vlft.data.scenes.dataset import SceneDataset
from vlft.data.scenes.scene import World, draw_in, is_held_out
from vlft.recipe.data.scenes import Scenes


def contents(scene) -> frozenset:
    return frozenset((o.shape, o.color, o.size, o.texture, o.row, o.column) for o in scene.objects)


@pytest.mark.parametrize("max_objects", [1, 2])
def test_no_scene_is_in_both_splits_under_any_seed_or_jitter(max_objects):
    train = {
        contents(draw_in(World(seed, max_objects, split="train"), index))
        for seed in (0, 1)
        for index in range(400)
    }
    held_out = {
        contents(draw_in(World(seed, max_objects, jitter=jitter, split="held_out"), index))
        for seed in (0, 7)
        for jitter in (False, True)
        for index in range(200)
    }
    assert not train & held_out


def test_an_eighth_is_held_out():
    share = sum(is_held_out(draw_in(World(), index).objects) for index in range(4000)) / 4000
    assert 0.105 < share < 0.145


def test_data_sets_train_on_the_rest_by_default():
    for task in ("question_answering", "captioning", "pairs"):
        data = SceneDataset(Scenes(type="scenes", task=task, num_samples=60))
        for index in range(60):
            record = data[index]
            refs = [record.image] if task == "pairs" else record.images
            assert not any(is_held_out(ref.draw.scene.objects) for ref in refs)
