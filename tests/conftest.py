"""Fixtures that more than one part of the suite uses: tiny hosts and batches for them."""

import copy
import os
from collections.abc import Callable
from dataclasses import replace

import pytest
import torch

from vlft.types import Backbone, Batch

os.environ.setdefault("HF_HUB_OFFLINE", "1")
os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
torch.set_num_threads(1)

HOSTS = ("tiny_llava", "tiny_clip", "tiny_llama")


@pytest.fixture(scope="session")
def pristine_hosts() -> dict[str, Backbone]:
    from vlft.backbones import build
    from vlft.recipe.backbone import CausalLM, Clip, ImageTextToText

    torch.manual_seed(0)
    return {
        "tiny_llava": build(ImageTextToText(type="image_text_to_text", config="tiny_llava")),
        "tiny_clip": build(Clip(type="clip", config="tiny_clip")),
        "tiny_llama": build(CausalLM(type="causal_lm", config="tiny_llama")),
    }


@pytest.fixture
def host(pristine_hosts: dict[str, Backbone]) -> Callable[[str], Backbone]:
    """Give a fresh copy of a tiny host by name."""

    def make(name: str) -> Backbone:
        backbone = pristine_hosts[name]
        return replace(backbone, model=copy.deepcopy(backbone.model))

    return make


@pytest.fixture(scope="session")
def batches(pristine_hosts: dict[str, Backbone]) -> dict[str, Batch]:
    """One random batch per tiny host, in the layout of ``vlft.types.Batch``."""
    generator = torch.Generator().manual_seed(1)
    pixels = torch.randn(3, 3, 48, 48, generator=generator)
    tokens = torch.randint(20, 400, (3, 24), generator=generator)
    labels = torch.full_like(tokens, -100)
    labels[:, -4:] = tokens[:, -4:]
    language = {
        "input_ids": tokens,
        "attention_mask": torch.ones_like(tokens),
        "labels": labels,
        "logits_to_keep": torch.arange(19, 23).expand(3, 4).contiguous(),
        "targets": tokens[:, -4:].contiguous(),
        "record_ids": ["a", "b", "c"],
        "num_images": 3,
        "num_tokens": 72,
    }
    llava = pristine_hosts["tiny_llava"].model.config
    seen = tokens.clone()
    seen[:, 1:17] = llava.image_token_index
    texts = tokens[:, :12].clone()
    texts[:, -1] = pristine_hosts["tiny_clip"].processor.tokenizer.eos_token_id
    return {
        "tiny_llava": {**language, "input_ids": seen, "pixel_values": pixels},
        "tiny_llama": dict(language),
        "tiny_clip": {
            "input_ids": texts,
            "attention_mask": torch.ones_like(texts),
            "pixel_values": pixels,
            "record_ids": ["a", "b", "c"],
            "num_images": 3,
            "num_tokens": 36,
        },
    }
