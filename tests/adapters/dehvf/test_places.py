"""Where DEHVF's memory may stand, and hosts and samples that it does not fit."""

import pytest
import torch

from tests.adapters.dehvf.conftest import logits_of, section_of, shake, texts
from vlft.adapters import apply_adapter
from vlft.errors import AdapterError
from vlft.recipe.adapter import DehvfAdapter
from vlft.recipe.towers import Tower


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"groups": 3}, r"adapter.groups: 3 groups .* 2 vision layers: use one of 1, 2"),
        ({"groups": ((1,), (5,))}, "adapter.groups: layer 5 is named, and the vision tower has 2"),
        ({"num_patches": 9}, "adapter.num_patches: 9, and this tower makes 16"),
    ],
)
def test_what_does_not_fit_the_tower_is_refused(bare, options, message):
    with pytest.raises(AdapterError, match=message):
        apply_adapter(bare(), section_of("tiny_llava", **options), {})


def test_towers_of_any_size_need_a_number_of_patches(bare):
    section = DehvfAdapter(type="dehvf", groups=2)
    with pytest.raises(
        AdapterError, match=r"adapter.num_patches: this tower takes images as large"
    ):
        apply_adapter(bare("tiny_qwen2_5_vl"), section, {})


def test_a_text_only_host_is_refused(host):
    with pytest.raises(AdapterError, match="needs a host with a vision tower and a language model"):
        apply_adapter(host("tiny_llama"), section_of("tiny_llava"), {})


def test_more_images_than_configured_are_refused(adapted, inputs):
    with pytest.raises(AdapterError, match=r"adapter.max_images: a sample has 2 images, .*for 1: "):
        logits_of(adapted(), {**inputs, "image_slots": torch.tensor([[0, 1], [-1, -1], [1, -1]])})


def test_modules_outside_the_language_models_networks_are_refused(bare):
    section = section_of("tiny_llava", sites=(), target_modules=r".*vision_tower.*mlp\.fc1")
    with pytest.raises(AdapterError, match="is no part of a feed-forward network of the language"):
        apply_adapter(bare(), section, {})


def test_memory_may_stand_in_some_layers_only(bare, inputs):
    pattern = r".*language_model\.layers\.1\.mlp\..*_proj"
    backbone = apply_adapter(bare(), section_of("tiny_llava", sites=(), target_modules=pattern), {})
    shake(backbone).model.eval()
    assert backbone.model.peft_config["default"].num_layers == 1
    changed = logits_of(backbone, inputs)
    assert not torch.equal(changed, logits_of(bare(), texts(inputs)))


def test_tiles_are_refused(adapted):
    pixels = torch.rand(1, 5, 3, 48, 48)
    backbone = adapted("tiny_smolvlm")
    with pytest.raises(AdapterError, match="1 images in 5 tiles"):
        logits_of(backbone, {"input_ids": torch.full((1, 4), 30), "pixel_values": pixels})


def test_a_fully_trained_tower_does_not_go_with_adapters_in_it(bare):
    section = section_of("tiny_llava", vision_adapter_dim=2)
    with pytest.raises(
        AdapterError, match=r"towers\.vision\.train: full, but the adapter also sits"
    ):
        apply_adapter(bare(), section, {"vision": Tower(train="full")})
