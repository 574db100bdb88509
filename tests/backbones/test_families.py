"""Sites and towers against the module trees of the installed transformers."""

import re

import pytest
from PIL import Image
from torch import nn

from vlft.backbones import BACKBONES, build, config_names, count_towers, read_config
from vlft.backbones.clip import KIND as CLIP_KIND
from vlft.backbones.image_text_to_text import FAMILIES
from vlft.recipe.backbone import Assembled, CausalLM, Clip, ImageTextToText

SECTIONS = {
    "clip": Clip,
    "image_text_to_text": ImageTextToText,
    "assembled": Assembled,
    "causal_lm": CausalLM,
}
SUPPORTED = {*FAMILIES, *CLIP_KIND.classes, "llama"}
HOSTS = [
    (kind, shipped.name)
    for shipped in map(read_config, config_names())
    for kind in shipped.types
    if kind in BACKBONES and shipped.model_type in SUPPORTED
]
PER_BLOCK = {"attention": 4, "mlp": {"language": 3, "vision": 2, "text": 2}}


@pytest.fixture(scope="module", params=HOSTS, ids=lambda host: f"{host[0]}-{host[1]}")
def host(request):
    kind, name = request.param
    return build(SECTIONS[kind](type=kind, config=name), device="meta")


def modules(backbone, site):
    pattern = re.compile(backbone.sites[site])
    return [m for name, m in backbone.model.named_modules() if pattern.fullmatch(name)]


def test_full_size_hosts_are_among_them():
    assert {"clip_vit_b32", "clip_l_llama_7b", "clip_l_llama_13b", "llama2_7b"} < {
        n for _, n in HOSTS
    }


def test_every_parameter_is_in_exactly_one_tower(host):
    for name, _ in host.model.named_parameters():
        owners = [t for t, prefixes in host.towers.items() if name.startswith(prefixes)]
        assert len(owners) == 1, (name, owners)


def test_no_tower_is_empty_and_the_counts_add_up(host):
    counts = count_towers(host)
    assert [count.name for count in counts] == list(host.towers)
    assert all(count.total == count.trainable > 0 for count in counts)
    assert sum(count.total for count in counts) == sum(p.numel() for p in host.model.parameters())


def test_every_block_is_found_with_its_linear_layers(host):
    layers = {
        "vision": lambda config: config.vision_config.num_hidden_layers,
        "text": lambda config: config.text_config.num_hidden_layers,
        "language": lambda config: config.get_text_config().num_hidden_layers,
    }
    for tower in host.towers.keys() - {"projector"}:
        expected = layers[tower](host.model.config)
        assert len(modules(host, f"{tower}.block")) == expected
        assert len(modules(host, f"{tower}.attention")) == expected * PER_BLOCK["attention"]
        assert len(modules(host, f"{tower}.mlp")) == expected * PER_BLOCK["mlp"][tower]


def test_every_site_matches_and_only_blocks_are_no_linear_layers(host):
    for site in host.sites:
        found = modules(host, site)
        assert found, site
        assert site.endswith(".block") or all(type(module) is nn.Linear for module in found), site


def test_a_site_lies_in_the_tower_that_it_is_named_after(host):
    for site, pattern in host.sites.items():
        prefixes = host.towers[site.partition(".")[0]]
        for name, module in host.model.named_modules():
            if re.fullmatch(pattern, name):
                assert all(f"{name}.{p}".startswith(prefixes) for p, _ in module.named_parameters())


def test_the_built_in_processor_gives_one_token_per_image_feature(host):
    if "projector" not in host.towers or host.type == "clip":
        pytest.skip("no image tokens in the text of this host")
    side = host.model.config.vision_config.image_size
    batch = host.processor(text="<image>", images=Image.new("RGB", (side + 9, side)))
    assert len(batch["input_ids"][0]) == host.model.config.image_seq_length
