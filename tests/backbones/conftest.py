"""Small checkpoints on disk, saved the way the libraries save them."""

import pytest
import torch

from vlft.backbones import build
from vlft.recipe.backbone import CausalLM, Clip, ImageTextToText


def _saved(section, folder, seed=7):
    torch.manual_seed(seed)
    backbone = build(section)
    backbone.model.save_pretrained(folder)
    backbone.processor.save_pretrained(folder)
    return folder


@pytest.fixture(scope="session")
def clip_folder(tmp_path_factory):
    section = Clip(type="clip", config="tiny_clip")
    return _saved(section, tmp_path_factory.mktemp("checkpoints") / "clip")


@pytest.fixture(scope="session")
def llama_folder(tmp_path_factory):
    section = CausalLM(type="causal_lm", config="tiny_llama")
    return _saved(section, tmp_path_factory.mktemp("checkpoints") / "llama")


@pytest.fixture(scope="session")
def llava_folder(tmp_path_factory):
    section = ImageTextToText(type="image_text_to_text", config="tiny_llava")
    return _saved(section, tmp_path_factory.mktemp("checkpoints") / "llava")
