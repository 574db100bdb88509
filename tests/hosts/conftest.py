"""The tiny twins of generative families, records for them, and weights that make images matter."""

import copy
from collections.abc import Callable
from dataclasses import replace
from functools import partial

import numpy as np
import pytest
import torch
from PIL import Image

from vlft.backbones import build
from vlft.data.budget import host_images
from vlft.data.collate import ConversationCollator
from vlft.data.encode import ConversationEncoder, EncodedConversation
from vlft.data.records import Conversation, ImageRef
from vlft.recipe.backbone import ImageTextToText
from vlft.types import Backbone, Message, Prompt

TWINS = (
    "tiny_llava",
    "tiny_qwen2_5_vl",
    "tiny_qwen2_vl",
    "tiny_smolvlm",
    "tiny_idefics3",
    "tiny_paligemma",
    "tiny_gemma3",
    "tiny_internvl",
)


def noise(width: int, height: int, seed: int) -> Image.Image:
    """An image whose pixels all differ."""
    pixels = np.random.default_rng(seed).integers(0, 256, (height, width, 3), dtype=np.uint8)
    return Image.fromarray(pixels)


def record(question: str, answer: str, *sizes: tuple[int, int], record_id: str = "r1"):
    """One question on images of some sizes."""
    images = tuple(ImageRef(draw=partial(noise, *size, i)) for i, size in enumerate(sizes))
    asked = Message("user", (*range(len(sizes)), question))
    return Conversation(record_id, (asked, Message("assistant", (answer,))), images)


@pytest.fixture(scope="session")
def records() -> tuple[Conversation, ...]:
    """A text, one image, and three images of different shapes."""
    return (
        record("what is a red circle?", "a shape", record_id="none"),
        record("what color is it?", "red", (60, 48), record_id="one"),
        record("and these?", "blue or green", (48, 48), (150, 40), (50, 130), record_id="three"),
    )


@pytest.fixture(scope="session")
def prompts(records: tuple[Conversation, ...]) -> list[Prompt]:
    """The questions of the records, and a longer one."""
    longer = record("left of a large square, is there a circle?", "yes", (90, 90))
    return [
        Prompt(one.messages[:1], tuple(ref.draw() for ref in one.images))
        for one in (*records, longer)
    ]


@pytest.fixture(scope="session")
def pristine_twins() -> dict[str, Backbone]:
    made = {}
    for name in TWINS:
        torch.manual_seed(0)
        made[name] = build(ImageTextToText(type="image_text_to_text", config=name))
        generator = torch.Generator().manual_seed(3)
        with torch.no_grad():  # larger weights, so that prompts and images change the answers
            for weight in made[name].model.parameters():
                if weight.ndim > 1:
                    scale = 1.2 / weight.flatten(1).shape[1] ** 0.5
                    if weight is made[name].model.get_input_embeddings().weight:
                        scale = 0.02  # or a tied head would only repeat the last token
                    weight.copy_(torch.randn(weight.shape, generator=generator) * scale)
        made[name].model.eval()
    return made


@pytest.fixture(params=TWINS)
def twin(request: pytest.FixtureRequest, pristine_twins: dict[str, Backbone]) -> Backbone:
    """One tiny twin; not to be written to."""
    return pristine_twins[request.param]


@pytest.fixture
def own(twin: Backbone) -> Backbone:
    """A copy of a tiny twin that a test may train."""
    return replace(twin, model=copy.deepcopy(twin.model))


@pytest.fixture
def encoded(twin: Backbone, records: tuple[Conversation, ...]) -> tuple[EncodedConversation, ...]:
    """The records of this file as samples."""
    encode = ConversationEncoder(twin.processor, host=host_images(twin.model))
    return tuple(encode(one, dataset="train.jsonl") for one in records)


@pytest.fixture
def collator(twin: Backbone) -> Callable[..., ConversationCollator]:
    """A collator that pads on a side."""

    def make(side: str = "right") -> ConversationCollator:
        collate = ConversationCollator(twin.processor, host_images(twin.model))
        collate.padding_side = side
        return collate

    return make
