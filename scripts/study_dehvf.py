"""Evidence on DEHVF (docs/evidence/dehvf.md): appends to dehvf.jsonl there, and goes on with it.

    python scripts/study_dehvf.py [--seeds 3]

planted (control): the class of an image can be read from vision group k alone; all other groups
agree on another class. The host is a random LLaVA of 8 vision and 8 language layers; the states of
its groups are given as a cache would give them, so that nothing but the fuser decides. Asked is
whether the weight of the patches comes from k (`layer_id`), and whether `last_only` is at chance
where k is not the top group.
"""

import argparse
import json
import sys
import time
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torch.nn.functional import cross_entropy, layer_norm
from transformers import CLIPVisionConfig, LlamaConfig, LlavaConfig, LlavaForConditionalGeneration

from vlft.adapters import apply_adapter
from vlft.adapters.dehvf.inspection import fusion_weights
from vlft.adapters.parts import base_model
from vlft.backbones.families import LLAVA
from vlft.recipe.adapter import DehvfAdapter
from vlft.types import Backbone

LINES = Path(__file__).resolve().parents[1] / "docs" / "evidence" / "dehvf.jsonl"
WIDTH, PATCHES, GROUPS, CLASSES = 64, 16, 4, 8
NOISE = 1.0
"""Standard deviation beside codes of standard deviation 1."""
STEPS, BATCH, TEST = 1000, 64, 2048
RATE = 2e-2
ANSWER = 10
"""Token of the first class."""


def host(seed: int) -> Backbone:
    """Return a LLaVA with random weights."""
    torch.manual_seed(seed)
    vision = CLIPVisionConfig(
        image_size=48, patch_size=12, hidden_size=WIDTH, intermediate_size=128,
        num_hidden_layers=8, num_attention_heads=4,
    )  # fmt: skip
    text = LlamaConfig(
        vocab_size=64, hidden_size=64, intermediate_size=128, num_hidden_layers=8,
        num_attention_heads=4, initializer_range=0.1,
    )  # fmt: skip
    config = LlavaConfig(
        vision_config=vision, text_config=text, image_token_index=3, image_seq_length=PATCHES,
        vision_feature_layer=-1,
    )  # fmt: skip
    model = LlavaForConditionalGeneration(config)
    return Backbone(model, None, "generative", "assembled", LLAVA.sites, LLAVA.towers, source={})


def planted(size: int, group: int, generator: torch.Generator) -> tuple[dict[str, Tensor], Tensor]:
    """Return inputs whose class stands in one group, and the classes."""
    codes = torch.randn(CLASSES, WIDTH, generator=torch.Generator().manual_seed(7))
    right = torch.randint(CLASSES, (size,), generator=generator)
    wrong = (right + torch.randint(1, CLASSES, (size,), generator=generator)) % CLASSES
    said = wrong[:, None].repeat(1, GROUPS)
    said[:, group] = right
    states = codes[said][:, :, None] + NOISE * torch.randn(
        size, GROUPS, 1 + PATCHES, WIDTH, generator=generator
    )
    ids = torch.tensor([[5, 6, 7]]).expand(size, -1).contiguous()
    inputs = {"input_ids": ids, "attention_mask": torch.ones_like(ids)}
    return {**inputs, "visual_features": layer_norm(states, (WIDTH,))}, right


def learn(query: str, group: int, seed: int) -> dict[str, Any]:
    """Train one arm on the planted signal, and return its numbers."""
    section = DehvfAdapter.model_validate(
        {"type": "dehvf", "groups": GROUPS, "r": 16, "num_learned": 4, "width": 32,
         "mlp_hidden": 32, "query": query, "scale": 1.0}
    )  # fmt: skip
    model = apply_adapter(host(seed), section, {}).model.train()
    trained = [parameter for parameter in model.parameters() if parameter.requires_grad]
    optimizer = torch.optim.AdamW(trained, lr=RATE)
    rate = torch.optim.lr_scheduler.OneCycleLR(optimizer, RATE, total_steps=STEPS, pct_start=0.05)
    generator = torch.Generator().manual_seed(seed)

    def shown(size: int) -> tuple[dict[str, Tensor], Tensor]:
        inputs, right = planted(size, group, generator)
        if query == "last_only":
            inputs["visual_features"] = inputs["visual_features"][:, -1:]
        return inputs, right

    for _ in range(STEPS):
        inputs, right = shown(BATCH)
        logits = model(**inputs, logits_to_keep=1).logits[:, 0]
        cross_entropy(logits, right + ANSWER).backward()
        optimizer.step()
        optimizer.zero_grad()
        rate.step()
    model.eval()
    inputs, right = shown(TEST)
    with torch.no_grad():
        found = model(**inputs, logits_to_keep=1).logits[:, 0].argmax(-1) - ANSWER
    numbers = {"accuracy": (found == right).float().mean().item()}
    if query != "last_only":
        weights = fusion_weights(model, inputs)  # pyrefly: ignore[bad-argument-type]
        shared: Any = base_model(model).get_submodule("vlft_dehvf")
        gain = shared.net("default").fuser.gain.detach()
        together = weights * gain.square().mean(dim=1).sqrt()  # a gain can silence a group too
        numbers["weight_of_group"] = weights[..., group].mean().item()
        numbers["mass_of_group"] = (together[..., group] / together.sum(-1)).mean().item()
    count = sum(parameter.numel() for parameter in trained)
    return {"numbers": numbers, "trainable_parameters": count}


def study(seeds: int) -> None:
    """Run what is not there yet."""
    done = {
        (line["arm"], line["seed"]) for line in map(json.loads, LINES.read_text().splitlines())
    } if LINES.is_file() else set()  # fmt: skip
    for seed in range(seeds):
        for group in range(GROUPS):
            for query in ("layer_id", "last_only"):
                arm = f"{query}, planted in group {group + 1} of {GROUPS}"
                if (arm, seed) in done:
                    continue
                start = time.perf_counter()
                found = learn(query, group, seed)
                seconds = round(time.perf_counter() - start, 1)
                lines = [
                    {
                        "study": "dehvf", "kind": "control", "arm": arm, "seed": seed,
                        "metric": metric, "value": round(value, 4), "n": TEST,
                        "trainable_parameters": found["trainable_parameters"], "seconds": seconds,
                    }
                    for metric, value in found["numbers"].items()
                ]  # fmt: skip
                LINES.parent.mkdir(parents=True, exist_ok=True)
                with LINES.open("a", encoding="utf-8") as file:
                    file.writelines(f"{json.dumps(line)}\n" for line in lines)
                print(arm, seed, found["numbers"], f"{seconds} s", flush=True)


def main() -> int:
    """Run the study."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    parser.add_argument("--seeds", type=int, default=3)
    study(parser.parse_args().seeds)
    return 0


if __name__ == "__main__":
    sys.exit(main())
