"""Planted signals that a right DEHVF must pick up.

The host is a random LLaVA of 8 vision and 8 language layers; the states of its groups are given as
a cache would give them, so that what can be read where is known exactly.
"""

from collections.abc import Callable
from typing import Any, NamedTuple

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn
from torch.nn.functional import cross_entropy
from transformers import CLIPVisionConfig, LlamaConfig, LlavaConfig, LlavaForConditionalGeneration

from evidence.descent import descent
from evidence.lines import Found
from vlft.adapters import apply_adapter
from vlft.adapters.dehvf import SHARED
from vlft.adapters.dehvf.inspection import fusion_weights
from vlft.adapters.dehvf.layers import DehvfNet, MemoryMLP
from vlft.adapters.parts import base_model
from vlft.backbones.families import LLAVA
from vlft.recipe.adapter import DehvfAdapter
from vlft.types import Backbone

WIDTH, PATCHES, GROUPS, LAYERS, CLASSES = 64, 16, 4, 8, 8
BATCH, TEST = 64, 2048
ANSWER = 10
"""Token of the first class."""

QUIET, NOISE = 0.2, 0.05
"""Amplitude of the group that knows, where the others have 0.5 to 1; and of the noise."""

MARK = 2.5
"""Amplitude of the mark beside that of a class."""

NEEDED = (0, 0, 1, 1, 2, 2, 3, 3)
"""Vision group that each language layer needs in the layer map; reversed, no layer has its own."""

Inputs = dict[str, Tensor]


def plant(group: int, query: str, seed: int) -> Found:
    """Train on a class that stands in one group alone: where it is, and what it is.

    Every patch of every group shows some class, and one patch carries a mark: its class is asked
    for. All other groups agree on other classes, on another marked patch, and are 2.5 to 5 times as
    loud; so keys and values both have to leave them out. Class tokens tell groups apart and nothing
    else. The learned gain of each group is held at 1, or it could do the work of the weights.
    """
    model, net = _fuser(query, seed)
    net.fuser.gain.requires_grad_(False)
    generator = torch.Generator().manual_seed(seed)
    codes, mark = _codes()
    names = torch.randn(GROUPS, WIDTH, generator=torch.Generator().manual_seed(8))

    def shown(size: int) -> tuple[Inputs, Tensor]:
        loud = 0.5 + 0.5 * torch.rand(size, 1, 1, generator=generator)
        own, others = (_marked(size, codes, mark, generator) for _ in range(2))
        states = (loud * others.states)[:, None].repeat(1, GROUPS, 1, 1)
        states[:, group] = QUIET * own.states
        states[:, :, 0] = names  # as in a tower, whose class token tells the layers apart
        states = states + NOISE * torch.randn(states.shape, generator=generator)
        return _inputs(states[:, -1:] if query == "last_only" else states), own.asked

    trained = _learn(model, shown, _answers(model), steps=800, rate=1e-2)
    inputs, right = shown(TEST)
    numbers = {"accuracy": _accuracy(model, _answers(model), inputs, right)}
    if query != "last_only":
        keys, values = fusion_weights(model, inputs)[..., group].mean(dim=0).tolist()
        numbers |= {
            "fusion weight": (keys + values) / 2,
            "fusion weight, keys": keys,
            "fusion weight, values": values,
        }
    return Found(numbers, TEST, trained)


def layer_map(seed: int) -> Found:
    """Learn which group each language layer needs (``NEEDED``).

    Each group shows a class of its own. What the feed-forward network of a layer gives at the last
    token is read by one frozen random head, and has to be the class of the layer's group; maps and
    head are the same for all layers, so that only the fusion weights can tell them apart.
    """
    model, net = _fuser("layer_id", seed)
    generator = torch.Generator().manual_seed(seed)
    codes, _ = _codes()
    needed = torch.tensor(NEEDED)
    layers = _layers_read_by(model, torch.randn(64, CLASSES, generator=generator) / 8)

    def shown(size: int) -> tuple[Inputs, Tensor]:
        said = torch.randint(CLASSES, (size, GROUPS), generator=generator)
        states = codes[said][:, :, None].repeat(1, 1, 1 + PATCHES, 1)
        states = states + NOISE * torch.randn(states.shape, generator=generator)
        return _inputs(states), said[:, needed]

    trained = _learn(model, shown, layers, steps=600, rate=1e-2)
    inputs, right = shown(TEST)
    weights = fusion_weights(model, inputs).mean(dim=1)
    numbers = {
        "accuracy": _accuracy(model, layers, inputs, right),
        "weight of the needed group": weights[torch.arange(LAYERS), needed].mean().item(),
        "layers whose heaviest group is the needed one": float(
            (weights.argmax(-1) == needed).sum()
        ),
    }
    reverse_layers(net)
    numbers["accuracy, layer ids reversed"] = _accuracy(model, layers, inputs, right)
    return Found(numbers, TEST, trained)


def reverse_layers(net: DehvfNet) -> None:
    """Give each language layer the id of the one at the other end."""
    with torch.no_grad():
        net.fuser.layer_ids.layer.copy_(net.fuser.layer_ids.layer.flip(0))
        net.fuser.granularity.copy_(net.fuser.granularity.flip(0))


def shared_net(model: Any) -> DehvfNet:
    """Return the shared part of a host's adapter."""
    shared: Any = base_model(model).get_submodule(SHARED)
    return shared.net("default")


def _fuser(query: str, seed: int) -> tuple[Any, DehvfNet]:
    """Return a random host with a fresh adapter, and the adapter's shared part."""
    torch.manual_seed(seed)
    vision = CLIPVisionConfig(
        image_size=48, patch_size=12, hidden_size=WIDTH, intermediate_size=128,
        num_hidden_layers=8, num_attention_heads=4,
    )  # fmt: skip
    text = LlamaConfig(
        vocab_size=64, hidden_size=64, intermediate_size=128, num_hidden_layers=LAYERS,
        num_attention_heads=4, initializer_range=0.1,
    )  # fmt: skip
    config = LlavaConfig(
        vision_config=vision, text_config=text, image_token_index=3, image_seq_length=PATCHES,
        vision_feature_layer=-1,
    )  # fmt: skip
    host = LlavaForConditionalGeneration(config)
    backbone = Backbone(host, None, "generative", "assembled", LLAVA.sites, LLAVA.towers, source={})
    section = DehvfAdapter.model_validate(
        {"type": "dehvf", "groups": GROUPS, "r": 64, "num_learned": 4, "width": 32,
         "mlp_hidden": 32, "query": query, "scale": 1.0, "memory_dropout": 0.0}
    )  # fmt: skip
    model = apply_adapter(backbone, section, {}).model
    return model, shared_net(model)


def _codes() -> tuple[Float[Tensor, "classes width"], Float[Tensor, " width"]]:
    """Return what classes and a mark look like; the same for every seed."""
    drawn = torch.randn(CLASSES + 1, WIDTH, generator=torch.Generator().manual_seed(7))
    return drawn[:-1], drawn[-1]


class Marked(NamedTuple):
    """Patches of classes, one of them marked."""

    states: Float[Tensor, "batch tokens width"]
    asked: Int[Tensor, " batch"]


def _marked(size: int, codes: Tensor, mark: Tensor, generator: torch.Generator) -> Marked:
    said = torch.randint(CLASSES, (size, 1 + PATCHES), generator=generator)
    place = torch.randint(1, 1 + PATCHES, (size,), generator=generator)
    states = codes[said]
    rows = torch.arange(size)
    states[rows, place] += MARK * mark
    return Marked(states / (1 + MARK**2) ** 0.5, said[rows, place])


def _inputs(states: Float[Tensor, "batch groups tokens width"]) -> Inputs:
    ids = torch.tensor([[5, 6, 7]]).expand(len(states), -1).contiguous()
    return {"input_ids": ids, "attention_mask": torch.ones_like(ids), "visual_features": states}


Read = Callable[[Inputs], Float[Tensor, "batch *layers classes"]]


def _answers(model: nn.Module) -> Read:
    """Read classes where a model answers."""
    return lambda inputs: model(**inputs, logits_to_keep=1).logits[:, 0, ANSWER : ANSWER + CLASSES]


def _layers_read_by(model: nn.Module, head: Float[Tensor, "width classes"]) -> Read:
    """Read classes in what each feed-forward network of the language model gives."""
    given: list[Tensor] = []
    for module in model.modules():
        if isinstance(module, MemoryMLP):
            module.register_forward_hook(lambda _module, _args, output: given.append(output[:, -1]))

    def read(inputs: Inputs) -> Tensor:
        given.clear()
        model(**inputs, logits_to_keep=1)
        return torch.stack(given, dim=1) @ head

    return read


def _accuracy(model: nn.Module, read: Read, inputs: Inputs, right: Tensor) -> float:
    model.eval()
    with torch.no_grad():
        return (read(inputs).argmax(-1) == right).float().mean().item()


def _learn(
    model: nn.Module,
    shown: Callable[[int], tuple[Inputs, Tensor]],
    read: Read,
    *,
    steps: int,
    rate: float,
) -> int:
    """Train on drawn batches, and return the number of trained parameters."""
    model.train()
    trained = [parameter for parameter in model.parameters() if parameter.requires_grad]
    step_down = descent(trained, rate=rate, steps=steps)
    for _ in range(steps):
        inputs, right = shown(BATCH)
        step_down(cross_entropy(read(inputs).flatten(0, -2), right.flatten()))
    return sum(parameter.numel() for parameter in trained)
