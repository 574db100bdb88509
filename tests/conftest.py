"""Fixtures that more than one part of the suite uses: tiny hosts and batches for them."""

import copy
import getpass
import os
import tempfile
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from vlft.types import Backbone, Batch

os.environ.setdefault("HF_HUB_OFFLINE", "1")
os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
# Generated files are named by what they hold, so that workers and later runs may share them.
CACHE = Path(tempfile.gettempdir()) / f"vlft-tests-{getpass.getuser()}"
os.environ["VLFT_CACHE"] = str(CACHE)
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


TINY_RECIPES = {
    "generative": """
seed: 3
backbone: {type: assembled, config: tiny_llava}
adapter: {type: lora, sites: [vision.attention, language.attention], r: 4}
data:
  train: {type: scenes, questions: [color], num_samples: 32, seed: 5}
  validation: {type: scenes, questions: [color], num_samples: 16, seed: 6, split: held_out}
objective: {type: language_modeling}
training:
  global_batch_size: 4
  max_steps: 4
  learning_rate: 3e-3
  logging_steps: 1
  save_strategy: 'no'
  dataloader_num_workers: 0
""",
    "contrastive": """
seed: 3
backbone: {type: clip, config: tiny_clip}
adapter: {type: lora, sites: [vision.attention, text.attention], r: 4}
data:
  train: {type: scenes, task: pairs, num_samples: 32, seed: 5}
objective: {type: contrastive}
training:
  global_batch_size: 4
  max_steps: 4
  learning_rate: 3e-3
  logging_steps: 1
  save_strategy: 'no'
  dataloader_num_workers: 0
""",
}
"""Recipes that train in a second."""


@pytest.fixture(scope="session")
def tiny_recipe(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """Give the file of a small recipe by the family of its host."""
    folder = tmp_path_factory.mktemp("recipes")
    for family, text in TINY_RECIPES.items():
        (folder / f"{family}.yaml").write_text(text)
    return {family: str(folder / f"{family}.yaml") for family in TINY_RECIPES}


@pytest.fixture(scope="session")
def train(
    tiny_recipe: dict[str, str], tmp_path_factory: pytest.TempPathFactory
) -> Callable[..., Path]:
    """Train a small recipe, changed by overrides, in this process; give its run directory."""
    from vlft.cli.train import run

    def trained(
        *overrides: str,
        family: str = "generative",
        run_dir: Path | None = None,
        resume: bool = False,
        expect: int = 0,
    ) -> Path:
        run_dir = run_dir or tmp_path_factory.mktemp("runs") / "run"
        where = f"training.output_dir={run_dir}"
        assert run(tiny_recipe[family], [where, *overrides], resume=resume) == expect
        return run_dir

    return trained


@pytest.fixture(scope="session")
def lora_run(train: Callable[..., Path]) -> Path:
    """A finished LoRA run with a checkpoint on the way; not to be written to."""
    return train("training.save_strategy=steps", "training.save_steps=2")


@pytest.fixture(scope="session")
def clip_run(train: Callable[..., Path]) -> Path:
    """A finished run of a contrastive host; not to be written to."""
    return train(family="contrastive")
