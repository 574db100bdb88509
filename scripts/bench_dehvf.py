"""Bar B6: a training step with DEHVF against one with the image's tokens in the sequence.

    python scripts/bench_dehvf.py [--rounds 7] [--batch 4]

Both sides train on the same host (a LLaVA whose tower has a twentieth of its language model's
weights, as CLIP-L has of LLaMA-7B's), the same texts and images, in turn (A B A B ...) in one
process, first round dropped. An image is 256 patches. The base puts them into the sequence and
trains LoRA on the language model's attention, the best concatenation path here; both compute logits
at labels only. `cached` gives both the tower's features instead of images. A/A is the base against
itself.

Goals: step / base <= 0.40 with 64 text tokens, <= 0.30 with both cached; 200 text tokens beside.
"""

import argparse
import json
import statistics
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import torch
from transformers import CLIPVisionConfig, LlamaConfig, LlavaConfig, LlavaForConditionalGeneration

from vlft.adapters import apply_adapter
from vlft.backbones.families import LLAVA
from vlft.data.vision_features import vision_features
from vlft.objectives.language_modeling import LanguageModeling
from vlft.recipe.adapter import AdapterSection, DehvfAdapter, LoraAdapter
from vlft.types import Backbone, Batch

PATCHES = 256
IMAGE_TOKEN = 7
ANSWERS = 8
"""Tokens with labels in a sample."""

DEHVF = DehvfAdapter(type="dehvf", groups=3, r=128, num_learned=64)
LORA = LoraAdapter(type="lora", sites=("language.attention",), r=8)


@dataclass(frozen=True)
class Side:
    """One side of a comparison.

    Attributes:
        name: What it is.
        step: Makes a training step and returns its loss.
        trained: Its trained parameters.
    """

    name: str
    step: Callable[[], float]
    trained: int


def host() -> Backbone:
    """Return a LLaVA with random weights."""
    torch.manual_seed(0)
    vision = CLIPVisionConfig(
        image_size=224, patch_size=14, hidden_size=128, intermediate_size=512,
        num_hidden_layers=6, num_attention_heads=4,
    )  # fmt: skip
    text = LlamaConfig(
        vocab_size=2048, hidden_size=512, intermediate_size=1376, num_hidden_layers=8,
        num_attention_heads=8, max_position_embeddings=1024,
    )  # fmt: skip
    config = LlavaConfig(
        vision_config=vision, text_config=text, image_token_index=IMAGE_TOKEN,
        image_seq_length=PATCHES, vision_feature_layer=-2,
    )  # fmt: skip
    model = LlavaForConditionalGeneration(config)
    return Backbone(model, None, "generative", "assembled", LLAVA.sites, LLAVA.towers, source={})


def batch_of(size: int, text: int, *, beside: bool) -> Batch:
    """Return a batch of texts with one image each."""
    generator = torch.Generator().manual_seed(1)
    ids = torch.randint(10, 2000, (size, text), generator=generator)
    pixels = torch.randn(size, 3, 224, 224, generator=generator)
    if not beside:
        images = torch.full((size, PATCHES), IMAGE_TOKEN)
        ids = torch.cat([ids[:, :1], images, ids[:, 1:]], dim=1)
    length = ids.shape[1]
    kept = torch.arange(length - ANSWERS - 1, length - 1).expand(size, -1).contiguous()
    batch = {
        "input_ids": ids, "attention_mask": torch.ones_like(ids), "pixel_values": pixels,
        "logits_to_keep": kept, "targets": ids[:, -ANSWERS:].contiguous(),
    }  # fmt: skip
    if beside:
        batch["image_slots"] = torch.arange(size)[:, None]
    return batch


def side(name: str, section: AdapterSection, size: int, text: int, *, cached: bool) -> Side:
    """Return a side: a model of its own, one batch, one optimizer."""
    backbone = apply_adapter(host(), section, {})
    beside = backbone.images == "beside"
    batch = batch_of(size, text, beside=beside)
    if cached:
        features = vision_features(backbone, torch.device("cpu"))
        rows = torch.cat(features.read([{"pixel_values": batch.pop("pixel_values")}]))
        batch["visual_features"] = rows.half()  # as the store keeps them
    model = backbone.model.train()
    trained = [parameter for parameter in model.parameters() if parameter.requires_grad]
    optimizer = torch.optim.AdamW(trained, lr=1e-4)
    objective = LanguageModeling()

    def step() -> float:
        loss = objective.loss(objective.forward(model, batch), batch, None).total
        loss.backward()
        optimizer.step()
        optimizer.zero_grad()
        return loss.item()

    return Side(name, step, sum(parameter.numel() for parameter in trained))


def compare(title: str, base: Side, other: Side, goal: float | None, rounds: int) -> dict[str, Any]:
    """Time two sides in turn, print a line, and return the raw values."""
    everything = [base, other, replace(base, name="A/A")]
    times: list[list[float]] = [[] for _ in everything]
    for turn in range(rounds + 1):
        for place, one in enumerate(everything):
            start = time.perf_counter()
            loss = one.step()
            if turn:  # the first round warms caches
                times[place].append(time.perf_counter() - start)
            assert loss == loss, f"{one.name}: the loss is NaN"
    ratio = statistics.median(b / a for a, b in zip(times[0], times[1], strict=True))
    spread = statistics.median(b / a for a, b in zip(times[0], times[2], strict=True))
    verdict = "" if goal is None else ("met" if ratio <= goal else "MISSED")
    print(
        f"{title:<26} DEHVF / tokens {ratio:6.3f}   goal {goal or '-':>5}  {verdict:<7} "
        f"A/A {spread:.3f}   trained {other.trained:,} / {base.trained:,}",
        flush=True,
    )
    seconds = {base.name: times[0], other.name: times[1], "a_a": times[2]}
    return {"case": title, "ratio": ratio, "goal": goal, "a_a": spread, "seconds": seconds}


def main() -> int:
    """Print a line per comparison and a JSON record; the exit status says whether all are met."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--batch", type=int, default=4)
    given = parser.parse_args()
    found = []
    for text, cached, goal in (
        (64, False, 0.40),
        (64, True, 0.30),
        (200, False, None),
        (200, True, None),
    ):
        base = side("tokens", LORA, given.batch, text, cached=cached)
        other = side("DEHVF", DEHVF, given.batch, text, cached=cached)
        title = f"{text} text tokens" + (", both cached" if cached else "")
        found.append(compare(title, base, other, goal, given.rounds))
    record = {"bar": "B6", "rounds": given.rounds, "threads": torch.get_num_threads()}
    print(json.dumps({**record, "found": found}))
    return 0 if all(one["goal"] is None or one["ratio"] <= one["goal"] for one in found) else 1


if __name__ == "__main__":
    sys.exit(main())
