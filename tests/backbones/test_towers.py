"""The tower of a parameter, inside PEFT's and DDP's wrappers too."""

from dataclasses import replace

import pytest
import torch
from peft import LoraConfig, get_peft_model

from vlft.backbones import build, count_towers, tower_of
from vlft.recipe.backbone import CausalLM, ImageTextToText


@pytest.fixture
def llava():
    return build(ImageTextToText(type="image_text_to_text", config="tiny_llava"))


def wrapped(backbone):
    config = LoraConfig(
        r=4,
        target_modules=backbone.sites["language.attention"],
        modules_to_save=["multi_modal_projector"],
    )
    return replace(backbone, model=get_peft_model(backbone.model, config))


def test_every_wrapped_parameter_is_in_the_tower_it_sits_on(llava):
    plain = {name: tower_of(llava, name) for name, _ in llava.model.named_parameters()}
    peft = wrapped(llava)
    found = {name: tower_of(peft, name) for name, _ in peft.model.named_parameters()}
    assert None not in {*plain.values(), *found.values()}
    assert all(tower == "language" for name, tower in found.items() if "lora_" in name)
    assert {t for n, t in found.items() if ".modules_to_save." in n} == {"projector"}
    assert {t for n, t in found.items() if ".original_module." in n} == {"projector"}


def test_ddp_around_peft_changes_nothing(llava):
    peft = wrapped(llava)
    for name, _ in peft.model.named_parameters():
        assert tower_of(peft, f"module.{name}") == tower_of(peft, name)


def test_counts_of_an_adapted_host(llava):
    before = {count.name: count for count in count_towers(llava)}
    after = {count.name: count for count in count_towers(wrapped(llava))}
    width, rank, blocks = 128, 4, 2
    assert after["language"].trainable == blocks * 4 * 2 * width * rank
    assert after["language"].total == before["language"].total + after["language"].trainable
    assert after["projector"].trainable == before["projector"].total
    assert after["vision"].trainable == 0


def test_a_parameter_that_no_tower_claims_has_none(llava):
    assert tower_of(llava, "coarse_head.weight") is None


def test_a_text_only_host_is_all_language():
    backbone = build(CausalLM(type="causal_lm", config="tiny_llama"), device="meta")
    assert [count.name for count in count_towers(backbone)] == ["language"]
    assert tower_of(backbone, "lm_head.weight") == "language"


def test_a_partitioned_parameter_counts_whole(llava):
    expected = count_towers(llava)
    for parameter in llava.model.parameters():
        size = parameter.numel()
        parameter.data = torch.empty(0)
        parameter.ds_numel = size  # as ZeRO-3 leaves it
    assert count_towers(llava) == expected
