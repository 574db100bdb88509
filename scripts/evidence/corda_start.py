"""The language models that the CorDA study starts from, and what it measures of them."""

from typing import Any

import torch
from jaxtyping import Float, Int
from safetensors.torch import load_file, save_file
from torch import Tensor
from torch.nn.functional import cross_entropy
from transformers import LlamaConfig, LlamaForCausalLM

from evidence.corda_text import DOMAINS, VOCABULARY, Domain, known, text
from evidence.descent import descent
from evidence.lines import STARTS, Found
from vlft.disk import replace_file

WIDTH, LAYERS = 128, 4
STEPS, RATE, DECAY = 1200, 3e-3, 0.1
BATCH: dict[Domain, int] = {"facts": 20, "grammar": 4, "code": 4}
"""Windows in a batch of pre-training."""

HELD_OUT = 256
"""Windows of a domain that a loss is over."""


def untrained() -> Any:
    """Return a model with random weights."""
    return LlamaForCausalLM(
        LlamaConfig(
            vocab_size=VOCABULARY, hidden_size=WIDTH, intermediate_size=3 * WIDTH,
            num_hidden_layers=LAYERS, num_attention_heads=4, max_position_embeddings=128,
            use_cache=False,
        )
    )  # fmt: skip


def start(seed: int) -> Any:
    """Return a pre-trained model; it is trained when it is not there yet."""
    path = STARTS / "corda" / f"start-{seed}.safetensors"
    torch.manual_seed(seed)
    model = untrained()
    if not path.is_file():
        _learn(model, seed)
        path.parent.mkdir(parents=True, exist_ok=True)
        state = {name: one.clone() for name, one in model.state_dict().items()}
        replace_file(path, lambda target: save_file(state, target))
    model.load_state_dict(load_file(path))
    return model.eval()


def pretrained(seed: int) -> Found:
    """Return what a start knows."""
    model = start(seed)
    numbers = {f"loss on {domain}": loss_on(model, domain) for domain in DOMAINS}
    recalled, surprise = recall(model)
    return Found(
        numbers | {"facts recalled": recalled, "loss on values": surprise},
        {
            **{f"loss on {domain}": held_out(domain)[:, 1:].numel() for domain in DOMAINS},
            "facts recalled": len(known()),
            "loss on values": len(known()),
        },
        sum(parameter.numel() for parameter in model.parameters()),
    )


def held_out(domain: Domain) -> Int[Tensor, "windows tokens"]:
    """Return text that no model was trained on."""
    return text(domain, HELD_OUT, torch.Generator().manual_seed(2**20))


@torch.no_grad()
def loss_on(model: Any, domain: Domain) -> float:
    """Return the mean loss over the tokens of held-out text."""
    windows = held_out(domain)
    losses = [next_token_loss(model, part).item() for part in windows.split(64)]
    return sum(losses) / len(losses)


def next_token_loss(model: Any, ids: Int[Tensor, "rows tokens"]) -> Float[Tensor, ""]:
    """Return the mean loss over all tokens but the first."""
    return cross_entropy(model(input_ids=ids).logits[:, :-1].flatten(0, 1), ids[:, 1:].flatten())


@torch.no_grad()
def recall(model: Any) -> tuple[float, float]:
    """Return how many facts are known, and the loss on their values."""
    asked = known()
    logits = torch.cat([model(input_ids=part[:, :-1]).logits[:, -1] for part in asked.split(512)])
    right = logits.argmax(-1) == asked[:, -1]
    return right.double().mean().item(), cross_entropy(logits, asked[:, -1]).item()


def _learn(model: Any, seed: int) -> None:
    generator = torch.Generator().manual_seed(1000 + seed)
    step_down = descent(list(model.parameters()), rate=RATE, steps=STEPS, decay=DECAY)
    model.train()
    for _ in range(STEPS):
        windows = torch.cat([text(domain, BATCH[domain], generator) for domain in DOMAINS])
        step_down(next_token_loss(model, windows))
