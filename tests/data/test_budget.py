"""A sample keeps within its image tokens: sizes are chosen before anything is encoded."""

from functools import partial

import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image

from vlft.backbones import build
from vlft.data.budget import fit_images, host_images
from vlft.data.encode import ConversationEncoder
from vlft.data.pipeline import encoder as recipe_encoder
from vlft.data.records import Conversation, ImageRef
from vlft.errors import DataError, OverlongError
from vlft.recipe.backbone import CausalLM, ImageTextToText
from vlft.recipe.data import DataSection
from vlft.types import Message

FLEXIBLE = ("tiny_qwen2_5_vl", "tiny_qwen2_vl", "tiny_smolvlm", "tiny_idefics3", "tiny_internvl")
FIXED = ("tiny_llava", "tiny_paligemma", "tiny_gemma3")
SMALLEST = {"tiny_qwen2_5_vl": 4, "tiny_qwen2_vl": 4}
"""Fewest tokens of one image; 16 elsewhere."""


@pytest.fixture(scope="module")
def hosts():
    """Every twin, without weights."""
    sections = (
        ImageTextToText(type="image_text_to_text", config=name) for name in (*FLEXIBLE, *FIXED)
    )
    return Hosts((section.config, build(section, device="meta")) for section in sections)


class Hosts(dict):
    """Hosts by name, with a short text for the messages of hypothesis."""

    __repr__ = object.__repr__


def record(sizes):
    draw = [ImageRef(draw=partial(Image.new, "RGB", size, (9, 90, 200))) for size in sizes]
    turns = (Message("user", (*range(len(sizes)), "what?")), Message("assistant", ("red",)))
    return Conversation("r1", turns, tuple(draw))


def encoder(host, **options):
    return ConversationEncoder(host.processor, host=host_images(host.model), **options)


def image_tokens(host, sample):
    return int((sample.input_ids == host.model.config.image_token_id).sum())


sides = st.integers(8, 420)
several = st.lists(st.tuples(sides, sides), min_size=1, max_size=3)
QUIET = settings(
    max_examples=8, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)


@pytest.mark.parametrize("name", FLEXIBLE)
@given(sizes=several, budget=st.integers(4, 200))
@QUIET
def test_no_sample_is_over_its_budget_and_what_is_under_it_is_unchanged(hosts, name, sizes, budget):
    host = hosts[name]
    whole = encoder(host)(record(sizes), dataset="d")
    natural = image_tokens(host, whole)
    try:
        sample = encoder(host, image_tokens=budget)(record(sizes), dataset="d")
    except OverlongError:
        assert budget < len(sizes) * SMALLEST.get(name, 16)
        return
    assert image_tokens(host, sample) <= budget
    if natural <= budget:
        assert torch.equal(sample.input_ids, whole.input_ids)
        for key, values in whole.image_inputs.items():
            assert torch.equal(sample.image_inputs[key], values)


@pytest.mark.parametrize("name", FLEXIBLE)
@given(size=st.tuples(st.integers(4, 3000), st.integers(4, 3000)))
@QUIET
def test_the_count_before_encoding_is_that_of_the_encoding(hosts, name, size):
    host = hosts[name]
    count = host_images(host.model).family.flexible.count
    if max(size) > 600:  # encoded only when small, for speed
        size = (size[0] // 8 + 4, size[1] // 8 + 4)
    sample = encoder(host)(record([size]), dataset="d")
    assert count(host.processor, size) == image_tokens(host, sample)


@pytest.mark.parametrize("name", FLEXIBLE)
@pytest.mark.parametrize("size", [(1500, 8), (8, 1500), (700, 50)])
def test_very_long_images_stay_within_too(hosts, name, size):
    host = hosts[name]
    sample = encoder(host, image_tokens=16)(record([size]), dataset="d")
    assert image_tokens(host, sample) <= 16


def test_a_small_image_leaves_its_share_to_a_large_one(hosts):
    host = hosts["tiny_qwen2_5_vl"]
    family = host_images(host.model).family
    small, large = (24, 24), (96, 96)
    fitted, _ = fit_images([large, small], family=family, processor=host.processor, budget=40)
    assert fitted[1] == small
    counts = [family.flexible.count(host.processor, size) for size in fitted]
    assert counts[1] == 4
    assert 30 <= counts[0] <= 36


def test_the_shape_of_an_image_is_kept(hosts):
    host = hosts["tiny_qwen2_5_vl"]
    family = host_images(host.model).family
    (((width, height),), _) = fit_images(
        [(1200, 600)], family=family, processor=host.processor, budget=32
    )
    assert width / height == pytest.approx(2, rel=0.05)


@pytest.mark.parametrize("name", FIXED)
def test_a_fixed_number_over_the_budget_is_overlong(hosts, name):
    host = hosts[name]
    assert encoder(host, image_tokens=32)(record([(48, 48)] * 2), dataset="d")
    with pytest.raises(OverlongError) as error:
        encoder(host, image_tokens=31)(record([(48, 48)] * 2), dataset="train.jsonl")
    message = str(error.value)
    assert message.startswith("train.jsonl, record r1: data.image_tokens_per_sample is 31, but ")
    assert "makes 32 tokens of 2 images, whatever their size" in message


def test_a_budget_below_the_smallest_images_is_overlong(hosts):
    with pytest.raises(OverlongError) as error:
        encoder(hosts["tiny_internvl"], image_tokens=20)(record([(48, 48)] * 2), dataset="d")
    message = str(error.value)
    assert "2 images of 48 x 48, 48 x 48 pixels cannot have so few tokens on this host" in message
    assert "data.overlong: drop" in message


def test_a_host_without_a_table_takes_no_budget(hosts):
    values = {"train": {"type": "scenes", "questions": ["color"]}, "image_tokens_per_sample": 64}
    data = DataSection.model_validate(values)
    assert recipe_encoder(hosts["tiny_llava"], data).image_tokens == 64
    text_only = build(CausalLM(type="causal_lm", config="tiny_llama"), device="meta")
    with pytest.raises(DataError, match=r"data.image_tokens_per_sample: vlft does not know"):
        recipe_encoder(text_only, data)


@pytest.mark.parametrize("name", FLEXIBLE)
def test_shrinking_fits_a_sample_into_its_length(hosts, name):
    host = hosts[name]
    options = {"max_length": 110, "overlong": "shrink_image"}
    sizes = [(400, 300), (90, 200)]
    assert len(encoder(host)(record(sizes), dataset="d").input_ids) > 110
    sample = encoder(host, **options)(record(sizes), dataset="d")
    assert len(sample.input_ids) <= 110
    assert image_tokens(host, sample) >= 32
    with pytest.raises(OverlongError, match=r"the smallest images leave \d+ image tokens"):
        encoder(host, **(options | {"max_length": 12}))(record(sizes), dataset="d")
