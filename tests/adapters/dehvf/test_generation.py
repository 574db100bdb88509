"""DEHVF while answers are generated: caches, beams, and what a prompt must hold."""

import pytest
import torch

from tests.adapters.dehvf.conftest import QUERIES, logits_of, one
from vlft.errors import AdapterError


@pytest.mark.parametrize("query", QUERIES)
def test_cached_generation_is_greedy_decoding_without_a_cache(adapted, inputs, query):
    backbone = adapted(query=query)
    asked = one(inputs, 2, 1)
    del asked["prompt_mask"]  # all of it is the prompt
    settings = {"do_sample": False, "max_new_tokens": 6, "eos_token_id": None, "pad_token_id": 0}
    answer = backbone.model.generate(**asked, **settings)
    assert torch.equal(answer, backbone.model.generate(**asked, use_cache=False, **settings))
    ids = asked["input_ids"]
    prompt = torch.ones_like(ids, dtype=torch.bool)
    for _ in range(6):
        seen = torch.nn.functional.pad(prompt, (0, ids.shape[1] - prompt.shape[1]))
        shown = {"input_ids": ids, "pixel_values": asked["pixel_values"], "prompt_mask": seen}
        ids = torch.cat([ids, logits_of(backbone, shown)[:, -1:].argmax(-1)], dim=1)
    assert torch.equal(answer, ids)
    assert not torch.equal(answer, backbone.model.generate(**one(inputs, 2), **settings))
    for prompt_only in (one(inputs, 2), one(inputs, 2, 0)):  # nothing is left of the call before
        twice = [backbone.model.generate(**prompt_only, **settings) for _ in range(2)]
        assert torch.equal(*twice)


def test_beams_and_several_answers_read_their_own_sample(adapted, inputs):
    backbone = adapted()
    settings = {"max_new_tokens": 5, "eos_token_id": None, "pad_token_id": 0, "do_sample": False}
    both = {
        "input_ids": inputs["input_ids"][[0, 2]],
        "pixel_values": inputs["pixel_values"],
        "attention_mask": inputs["attention_mask"][[0, 2]],
    }
    beams = {"num_beams": 3, "num_return_sequences": 2}
    together = backbone.model.generate(**both, **beams, **settings)
    for row, image in ((0, 0), (1, 1)):
        alone = {name: value[row : row + 1] for name, value in both.items() if "pixel" not in name}
        alone["pixel_values"] = inputs["pixel_values"][image : image + 1]
        expected = backbone.model.generate(**alone, **beams, **settings)
        assert torch.equal(together[2 * row : 2 * row + 2], expected)


def test_a_hidden_query_needs_the_whole_prompt_and_its_mask(adapted, inputs):
    backbone = adapted(query="hidden")
    asked = one(inputs, 2, 1)
    settings = {"do_sample": False, "max_new_tokens": 3, "eos_token_id": None, "pad_token_id": 0}
    bare_prompt = {name: asked[name] for name in ("input_ids", "pixel_values")}
    with pytest.raises(AdapterError, match="attention_mask: with adapter"):
        backbone.model.generate(**bare_prompt, **settings)
    with pytest.raises(AdapterError, match="reads the whole prompt in one forward pass"):
        backbone.model.generate(**asked, prefill_chunk_size=4, **settings)


@pytest.mark.parametrize("name", ["tiny_llava", "tiny_qwen2_5_vl", "tiny_gemma3"])
def test_generate_refuses_tokens_that_stand_for_images(adapted, name):
    backbone = adapted(name)
    ids = torch.full((2, 6), 30)
    settings = {"max_new_tokens": 1, "eos_token_id": None, "pad_token_id": 0, "do_sample": False}
    assert backbone.model.generate(input_ids=ids, **settings).shape == (2, 7)
    ids[1, 2:5] = backbone.model.config.image_token_id
    for given in ({"input_ids": ids}, {"inputs": ids}):
        with pytest.raises(AdapterError, match=r"input_ids: 3 of the tokens stand for an image"):
            backbone.model.generate(**given, **settings)
