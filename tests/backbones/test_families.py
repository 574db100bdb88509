"""Sites and towers against the module trees of the installed transformers."""

import re

import pytest
import torch
from PIL import Image
from torch import nn

from vlft.backbones import BACKBONES, build, config_names, count_towers, read_config
from vlft.backbones.clip import KIND as CLIP_KIND
from vlft.backbones.image_text_to_text import FAMILIES
from vlft.backbones.siglip import KIND as SIGLIP_KIND
from vlft.backbones.vision import CLASSES
from vlft.data.budget import host_images
from vlft.data.process import process
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
    "clip": Clip,
    "siglip": Siglip,
    "open_clip": OpenClip,
    "vision": Vision,
    "image_text_to_text": ImageTextToText,
    "assembled": Assembled,
    "causal_lm": CausalLM,
}
SUPPORTED = {*FAMILIES, *CLIP_KIND.classes, *SIGLIP_KIND.classes, *CLASSES, "llama", "open_clip"}
HOSTS = [
    (kind, shipped.name) for shipped in map(read_config, config_names()) for kind in shipped.types
]
PER_BLOCK = {
    "language": {"attention": 4, "mlp": 3},
    "vision": {"attention": 4, "mlp": 2},
    "text": {"attention": 4, "mlp": 2},
}
"""Linear layers of a block; families that differ are below."""
FUSED = {
    "qwen2_vl": {"attention": 2, "mlp": 2},
    "qwen2_5_vl": {"attention": 2, "mlp": 3},
    "open_clip": {"attention": 2, "mlp": 2},
}
"""Towers with q, k and v in one module: the vision tower, in open_clip both."""


@pytest.fixture(scope="module", params=HOSTS, ids=lambda host: f"{host[0]}-{host[1]}")
def host(request):
    kind, name = request.param
    return build(SECTIONS[kind](type=kind, config=name), device="meta")


def modules(backbone, site):
    pattern = re.compile(backbone.sites[site])
    return [m for name, m in backbone.model.named_modules() if pattern.fullmatch(name)]


def test_full_size_hosts_are_among_them():
    full = {"clip_vit_b32", "clip_l_llama_7b", "clip_l_llama_13b", "llama2_7b"}
    full |= {"qwen2_5_vl_3b", "qwen2_5_vl_7b", "qwen2_vl_2b", "smolvlm"}
    assert full < {n for _, n in HOSTS}


def test_every_shipped_configuration_is_of_a_kind_that_is_built():
    assert {kind for kind, _ in HOSTS} == SECTIONS.keys() == BACKBONES.keys()
    assert {read_config(name).model_type for _, name in HOSTS} <= SUPPORTED


def test_every_generative_family_has_a_tiny_twin():
    tiny = {read_config(name).model_type for kind, name in HOSTS if name.startswith("tiny_")}
    assert FAMILIES.keys() <= tiny


def test_every_parameter_is_in_exactly_one_tower(host):
    for name, _ in host.model.named_parameters():
        owners = [t for t, prefixes in host.towers.items() if name.startswith(prefixes)]
        assert len(owners) == 1, (name, owners)


def test_no_tower_is_empty_and_the_counts_add_up(host):
    counts = count_towers(host)
    assert [count.name for count in counts] == list(host.towers)
    assert all(count.total == count.trainable > 0 for count in counts)
    assert sum(count.total for count in counts) == sum(p.numel() for p in host.model.parameters())


def layers(config, tower):
    """Blocks of a tower, as the configuration says."""
    if tower == "language":
        return config.get_text_config().num_hidden_layers
    if config.model_type == "open_clip":
        return config.model_cfg[f"{tower}_cfg"]["layers"]
    if config.model_type == "swin":
        return sum(config.depths)
    part = getattr(config, f"{tower}_config", config)  # a ViT is all vision
    return part.depth if config.model_type in FUSED else part.num_hidden_layers


def test_every_block_is_found_with_its_linear_layers(host):
    model_type = host.model.config.model_type
    for tower in host.towers.keys() - {"projector", "head"}:
        expected = layers(host.model.config, tower)
        assert len(modules(host, f"{tower}.block")) == expected
        fused = FUSED if tower == "vision" or model_type == "open_clip" else {}
        per_block = fused.get(model_type, PER_BLOCK[tower])
        for part in ("attention", "mlp"):
            assert len(modules(host, f"{tower}.{part}")) == expected * per_block[part]


def test_every_site_matches_and_only_blocks_are_no_linear_layers(host):
    for site in host.sites:
        found = modules(host, site)
        assert found, site
        if not site.endswith((".block", ".stage")):
            assert all(type(module) is nn.Linear for module in found), site


def test_a_site_lies_in_the_tower_that_it_is_named_after(host):
    for site, pattern in host.sites.items():
        prefixes = host.towers[site.partition(".")[0]]
        for name, module in host.model.named_modules():
            if re.fullmatch(pattern, name):
                assert all(f"{name}.{p}".startswith(prefixes) for p, _ in module.named_parameters())


def test_the_built_in_processor_gives_one_token_per_image_feature(host):
    if "projector" not in host.towers or "language" not in host.towers:
        pytest.skip("no image tokens in the text of this host")
    images = [[Image.new("RGB", (900, 300))], [Image.new("RGB", (40, 60))] * 2]
    texts = [host.processor.image_token * len(row) for row in images]
    encoding = process(host.processor, texts, images, add_special_tokens=False)
    tensors = {key: value for key, value in encoding.items() if torch.is_tensor(value)}
    token = host.model.config.image_token_id
    found = sum(row.count(token) for row in encoding["input_ids"])
    assert found == host_images(host.model).features(tensors)
    assert found > 0
