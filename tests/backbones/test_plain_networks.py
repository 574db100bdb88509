"""Assembled hosts whose language model has a feed-forward network of two maps, without a gate."""

import re

import pytest
import torch
from peft import PeftModel
from PIL import Image
from torch import nn
from transformers import (
    CONFIG_MAPPING,
    AutoModelForCausalLM,
    GPTNeoXConfig,
    PhiConfig,
    Starcoder2Config,
)

from vlft.adapters import apply_adapter
from vlft.backbones import build, count_towers, read_config
from vlft.backbones.families import LANGUAGE, causal_lm_layout
from vlft.backbones.llava_head import BiasedLlavaForConditionalGeneration
from vlft.backbones.processors import special_token_ids
from vlft.cli.merge import run as merge
from vlft.errors import AdapterError, BackboneError
from vlft.hub import load
from vlft.recipe.adapter import DehvfAdapter, LoraAdapter
from vlft.recipe.backbone import Assembled, CausalLM, ImageTextToText

WIDTH, INNER, LAYERS = 64, 96, 3
VISION, VISION_LAYERS = 128, 2  # of the tiny CLIP
SIZES = {
    "hidden_size": WIDTH, "intermediate_size": INNER, "num_hidden_layers": LAYERS,
    "num_attention_heads": 4, "max_position_embeddings": 512,
}  # fmt: skip
CONFIGS = {
    "phi": PhiConfig(**SIZES),
    "gpt_neox": GPTNeoXConfig(**SIZES),
    "starcoder2": Starcoder2Config(num_key_value_heads=2, tie_word_embeddings=True, **SIZES),
}
ATTENTION = {  # outputs of each linear layer of an attention; its inputs are the width
    "phi": [WIDTH] * 4,
    "gpt_neox": [3 * WIDTH, WIDTH],
    "starcoder2": [WIDTH, WIDTH // 2, WIDTH // 2, WIDTH],
}


def saved(name, llama_folder, folder, **changes):
    """Save a language model of which no weight is zero, with the built-in tokenizer."""
    config = type(CONFIGS[name]).from_dict(
        {**CONFIGS[name].to_dict(), "vocab_size": 560, **special_token_ids(), **changes}
    )
    torch.manual_seed(3)
    model = AutoModelForCausalLM.from_config(config)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(torch.randn(parameter.shape) * 0.05)
    build(CausalLM(type="causal_lm", model=str(llama_folder))).processor.save_pretrained(folder)
    model.save_pretrained(folder)
    return folder


@pytest.fixture(scope="module", params=CONFIGS)
def language(request, llama_folder, tmp_path_factory):
    return saved(request.param, llama_folder, tmp_path_factory.mktemp("plain") / request.param)


@pytest.fixture
def section(clip_folder, language):
    return Assembled(type="assembled", vision=str(clip_folder), language=str(language))


def asked(backbone):
    """A question about an image, with its labels."""
    turn = {"role": "user", "content": [{"type": "image"}, {"type": "text", "text": "what?"}]}
    text = backbone.processor.apply_chat_template([turn], tokenize=False)
    image = Image.new("RGB", (60, 50), "red")
    batch = dict(backbone.processor(text=text, images=[image], return_tensors="pt"))
    return batch | {"labels": batch["input_ids"].clone()}


def without_placeholders(backbone, batch):
    """The same for an adapter that reads images beside the sequence."""
    kept = batch["input_ids"] != backbone.model.config.image_token_id
    texts = {name: batch[name][kept][None] for name in ("input_ids", "attention_mask", "labels")}
    return {**texts, "pixel_values": batch["pixel_values"]}


def logits(model, batch):
    with torch.no_grad():
        return model.eval()(**batch).logits


def train_a_step(model, batch):
    trained = [parameter for parameter in model.parameters() if parameter.requires_grad]
    optimizer = torch.optim.SGD(trained, lr=0.1)
    losses = []
    for _ in range(2):
        optimizer.zero_grad()
        loss = model.train()(**batch).loss
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    assert losses[1] < losses[0]
    return sum(parameter.numel() for parameter in trained)


def test_it_answers_texts_as_the_language_model_alone(section, language):
    backbone = build(section)
    alone = AutoModelForCausalLM.from_pretrained(language)
    ids = torch.randint(20, 400, (2, 7))
    assert torch.equal(
        logits(backbone.model, {"input_ids": ids}), logits(alone, {"input_ids": ids})
    )
    expected = sum(parameter.numel() for parameter in alone.parameters())
    assert count_towers(backbone)[-1].total == expected
    assert count_towers(build(section, device="meta")) == count_towers(backbone)


def test_lora_on_every_linear_layer_is_counted_trained_and_read_back(section, language, tmp_path):
    backbone = build(section)
    batch = asked(backbone)
    before = logits(backbone.model, batch)
    r, kind = 2, language.name
    lora = LoraAdapter(type="lora", sites=("language.attention", "language.mlp"), r=r)
    torch.manual_seed(0)
    model = apply_adapter(backbone, lora, {}).model
    assert torch.equal(logits(model, batch), before)
    attention = sum(r * (WIDTH + width) for width in ATTENTION[kind])
    assert train_a_step(model, batch) == LAYERS * (attention + 2 * r * (WIDTH + INNER))
    expected = logits(model, batch)
    model.save_pretrained(tmp_path)
    projector = backbone.model.model.multi_modal_projector.state_dict()
    base = build(section).model
    base.model.multi_modal_projector.load_state_dict(projector)
    assert torch.equal(logits(PeftModel.from_pretrained(base, tmp_path), batch), expected)


def test_dehvf_is_counted_trained_and_read_back(section, language, tmp_path):
    backbone = build(section)
    r, e, t, th, groups, patches, adapter = 4, 3, 8, 16, 2, 16, 5
    dehvf = DehvfAdapter(
        type="dehvf", groups=groups, r=r, num_learned=e, width=t, mlp_hidden=th,
        vision_adapter_dim=adapter,
    )  # fmt: skip
    batch = without_placeholders(backbone, asked(backbone))
    before = logits(backbone.model, {name: batch[name] for name in ("input_ids", "attention_mask")})
    torch.manual_seed(0)
    model = apply_adapter(backbone, dehvf, {}).model
    assert torch.equal(logits(model, batch), before)
    paths = model.peft_config["default"].language_mlps
    assert [path.rpartition(".")[2] for path in paths] == ["mlp"] * LAYERS
    layer_ids = (LAYERS + 2) * t + (2 * t * th + th) + (th * t + t) + 2 * t
    fuser = groups * VISION + (VISION * r + r) + LAYERS * 2 * groups + layer_ids
    fuser += (t * t + t) + VISION * t
    branch = 2 * r * WIDTH + 2 * WIDTH * (patches + e)
    assert train_a_step(model, batch) == fuser + branch + VISION_LAYERS * 2 * VISION * adapter
    expected = logits(model, batch)
    model.save_pretrained(tmp_path)
    again = PeftModel.from_pretrained(build(section).model, tmp_path)
    assert torch.equal(logits(again, batch), expected)
    blind = {name: batch[name] for name in ("input_ids", "attention_mask")}
    assert not torch.equal(logits(again, blind), expected)


def test_a_new_token_has_its_row_in_the_parts_that_are_saved(clip_folder, llama_folder, tmp_path):
    for name in CONFIGS:
        tokens = len(build(CausalLM(type="causal_lm", model=str(llama_folder))).processor)
        folder = saved(name, llama_folder, tmp_path / name, vocab_size=tokens - 1)
        host = Assembled(type="assembled", vision=str(clip_folder), language=str(folder))
        backbone = build(host)
        model = backbone.model
        for table in (model.get_input_embeddings(), model.get_output_embeddings()):
            assert len(table.weight) == tokens
            names = {n for n, p in model.named_parameters() if p is table.weight}
            assert all(n.startswith(backbone.local_parts) for n in names)


def test_a_head_with_a_bias_survives_a_checkpoint_of_the_whole(clip_folder, llama_folder, tmp_path):
    folder = saved("phi", llama_folder, tmp_path / "phi")
    backbone = build(Assembled(type="assembled", vision=str(clip_folder), language=str(folder)))
    assert isinstance(backbone.model, BiasedLlavaForConditionalGeneration)
    assert backbone.model.lm_head.bias.abs().min() > 0
    batch = asked(backbone)
    whole = tmp_path / "whole"
    backbone.model.save_pretrained(whole)
    backbone.processor.save_pretrained(whole)
    section = ImageTextToText(type="image_text_to_text", model=str(whole))
    again = build(section)
    assert torch.equal(logits(again.model, batch), logits(backbone.model, batch))
    assert (again.sites, again.towers) == (backbone.sites, backbone.towers)
    assert count_towers(build(section, device="meta")) == count_towers(backbone)


def test_a_whole_checkpoint_has_the_places_of_its_language_model(section, tmp_path):
    backbone = build(section)
    backbone.model.save_pretrained(tmp_path)
    backbone.processor.save_pretrained(tmp_path)
    again = build(ImageTextToText(type="image_text_to_text", model=str(tmp_path)))
    assert again.sites == backbone.sites
    batch = asked(backbone)
    assert torch.equal(logits(again.model, batch), logits(backbone.model, batch))


def test_a_language_model_alone_has_the_same_places(language):
    backbone = build(CausalLM(type="causal_lm", model=str(language)))
    lora = LoraAdapter(type="lora", sites=("language.attention", "language.mlp"), r=2)
    model = apply_adapter(backbone, lora, {}).model
    trained = sum(p.numel() for p in model.parameters() if p.requires_grad)
    attention = sum(2 * (WIDTH + width) for width in ATTENTION[language.name])
    assert trained == LAYERS * (attention + 4 * (WIDTH + INNER))


@pytest.mark.parametrize("name", sorted(LANGUAGE))
def test_every_linear_layer_of_a_listed_language_model_has_a_place(name):
    config = CONFIG_MAPPING[name](num_hidden_layers=2)
    with torch.device("meta"):
        model = AutoModelForCausalLM.from_config(config)
    layout = causal_lm_layout(name, model.base_model_prefix)
    places = [layout.sites[f"language.{place}"] for place in ("attention", "mlp", "head")]
    for path, module in model.named_modules():
        found = [place for place in places if re.fullmatch(place, path)]
        assert len(found) == (type(module) is nn.Linear), path


def test_a_shape_of_another_architecture_is_refused(clip_folder, llama_folder, tmp_path):
    shape = read_config("tiny_llava").config["text_config"]
    sizes = {name: shape[name] for name in SIZES if name in shape}
    for name in CONFIGS:
        folder = saved(name, llama_folder, tmp_path / name, **sizes)
        host = Assembled(type="assembled", config="tiny_llava", language=str(folder))
        with pytest.raises(BackboneError, match=f"has model_type {name}, `config` says llama"):
            build(host)


def test_runs_are_read_back_with_every_weight(clip_folder, llama_folder, train, tmp_path):
    tokens = len(build(CausalLM(type="causal_lm", model=str(llama_folder))).processor)
    folder = saved("phi", llama_folder, tmp_path / "phi", vocab_size=tokens - 1)
    host = f"backbone={{config: null, vision: {clip_folder}, language: {folder}}}"
    run = train(host, "adapter={type: lora, sites: [language.attention, language.mlp], r: 4}")
    first = load(run)
    batch = asked(first)
    twice = load(run)
    assert torch.equal(logits(first.model, batch), logits(twice.model, batch))
    bias = first.model.get_output_embeddings().bias
    assert bias[:-1].abs().min() > 0  # the last one is of the new token
    with pytest.raises(AdapterError, match="head of a 'phi' language model has a bias, expected"):
        merge(str(run), str(tmp_path / "merged"))
    whole = train(host, "adapter={type: full}", f"init_from={run}", "training.learning_rate=1e-6")
    trained = load(whole)
    assert isinstance(trained.model, BiasedLlavaForConditionalGeneration)
    assert torch.allclose(trained.model.lm_head.bias, bias, atol=1e-4)
    torch.testing.assert_close(
        logits(trained.model, batch), logits(first.model, batch), atol=0.05, rtol=0.05
    )
