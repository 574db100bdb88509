"""Varied images: the same for one seed, epoch and index; others for others; and the text stays."""
# ruff: noqa: E501  a table of one case per line

import pickle
from functools import partial

import numpy as np
import pytest
from PIL import Image
from torch.utils.data import DataLoader

from vlft.data import open_dataset, pipeline
from vlft.data.augment import OPERATIONS, Augment, vary
from vlft.data.images import open_image
from vlft.data.records import ImageRef, images_of
from vlft.data.scenes import draw_scene, render
from vlft.errors import MissingImageError, RecipeError
from vlft.recipe import load_recipe
from vlft.recipe.data import Augmentation, DataSection, Mixture, Pairs, Scenes

ALL = Augmentation(min_crop_area=0.5, flip=True, num_ops=2)
SCENES = Scenes(type="scenes", task="captioning", num_samples=6, seed=2, image_size=48)


def pixels(image):
    return np.asarray(image).astype(int)


@pytest.fixture
def photograph():
    """Left half red, right half blue, a bright corner: 90 x 60 pixels."""
    image = np.full((60, 90, 3), 10, np.uint8)
    image[:, :45, 0] = 200
    image[:, 45:, 2] = 200
    image[:10, :10] = 230
    return Image.fromarray(image)


def opened(record):
    return [pixels(open_image(ref, dataset="d", record_id=record.id)) for ref in images_of(record)]


def test_a_draw_depends_on_seed_epoch_and_index_alone():
    records = open_dataset(SCENES)
    augment = Augment(ALL, 7, 10**6)
    places = [(epoch, index) for epoch in (0, 1) for index in range(4)]
    found = {}
    for epoch, index in places:
        record = augment(records[index], epoch=epoch, index=index, dataset="d")
        (found[epoch, index],) = opened(record)
        again = pickle.loads(pickle.dumps(record))  # noqa: S301
        assert np.array_equal(opened(again)[0], found[epoch, index])
        assert (record.messages, record.id) == (records[index].messages, records[index].id)
        assert found[epoch, index].shape == (48, 48, 3)
    changed = [not np.array_equal(found[0, index], found[1, index]) for index in range(4)]
    assert all(changed)
    (other,) = opened(Augment(ALL, 8, 10**6)(records[0], epoch=0, index=0, dataset="d"))
    assert not np.array_equal(other, found[0, 0])


def test_images_of_one_record_are_varied_apart(conversation):
    record = conversation("which?", "none.", num_images=2)
    picture = render(draw_scene(5, 1))
    refs = tuple(ImageRef(draw=partial(Image.Image.copy, picture)) for _ in range(2))
    record = type(record)(record.id, record.messages, refs)
    first, second = opened(Augment(ALL, 1, 10**6)(record, epoch=0, index=0, dataset="d"))
    assert not np.array_equal(first, second)


def test_half_are_mirrored_and_nothing_else(photograph):
    mirrored = pixels(photograph)[:, ::-1]
    section = Augmentation(flip=True)
    seen = []
    for seed in range(200):
        found = pixels(vary(photograph, section, np.random.default_rng(seed)))
        seen.append(np.array_equal(found, mirrored))
        assert seen[-1] or np.array_equal(found, pixels(photograph))
    assert 70 < sum(seen) < 130


def test_a_cut_keeps_at_least_the_share(photograph):
    """A ramp tells which part of the sides was kept."""
    ramp = np.zeros((100, 100, 3), np.uint8)
    ramp[..., 0] = np.arange(100)[None] * 2
    ramp[..., 1] = np.arange(100)[:, None] * 2
    image = Image.fromarray(ramp)
    areas = []
    for seed in range(200):
        found = pixels(vary(image, Augmentation(min_crop_area=0.5), np.random.default_rng(seed)))
        width, height = (np.ptp(found[..., channel]) / 198 for channel in (0, 1))
        areas.append(width * height)
        assert 0.7 < width / height < 1.42
    assert 0.46 < min(areas) < 0.6
    assert 0.9 < max(areas) <= 1


@pytest.mark.parametrize("name", OPERATIONS)
def test_operations_keep_the_size_and_change_what_they_say(photograph, name):
    change = OPERATIONS[name]
    found = pixels(change(photograph, 0.5))
    assert found.shape == (60, 90, 3)
    assert pixels(photograph)[30, 10].tolist() == [200, 10, 10]  # the image itself is not touched
    same = np.array_equal(found, pixels(photograph))
    assert same == (name in ("identity", "brightness", "sharpness"))  # 5 of 10 is their middle
    assert name == "identity" or not np.array_equal(
        pixels(change(photograph, 1.0)), pixels(photograph)
    )


@pytest.mark.parametrize("name", ["shear_x", "shear_y", "translate_x", "translate_y", "rotate"])
def test_a_sign_is_a_direction_and_what_comes_in_is_gray(photograph, name):
    one, other = (pixels(OPERATIONS[name](photograph, strength)) for strength in (1.0, -1.0))
    assert not np.array_equal(one, other)
    assert (one == 128).all(axis=-1).any()
    assert one[30, 30].tolist() == [200, 10, 10]


def test_operations_are_done_half_of_the_time(photograph):
    section = Augmentation(num_ops=1, magnitude=10)
    still = sum(
        np.array_equal(
            pixels(vary(photograph, section, np.random.default_rng(seed))), pixels(photograph)
        )
        for seed in range(400)
    )
    assert 180 < still < 260  # half, and the identity of the others


def test_a_missing_image_is_told_as_ever(write_jsonl):
    path = write_jsonl([{"filepath": "no.png", "title": "a dog"}])
    record = open_dataset(Pairs(type="pairs", path=str(path)))[0]
    (ref,) = images_of(Augment(ALL, 0, 10**6)(record, epoch=0, index=0, dataset="mine"))
    with pytest.raises(MissingImageError, match=r"mine, record line 1: image not found: 'no.png'"):
        open_image(ref, dataset="mine", record_id="line 1")


# samples


@pytest.mark.parametrize("kind", ["one set", "mixture"])
@pytest.mark.parametrize("workers", [0, 1])
def test_samples_of_an_epoch_are_varied_and_held_out_ones_are_not(host, kind, workers):
    data = DataSection(train=SCENES, augmentation=ALL)
    section = Mixture(type="mixture", datasets=(SCENES,)) if kind == "mixture" else SCENES
    backbone = host("tiny_llava")

    def tensors(samples):
        loader = DataLoader(samples, batch_size=None, num_workers=workers)
        return [sample.image_inputs["pixel_values"].numpy() for sample in loader]

    plain = tensors(pipeline.open_samples(backbone, data, section, None))
    samples = pipeline.open_samples(backbone, data, section, None, seed=3)
    epochs = {}
    for epoch in (0, 1, 0):
        samples.set_epoch(epoch)
        found = tensors(samples)
        assert all(not np.array_equal(one, other) for one, other in zip(found, plain, strict=True))
        if epoch in epochs:
            assert all(map(np.array_equal, found, epochs[epoch]))
        epochs[epoch] = found
    assert not any(map(np.array_equal, epochs[0], epochs[1]))
    together = samples.__getitems__([0, 1, 2])
    assert all(
        np.array_equal(sample.image_inputs["pixel_values"], expected)
        for sample, expected in zip(together, epochs[0], strict=False)
    )


# recipes


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("data.augmentation={flip: false}", "nothing is varied: set min_crop_area, flip or num_ops"),
        ("data.augmentation={min_crop_area: 0}", "data.augmentation.min_crop_area"),
        ("data.augmentation={num_ops: 2, magnitude: 11}", "data.augmentation.magnitude"),
        ("data={augmentation: {flip: true}, cache_vision_features: true}", "data.augmentation varies images in every epoch, so their features change"),
    ],
)  # fmt: skip
def test_what_does_not_go_is_refused(override, message):
    with pytest.raises(RecipeError) as error:
        load_recipe("tiny/dehvf_scenes", [override])
    assert message in str(error.value)
