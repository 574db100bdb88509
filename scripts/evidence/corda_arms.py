"""Claims of the CorDA study: LoRA, PiSSA and CorDA learn a new task, and what they forget by it.

All arms are PEFT's LoRA of one rank on all linear layers but the head; they differ in where it
starts. ``ipm``: the largest components, calibrated on the new task; ``kpm``: the smallest,
calibrated on questions about facts; ``kpm, grammar``: the same on sentences. Each of these two is
the wrong one for what the other is calibrated on.
"""

from typing import Any, Literal

import torch
from jaxtyping import Int
from peft import LoraConfig, get_peft_model
from torch import Tensor
from torch.nn.functional import cross_entropy

from evidence.corda_calibration import SAMPLES, covariances, layers_of
from evidence.corda_start import HELD_OUT, loss_on, recall, start
from evidence.corda_text import ANSWERED, ASKED, DOMAINS, WINDOW, items, known, questions, text
from evidence.descent import descent
from evidence.lines import Found
from vlft.adapters.base import Start
from vlft.adapters.corda.decompose import Mode, Wanted, decomposed
from vlft.adapters.mutation import put_in, take_out

Arm = Literal["lora", "pissa", "ipm", "kpm", "kpm, grammar"]

RANK = 8
"""Also alpha: CorDA and PiSSA start at scale 1."""

STEPS, BATCH = 200, 24
TRAIN, VALIDATION, TEST = 4096, 128, 683
"""Items of three questions."""

LOOK_EVERY = 5
"""Steps from one look at validation items to the next."""

GOAL = 0.9
"""Accuracy whose first look counts for "steps to the goal"; 200 where it was not reached."""

STARTS_MADE = 3
"""Pre-trained models; seeds take turns."""

ANSWERING = [place - 1 for place in ANSWERED]
"""Where an answer is predicted."""


def learned(arm: Arm, rate: float, seed: int) -> Found:
    """Train an arm on the new task."""
    model, apart = arm_at_start(arm, seed)
    train, validation = training_items(seed), validation_items()
    test = items(TEST, torch.Generator().manual_seed(5000), held_out=True)
    trained = [parameter for parameter in model.parameters() if parameter.requires_grad]
    step_down = descent(trained, rate=rate, steps=STEPS, warmup=0.1)
    generator = torch.Generator().manual_seed(seed)  # the same items for all arms of a seed
    reached, area = STEPS, 0.0
    for step in range(1, STEPS + 1):
        model.train()
        batch = train[torch.randint(TRAIN, (BATCH,), generator=generator)]
        logits = model(input_ids=batch).logits[:, ANSWERING]
        step_down(cross_entropy(logits.flatten(0, 1), batch[:, ANSWERED].flatten()))
        if step % LOOK_EVERY == 0:
            seen = accuracy(model, validation)
            area += seen * LOOK_EVERY / STEPS
            if seen >= GOAL:
                reached = min(reached, step)
    recalled, surprise = recall(model)
    numbers = {
        "logits at step 0, apart": apart,
        "steps to the goal": float(reached),
        "validation accuracy over all steps": area,
        "validation accuracy": accuracy(model, validation),
        "accuracy": accuracy(model, test),
        "facts recalled": recalled,
        "loss on values": surprise,
        **{f"loss on {domain}": loss_on(model, domain) for domain in DOMAINS},
    }
    counts = dict.fromkeys(numbers, ASKED * VALIDATION) | {
        "logits at step 0, apart": VALIDATION,
        "accuracy": ASKED * TEST,
        "facts recalled": len(known()),
        "loss on values": len(known()),
        **{f"loss on {domain}": HELD_OUT * (WINDOW - 1) for domain in DOMAINS},
    }
    return Found(numbers, counts, sum(parameter.numel() for parameter in trained))


def training_items(seed: int) -> Int[Tensor, "items tokens"]:
    """Return what a seed learns from."""
    return items(TRAIN, torch.Generator().manual_seed(3000 + seed))


def validation_items() -> Int[Tensor, "items tokens"]:
    """Return what is looked at in training."""
    return items(VALIDATION, torch.Generator().manual_seed(4000), held_out=True)


def arm_at_start(arm: Arm, seed: int) -> tuple[Any, float]:
    """Return a pre-trained model with a fresh adapter, and how far that moved its logits."""
    host = start(seed % STARTS_MADE)
    probe = validation_items()
    with torch.no_grad():
        before = host(input_ids=probe).logits
    torch.manual_seed(seed)
    pairs = {} if arm in ("lora", "pissa") else _pairs(arm, host, seed)
    config = LoraConfig(
        r=RANK,
        lora_alpha=RANK,
        target_modules=list(layers_of(host)),
        init_lora_weights="pissa" if arm == "pissa" else True,
        task_type="CAUSAL_LM",
    )
    take_out(host, pairs)
    model: Any = get_peft_model(host, config)
    put_in(model, pairs)
    with torch.no_grad():
        after = model.eval()(input_ids=probe).logits
    return model, (after - before).abs().max().item()


def _pairs(arm: Arm, host: Any, seed: int) -> Start:
    """Return what CorDA starts each layer from."""
    mode: Mode = "ipm" if arm == "ipm" else "kpm"
    found = covariances(host, calibration(arm, seed), tuple(layers_of(host)))
    wanted = dict.fromkeys(found, Wanted(RANK, mode))
    return {path: factors.pair for path, factors in decomposed(host, found, wanted)}


def calibration(arm: Arm, seed: int) -> Int[Tensor, "samples tokens"]:
    """Return what an arm is calibrated with: of the new task, what it is also trained on."""
    if arm == "ipm":
        return training_items(seed)[:SAMPLES]
    generator = torch.Generator().manual_seed(6000 + seed)
    if arm == "kpm, grammar":
        return text("grammar", SAMPLES, generator)
    return questions(SAMPLES, generator)


@torch.no_grad()
def accuracy(model: Any, asked: Int[Tensor, "items tokens"]) -> float:
    """Return the share of questions that are answered rightly."""
    model.eval()
    right = [
        model(input_ids=part).logits[:, ANSWERING].argmax(-1) == part[:, ANSWERED]
        for part in asked.split(512)
    ]
    return torch.cat(right).double().mean().item()
