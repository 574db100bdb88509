"""``sites: auto``: parts of model lines without a table, found or refused."""

import re
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from transformers import (
    AutoConfig,
    AutoModelForImageTextToText,
    LlavaNextImageProcessor,
    LlavaNextProcessor,
    PixtralImageProcessor,
    PixtralProcessor,
    Qwen2VLImageProcessor,
    Qwen3VLProcessor,
    Qwen3VLVideoProcessor,
)

import vlft
from vlft.adapters import apply_adapter
from vlft.backbones import build
from vlft.backbones.auto_sites import find_layout
from vlft.backbones.built_in import qwen_vl_tokenizer
from vlft.backbones.image_text_to_text import FAMILIES
from vlft.backbones.tokenizer import CHAT_TEMPLATE, chat_tokenizer, family_tokenizer
from vlft.data.audit import audit
from vlft.data.collate import ConversationCollator
from vlft.data.encode import ConversationEncoder
from vlft.errors import BackboneError
from vlft.evaluation.capabilities import GenerativeModel
from vlft.objectives.language_modeling import LanguageModeling
from vlft.recipe.adapter.lora import LoraAdapter
from vlft.recipe.backbone import ImageTextToText

WIDTH = {"hidden_size": 64, "intermediate_size": 96}
DECODER = {
    **WIDTH,
    "vocab_size": 768,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "head_dim": 16,
}
CLIP = {**WIDTH, "model_type": "clip_vision_model", "image_size": 48, "patch_size": 12,
        "num_hidden_layers": 3, "num_attention_heads": 4}  # fmt: skip


def llava_next() -> tuple[dict, LlavaNextProcessor]:
    """Several crops per image, cut to the image's shape, with a learned line break."""
    tokenizer = chat_tokenizer()
    grids = [[48, 96], [96, 48], [96, 96]]
    processor = LlavaNextProcessor(
        LlavaNextImageProcessor(
            size={"shortest_edge": 48},
            crop_size={"height": 48, "width": 48},
            image_grid_pinpoints=grids,
        ),
        tokenizer,
        patch_size=12,
        vision_feature_select_strategy="default",
        num_additional_image_tokens=1,
        chat_template=tokenizer.chat_template,
    )
    config = {
        "vision_config": CLIP,
        "text_config": {**DECODER, "model_type": "llama"},
        "image_token_index": tokenizer.image_token_id,
        "image_grid_pinpoints": grids,
    }
    return config, processor


def qwen3_vl() -> tuple[dict, Qwen3VLProcessor]:
    """The projector stands inside the vision tower, and features also enter deeper layers."""
    sizes = {"patch_size": 6, "temporal_patch_size": 2, "merge_size": 2}
    tokenizer = qwen_vl_tokenizer()
    limits = {"shortest_edge": 24 * 24, "longest_edge": 96 * 96}
    processor = Qwen3VLProcessor(
        Qwen2VLImageProcessor(size=limits, **sizes),
        tokenizer,
        Qwen3VLVideoProcessor(**sizes),
        chat_template=tokenizer.chat_template,
    )
    vision = {**WIDTH, "depth": 2, "num_heads": 4, "out_hidden_size": 64, "patch_size": 6,
              "num_position_embeddings": 64, "deepstack_visual_indexes": [0]}  # fmt: skip
    rope = {"rope_type": "default", "rope_theta": 1e4, "mrope_section": [2, 3, 3]}
    config = {
        "vision_config": vision,
        "text_config": {**DECODER, "rope_parameters": rope},
        "image_token_id": tokenizer.image_token_id,
        "video_token_id": tokenizer.video_token_id,
        "vision_start_token_id": tokenizer.convert_tokens_to_ids("<|vision_start|>"),
        "vision_end_token_id": tokenizer.convert_tokens_to_ids("<|vision_end|>"),
    }
    return config, processor


def mistral3() -> tuple[dict, PixtralProcessor]:
    """Images keep their shape, and a token ends each line of patches."""
    tokenizer = family_tokenizer(
        CHAT_TEMPLATE.replace("<image>", "[IMG]"),
        named={"image_token": "[IMG]"},
        unnamed=("[IMG_BREAK]", "[IMG_END]"),
    )
    processor = PixtralProcessor(
        PixtralImageProcessor(size={"longest_edge": 96}, patch_size=6),
        tokenizer,
        patch_size=6,
        spatial_merge_size=2,
        chat_template=tokenizer.chat_template,
    )
    vision = {**WIDTH, "model_type": "pixtral", "image_size": 96, "patch_size": 6, "head_dim": 16,
              "num_hidden_layers": 2, "num_attention_heads": 4}  # fmt: skip
    config = {
        "vision_config": vision,
        "text_config": {**DECODER, "model_type": "mistral"},
        "image_token_index": tokenizer.image_token_id,
        "spatial_merge_size": 2,
    }
    return config, processor


LINES: dict[str, Callable[[], tuple[dict, object]]] = {
    "llava_next": llava_next,
    "qwen3_vl": qwen3_vl,
    "mistral3": mistral3,
}
COUNTS = {
    "llava_next": {"vision": (3, 4, 2), "language": (2, 4, 3), "projector": 2},
    "qwen3_vl": {"vision": (2, 2, 2), "language": (2, 4, 3), "projector": 4},
    "mistral3": {"vision": (2, 4, 3), "language": (2, 4, 3), "projector": 3},
}
"""Blocks, linear layers of attention and of the rest in each; those of the projector."""


@pytest.fixture(scope="session")
def folders(tmp_path_factory) -> dict[str, Path]:
    made = {}
    for name, make in LINES.items():
        config, processor = make()
        torch.manual_seed(0)
        model = AutoModelForImageTextToText.from_config(AutoConfig.for_model(name, **config))
        made[name] = tmp_path_factory.mktemp("auto") / name
        model.save_pretrained(made[name])
        processor.save_pretrained(made[name])
    return made


@pytest.fixture(params=LINES)
def host(request, folders):
    return build(section(folders[request.param]))


def section(folder, sites="auto"):
    return ImageTextToText(type="image_text_to_text", model=str(folder), sites=sites)


def matches(backbone, site):
    pattern = re.compile(backbone.sites[site])
    return [name for name, _ in backbone.model.named_modules() if pattern.fullmatch(name)]


def test_every_part_is_found_once(host):
    expected = COUNTS[host.model.config.model_type]
    for tower in ("vision", "language"):
        blocks, attention, other = expected[tower]
        assert len(matches(host, f"{tower}.block")) == blocks
        assert len(matches(host, f"{tower}.attention")) == blocks * attention
        assert len(matches(host, f"{tower}.mlp")) == blocks * other
    assert len(matches(host, "projector")) == expected["projector"]
    assert matches(host, "language.head") == ["lm_head"]
    for name, _ in host.model.named_parameters():
        owners = [tower for tower, start in host.towers.items() if name.startswith(start)]
        assert len(owners) == 1, (name, owners)


@pytest.mark.parametrize("model_type", FAMILIES)
def test_it_finds_what_the_tables_say(pristine_twins, model_type):
    twin = next(t for t in pristine_twins.values() if t.model.config.model_type == model_type)
    found = find_layout(twin.model)
    auto = replace(twin, sites=found.sites, towers=found.towers)
    assert auto.sites.keys() == twin.sites.keys()
    for site in twin.sites:
        assert matches(auto, site) == matches(twin, site), site
    for name, _ in twin.model.named_parameters():
        owner = [t for t, start in twin.towers.items() if name.startswith(start)]
        assert owner == [t for t, start in auto.towers.items() if name.startswith(start)], name


@pytest.mark.parametrize("side", ["right", "left"])
def test_a_mixed_batch_equals_each_sample_alone(host, records, side):
    encode = ConversationEncoder(host.processor)
    samples = encode.many(records, dataset="d")
    audit(samples, processor=host.processor, model=host.model)
    collate = ConversationCollator(host.processor)
    collate.padding_side = side
    loss = LanguageModeling()

    def answers(batch):
        with torch.no_grad():
            return loss.forward(host.model.eval(), batch)["logits"][batch["targets"] != -100]

    together = answers(collate(samples))
    alone = torch.cat([answers(collate([sample])) for sample in samples])
    assert (together - alone).abs().max() < 1e-4 * alone.abs().max()


def test_lora_on_its_sites_learns(host, records, prompts):
    sites = ["vision.attention", "projector", "language.attention", "language.mlp"]
    adapted = apply_adapter(host, LoraAdapter(type="lora", sites=sites, r=4), {})
    samples = [ConversationEncoder(host.processor)(one, dataset="d") for one in records]
    batch = ConversationCollator(host.processor)(samples)
    trained = [p for p in adapted.model.parameters() if p.requires_grad]
    optimizer = torch.optim.AdamW(trained, lr=5e-3)
    loss = LanguageModeling()
    losses = []
    for _ in range(3):
        total = loss.loss(loss.forward(adapted.model, batch), batch, None).total
        losses.append(total.item())
        optimizer.zero_grad()
        total.backward()
        optimizer.step()
    assert losses[2] < losses[0]
    model = GenerativeModel(adapted)
    assert len(model.generate(prompts, max_new_tokens=3)) == len(prompts)


def test_without_auto_the_next_step_is_named(folders):
    with pytest.raises(BackboneError, match=r"no table of places for 'llava_next'.*sites: auto"):
        build(section(folders["llava_next"], sites=None))


@pytest.mark.parametrize(
    ("model_type", "reason"),
    [
        ("blip-2", "no image_token_id"),
        ("fuyu", "its vision tower is no module of its own"),
        ("mllama", "does not put image features in the place of placeholder tokens"),
        ("florence2", "has an encoder of its own"),
        ("video_llava", "model.video_tower is neither the vision tower"),
        ("fast_vlm", "no attention blocks with linear layers were found in model.vision_tower"),
    ],
)
def test_what_cannot_be_told_apart_is_refused(model_type, reason):
    with torch.device("meta"):
        config = AutoConfig.for_model(model_type)
        model = AutoModelForImageTextToText.from_config(config)
    with pytest.raises(BackboneError, match=rf"backbone.sites: the parts of a '{model_type}'") as e:
        find_layout(model)
    assert reason in str(e.value)


def test_experts_leave_out_their_site():
    with torch.device("meta"):
        config = AutoConfig.for_model("qwen3_vl_moe")
        model = AutoModelForImageTextToText.from_config(config)
    sites = find_layout(model).sites
    assert "language.attention" in sites
    assert "language.mlp" not in sites


def test_a_folder_of_such_a_line_opens_without_a_recipe(folders):
    assert vlft.load(folders["llava_next"]).source["sites"] == "auto"
