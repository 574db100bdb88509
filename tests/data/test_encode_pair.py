"""Image-text pairs as tensors."""

from functools import partial

import pytest
import torch
from PIL import Image
from transformers import CLIPImageProcessor, CLIPProcessor

from vlft.backbones.tokenizer import chat_tokenizer
from vlft.data.encode_pair import PairEncoder
from vlft.data.records import ImageRef, Pair
from vlft.errors import BackboneError


def pair(text):
    return Pair("p1", ImageRef(draw=partial(Image.new, "RGB", (60, 48), (200, 30, 40))), text)


@pytest.fixture(scope="module")
def clip(pristine_hosts):
    return pristine_hosts["tiny_clip"].processor


def test_pair_is_what_the_processor_makes_of_it(clip):
    record = pair("a red circle")
    sample = PairEncoder(clip)(record, dataset="d")
    direct = clip(images=[record.image.draw()], text=["a red circle"], return_tensors="pt")
    assert torch.equal(sample.input_ids, direct["input_ids"][0])
    assert torch.equal(sample.image_inputs["pixel_values"], direct["pixel_values"])


def test_long_text_is_cut_and_keeps_its_end_token(clip):
    sample = PairEncoder(clip)(pair("a red circle " * 50), dataset="d")
    assert len(sample.input_ids) == clip.tokenizer.model_max_length == 64
    assert sample.input_ids[-1] == clip.tokenizer.eos_token_id
    shorter = PairEncoder(clip, max_length=8)(pair("a red circle " * 50), dataset="d")
    assert len(shorter.input_ids) == 8
    assert shorter.input_ids[-1] == clip.tokenizer.eos_token_id


def test_tokenizer_without_a_limit_needs_one():
    processor = CLIPProcessor(CLIPImageProcessor(), chat_tokenizer())
    with pytest.raises(BackboneError, match=r"set `data.max_length`"):
        PairEncoder(processor)
    assert PairEncoder(processor, max_length=8).texts.max_length == 8
