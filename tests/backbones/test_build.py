"""The tiny hosts: what goes in, what comes out, and that padding and seeds do what they should."""

import math

import numpy as np
import pytest
import torch
from PIL import Image

from vlft.backbones import BACKBONES, build
from vlft.recipe.backbone import (
    Assembled,
    CausalLM,
    Clip,
    ImageTextToText,
    OpenClip,
    Siglip,
    Vision,
)

SECTIONS = {
    "clip": Clip(type="clip", config="tiny_clip"),
    "siglip": Siglip(type="siglip", config="tiny_siglip"),
    "open_clip": OpenClip(type="open_clip", config="tiny_open_clip"),
    "vision": Vision(type="vision", config="tiny_swin"),
    "image_text_to_text": ImageTextToText(type="image_text_to_text", config="tiny_llava"),
    "assembled": Assembled(type="assembled", config="tiny_llava"),
    "causal_lm": CausalLM(type="causal_lm", config="tiny_llama"),
}


def image(seed):
    pixels = np.random.default_rng(seed).integers(0, 256, (48, 48, 3), dtype=np.uint8)
    return Image.fromarray(pixels)


def turn(role, text, num_images=0):
    content = [{"type": "image"}] * num_images + [{"type": "text", "text": text}]
    return {"role": role, "content": content}


@pytest.fixture(scope="module")
def llava():
    torch.manual_seed(0)
    backbone = build(SECTIONS["image_text_to_text"])
    backbone.model.eval()
    return backbone


@pytest.fixture(scope="module")
def clip():
    torch.manual_seed(0)
    backbone = build(SECTIONS["clip"])
    backbone.model.eval()
    return backbone


def test_every_kind_of_host_has_a_tiny_one():
    assert SECTIONS.keys() == BACKBONES.keys()


@pytest.mark.parametrize("kind", SECTIONS)
def test_the_same_seed_gives_the_same_weights(kind):
    weights = []
    for seed in (1, 1, 2):
        torch.manual_seed(seed)
        weights.append(torch.cat([p.flatten() for p in build(SECTIONS[kind]).model.parameters()]))
    assert torch.equal(weights[0], weights[1])
    assert not torch.equal(weights[0], weights[2])


@pytest.mark.parametrize("kind", SECTIONS)
def test_random_hosts_say_that_a_run_must_save_them(kind):
    backbone = build(SECTIONS[kind])
    assert backbone.local_parts == ("",)
    assert backbone.source["config"].startswith("tiny_")
    expected = "open_clip" if kind == "open_clip" else "built-in"
    assert backbone.source["processor"] == expected
    assert (backbone.type, backbone.family) == (kind, SECTIONS[kind].family)


@pytest.mark.parametrize("kind", SECTIONS)
def test_meta_has_the_same_names_and_shapes(kind):
    real = {name: p.shape for name, p in build(SECTIONS[kind]).model.named_parameters()}
    meta = dict(build(SECTIONS[kind], device="meta").model.named_parameters())
    assert {name: p.shape for name, p in meta.items()} == real
    assert all(p.is_meta for p in meta.values())


def test_text_only_one_image_and_three_images_in_one_batch(llava):
    conversations = [
        [turn("user", "what is red?"), turn("assistant", "the circle")],
        [turn("user", "what color is the circle?", 1), turn("assistant", "red")],
        [turn("user", "what changed?", 3), turn("assistant", "the square is blue")],
    ]
    text = [llava.processor.apply_chat_template(c, tokenize=False) for c in conversations]
    images = [image(seed) for seed in range(4)]
    batch = llava.processor(
        text=text,
        images=[images[:0], images[:1], images[1:]],
        padding=True,
        add_special_tokens=False,
        return_tensors="pt",
    )
    placeholders = (batch["input_ids"] == llava.model.config.image_token_id).sum(dim=1)
    assert placeholders.tolist() == [0, 16, 48]
    assert batch["pixel_values"].shape == (4, 3, 48, 48)
    with torch.no_grad():
        logits = llava.model(**batch).logits
    assert logits.shape == (*batch["input_ids"].shape, llava.model.config.text_config.vocab_size)


def test_an_image_changes_the_answer_after_it(llava):
    text = llava.processor.apply_chat_template([turn("user", "?", 1)], tokenize=False)
    logits = []
    for seed in (0, 1):
        batch = llava.processor(text=text, images=[image(seed)], return_tensors="pt")
        with torch.no_grad():
            logits.append(llava.model(**batch).logits[0, -1])
    assert not torch.allclose(logits[0], logits[1], atol=1e-4)


def test_left_and_right_padding_give_the_same_logits(llava):
    conversations = [
        [turn("user", "what color is the circle?", 1), turn("assistant", "red")],
        [turn("user", "is the small striped square above the circle?", 1), turn("assistant", "no")],
    ]
    text = [llava.processor.apply_chat_template(c, tokenize=False) for c in conversations]
    images = [[image(0)], [image(1)]]
    logits = {}
    for side in ("left", "right"):
        batch = llava.processor(
            text=text,
            images=images,
            padding=True,
            padding_side=side,
            add_special_tokens=False,
            return_tensors="pt",
        )
        mask = batch["attention_mask"].bool()
        assert not mask.all()
        # generate() counts positions from the mask like this; forward would count the padding too.
        positions = (batch["attention_mask"].cumsum(-1) - 1).clamp(min=0)
        with torch.no_grad():
            out = llava.model(**batch, position_ids=positions).logits
        logits[side] = [row[kept] for row, kept in zip(out, mask, strict=True)]
    for left, right in zip(logits["left"], logits["right"], strict=True):
        torch.testing.assert_close(left, right, atol=1e-5, rtol=0)


@pytest.mark.parametrize("kind", ["image_text_to_text", "causal_lm"])
def test_a_random_decoder_knows_nothing(kind):
    torch.manual_seed(0)
    model = build(SECTIONS[kind]).model
    ids = torch.randint(7, 500, (4, 64))
    with torch.no_grad():
        loss = model(input_ids=ids, labels=ids).loss
    vocabulary = model.config.get_text_config().vocab_size
    assert loss.item() == pytest.approx(math.log(vocabulary), rel=0.15)


def test_a_random_clip_knows_nothing(clip):
    texts = [
        f"a {color} circle {place} the square" for color in ("red", "blue") for place in "abcd"
    ]
    batch = clip.processor(
        text=texts, images=[image(i) for i in range(8)], padding=True, return_tensors="pt"
    )
    with torch.no_grad():
        out = clip.model(**batch)
    assert out.logits_per_image.shape == (8, 8)
    loss = torch.nn.functional.cross_entropy(out.logits_per_image, torch.arange(8))
    assert loss.item() == pytest.approx(math.log(8), abs=0.6)


def test_clip_reads_its_text_embedding_at_the_end_token(clip):
    batch = clip.processor.tokenizer(
        ["red", "a small blue square"], padding=True, return_tensors="pt"
    )
    ends = [ids.index(clip.processor.tokenizer.eos_token_id) for ids in batch["input_ids"].tolist()]
    assert ends[0] < ends[1]
    with torch.no_grad():
        out = clip.model.text_model(**batch)
    for row, end in enumerate(ends):
        assert torch.equal(out.pooler_output[row], out.last_hidden_state[row, end])


def test_clip_cuts_long_text_and_keeps_the_end_token(clip):
    limit = clip.model.config.text_config.max_position_embeddings
    ids = clip.processor.tokenizer("red " * 500, truncation=True)["input_ids"]
    assert len(ids) == limit
    assert ids[-1] == clip.model.config.text_config.eos_token_id


def test_generation_stops_and_pads_with_the_tokenizers_own_tokens(llava):
    generation, tokenizer = llava.model.generation_config, llava.processor.tokenizer
    assert generation.eos_token_id == tokenizer.eos_token_id
    assert generation.pad_token_id == tokenizer.pad_token_id


def test_dtype_and_attention_are_those_asked_for():
    section = ImageTextToText(
        type="image_text_to_text",
        config="tiny_llava",
        dtype="bfloat16",
        attn_implementation="eager",
    )
    model = build(section).model
    assert {p.dtype for p in model.parameters()} == {torch.bfloat16}
    assert model.config.text_config._attn_implementation == "eager"


def test_zero3_gets_the_same_random_weights_unpartitioned():
    pytest.importorskip("deepspeed", reason="ZeRO-3 needs DeepSpeed")
    from transformers.integrations import HfDeepSpeedConfig, is_deepspeed_zero3_enabled

    torch.manual_seed(5)
    expected = build(SECTIONS["image_text_to_text"]).model.state_dict()
    config = HfDeepSpeedConfig({"zero_optimization": {"stage": 3}, "train_batch_size": 1})
    assert is_deepspeed_zero3_enabled()
    torch.manual_seed(5)
    found = build(SECTIONS["image_text_to_text"]).model.state_dict()
    assert is_deepspeed_zero3_enabled()
    del config
    assert all(torch.equal(found[name], value) for name, value in expected.items())
