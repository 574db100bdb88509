"""DEHVF beside feed-forward networks of other forms: two maps without a gate, or a gated GELU."""

import pytest
import torch
from transformers import (
    CLIPVisionConfig,
    GemmaConfig,
    GPTNeoXConfig,
    LlavaConfig,
    LlavaForConditionalGeneration,
    PhiConfig,
    Starcoder2Config,
)

from tests.adapters.dehvf.conftest import section_of, shake
from vlft.adapters import apply_adapter
from vlft.backbones.auto_sites import find_layout
from vlft.types import Backbone

SIZES = {
    "vocab_size": 64, "hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 2,
    "num_attention_heads": 2, "pad_token_id": 0, "bos_token_id": 1, "eos_token_id": 2,
}  # fmt: skip
LANGUAGES = {
    "plain": Starcoder2Config(num_key_value_heads=1, **SIZES),
    "plain, beside the attention": PhiConfig(**SIZES),
    "plain, with another name of attention": GPTNeoXConfig(**SIZES),
    "GeGLU": GemmaConfig(num_key_value_heads=1, head_dim=16, **SIZES),
}


@pytest.mark.parametrize("name", LANGUAGES)
@pytest.mark.parametrize("query", ["layer_id", "hidden"])
def test_images_reach_networks_of_every_form(name, query):
    torch.manual_seed(0)
    vision = CLIPVisionConfig(
        image_size=24, patch_size=12, hidden_size=32, intermediate_size=64, num_hidden_layers=2,
        num_attention_heads=2,
    )  # fmt: skip
    host = LlavaForConditionalGeneration(
        LlavaConfig(
            vision_config=vision, text_config=LANGUAGES[name], image_token_index=3,
            image_seq_length=4,
        )
    )  # fmt: skip
    layout = find_layout(host.eval())
    ids = torch.randint(5, 60, (2, 6))
    texts = {"input_ids": ids, "attention_mask": torch.ones_like(ids)}
    with torch.no_grad():
        before = host(**texts).logits

    backbone = Backbone(
        host, None, "generative", "image_text_to_text", layout.sites, layout.towers, source={}
    )
    backbone = apply_adapter(backbone, section_of("tiny_llava", query=query, scale=1.0), {})
    model = backbone.model.eval()
    pixels = torch.randn(2, 3, 24, 24)
    shown = {**texts, "pixel_values": pixels, "prompt_mask": torch.ones_like(ids)}
    with torch.no_grad():
        torch.testing.assert_close(model(**shown).logits, before, rtol=0, atol=0)
        shake(backbone)
        found, blind = model(**shown).logits, model(**texts).logits
        other = model(**{**shown, "pixel_values": pixels.flip(0)}).logits
    for changed in (blind, other):
        assert ((found - changed).abs().amax(dim=(1, 2)) > 1e-3).all()

    trained = [parameter for parameter in model.parameters() if parameter.requires_grad]
    gradients = []
    for checkpointed in (False, True):
        if checkpointed:
            model.train()
            for module in model.modules():
                if isinstance(module, torch.nn.Dropout):
                    module.p = 0.0
            model.activation_checkpointing_enable(
                activation_checkpointing_kwargs={"use_reentrant": False}
            )
        model.zero_grad()
        model(**shown).logits.square().mean().backward()
        gradients.append([parameter.grad.clone() for parameter in trained])
    for one, again in zip(*gradients, strict=True):
        torch.testing.assert_close(again, one, rtol=1e-4, atol=1e-6)
