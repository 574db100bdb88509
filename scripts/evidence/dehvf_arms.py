"""Arms of the DEHVF study: ways for images to reach a language model that never saw one."""

from functools import cache
from typing import Any, Literal, NamedTuple

import torch
from jaxtyping import UInt8
from safetensors.torch import load_file, save_file
from torch import Tensor, nn
from torch.nn.functional import cross_entropy

from evidence.dehvf_controls import reverse_layers, shared_net
from evidence.dehvf_questions import (
    IMAGE,
    IMAGE_TYPES,
    PAD,
    TEXT_TYPES,
    TYPES,
    Features,
    Questions,
    draw_questions,
    seen,
)
from evidence.dehvf_start import PATCHES, start
from evidence.descent import descent
from evidence.lines import STARTS, Found
from vlft.adapters import apply_adapter
from vlft.adapters.dehvf.features import group_states
from vlft.adapters.dehvf.inspection import fusion_weights
from vlft.backbones.families import LLAVA
from vlft.backbones.frozen_generative import GENERATIVE
from vlft.backbones.frozen_tower import take_features
from vlft.disk import replace_file
from vlft.recipe.adapter import AdapterSection, DehvfAdapter, LoraAdapter
from vlft.types import Backbone

Arm = Literal["layer_id", "hidden", "static", "last_only", "tokens", "text only"]

ARMS: dict[Arm, int] = {
    "layer_id": 64, "hidden": 48, "static": 140, "last_only": 142, "tokens": 6, "text only": 64,
}  # fmt: skip
"""Arm to its size, which makes the numbers of trained parameters equal within 5 %: learned slots of
DEHVF, and the rank of LoRA (``tokens``)."""

LOOKED_AT = 1000
"""Images that fusion weights are a mean over: of questions on color, texture, size and shape."""

RATES = (1e-3, 3e-3, 1e-2)
STEPS, BATCH = 1500, 64

Split = Literal["train", "validation", "test"]
SETS: dict[Split, tuple[int, int]] = {
    "train": (4000, 21), "validation": (500, 22), "test": (2000, 23)
}  # fmt: skip
"""Questions of each type, and the seed; validation and test scenes are held out."""

Inputs = dict[str, Tensor]


class Shown(NamedTuple):
    """A set of questions and what the tower sees of their images."""

    questions: Questions
    features: Features


def features_of(images: UInt8[Tensor, "images 3 height width"]) -> Features:
    """Return what a cache of features would keep of images: for DEHVF, and for LLaVA."""
    adapted = _adapted("layer_id")
    reads = group_states(adapted)[-1], GENERATIVE["llava"](start()).read
    with torch.no_grad():
        parts = [
            [read({"pixel_values": seen(part)}) for part in images.split(1000)] for read in reads
        ]
    return Features(*(torch.cat(part).half() for part in parts))


@cache
def shown(split: Split) -> Shown:
    """Return a set; features of the frozen tower are made once and read from disk."""
    per_type, seed = SETS[split]
    questions = draw_questions(
        per_type, seed=seed, split="train" if split == "train" else "held_out"
    )
    path = STARTS / "dehvf" / f"{split}.safetensors"
    if not path.is_file():
        made = features_of(questions.pixels)
        replace_file(path, lambda target: save_file(made._asdict(), target))
    return Shown(questions, Features(**load_file(path)))


def sweep(arm: Arm, rate: float, seed: int) -> Found:
    """Train an arm, and return its accuracy on validation questions."""
    model, trained = trained_arm(arm, rate, seed)
    right = _right(model, arm, shown("validation"))
    return Found({"validation accuracy": right.mean().item()}, len(right), trained)


def claim(arm: Arm, rate: float, seed: int) -> Found:
    """Train an arm, and return its accuracy on test questions of each type."""
    model, trained = trained_arm(arm, rate, seed)
    test = shown("test")
    numbers = _by_type(_right(model, arm, test), test.questions)
    if arm == "layer_id":
        numbers |= _looks(model, test)
    return Found(numbers, {name: _counted(name) for name in numbers}, trained)


def _counted(metric: str) -> int:
    """Return how many items a metric is over."""
    if metric.startswith("weight"):
        return LOOKED_AT
    per_type, _ = SETS["test"]
    if metric.startswith("image questions"):
        return per_type * len(IMAGE_TYPES)
    return per_type * (len(TEXT_TYPES) if metric.startswith("text questions") else 1)


def _looks(model: Any, test: Shown) -> dict[str, float]:
    """Return what a trained fuser looks at, and what it loses with other images or layer ids."""
    questions = test.questions
    some = torch.arange(0, len(questions.ids), 7)[:LOOKED_AT]
    weights = fusion_weights(model, _inputs("layer_id", test, some)).mean(dim=0)
    looks = {
        f"weight of group {group + 1}, {place}": weights[at, group].item()
        for at, place in enumerate(("keys", "values"))
        for group in range(weights.shape[-1])
    }
    with_image = questions.shows_image.nonzero()[:, 0]
    others = torch.arange(len(questions.ids))
    order = torch.randperm(len(with_image), generator=torch.Generator().manual_seed(0))
    others[with_image] = with_image[order]
    shuffled = Shown(questions, Features(*(one[others] for one in test.features)))
    right = _by_type(_right(model, "layer_id", shuffled), questions)
    looks |= {f"{name}, images shuffled": value for name, value in right.items()}
    reverse_layers(shared_net(model))
    right = _by_type(_right(model, "layer_id", test), questions)
    return looks | {f"{name}, layer ids reversed": value for name, value in right.items()}


def trained_arm(arm: Arm, rate: float, seed: int) -> tuple[nn.Module, int]:
    """Train an arm from the shared start.

    Returns:
        The model, and the number of its trained parameters.
    """
    torch.manual_seed(seed)
    model = _adapted(arm)
    train = shown("train")
    trained = [parameter for parameter in model.parameters() if parameter.requires_grad]
    step_down = descent(trained, rate=rate, steps=STEPS, warmup=0.1)
    generator = torch.Generator().manual_seed(seed)  # the same questions for all arms of a seed
    model.train()
    for _ in range(STEPS):
        chosen = torch.randint(len(train.questions.ids), (BATCH,), generator=generator)
        logits = model(**_inputs(arm, train, chosen), logits_to_keep=1).logits[:, 0]
        step_down(cross_entropy(logits, train.questions.answers[chosen]))
    return model.eval(), sum(parameter.numel() for parameter in trained)


def _adapted(arm: Arm) -> Any:
    backbone = Backbone(
        start(), None, "generative", "assembled", LLAVA.sites, LLAVA.towers, source={}
    )
    model: Any = apply_adapter(backbone, _section(arm), {}).model
    if arm == "tokens":
        host = model.get_base_model()
        take_features(host, GENERATIVE["llava"](host))
        host.model.multi_modal_projector.requires_grad_(True)  # it never met tower or language
    return model


def _section(arm: Arm) -> AdapterSection:
    size = ARMS[arm]
    if arm == "tokens":
        return LoraAdapter.model_validate(
            {"type": "lora", "sites": ["language.attention"], "r": size, "lora_alpha": 2 * size}
        )
    return DehvfAdapter.model_validate(
        {"type": "dehvf", "groups": 4, "r": 64, "num_learned": size, "width": 32,
         "mlp_hidden": 64, "query": "layer_id" if arm == "text only" else arm, "scale": 1.0,
         "memory_dropout": 0.0}
    )  # fmt: skip


def _inputs(arm: Arm, data: Shown, chosen: Tensor) -> Inputs:
    """Return a batch; questions without an image show none."""
    ids, has_image = data.questions.ids[chosen], data.questions.shows_image[chosen]
    inputs = {"input_ids": ids, "attention_mask": (ids != PAD).long()}
    if arm == "text only":
        return inputs
    with_image = chosen[has_image] if has_image.any() else chosen[:1]
    if arm == "tokens":
        return _with_tokens(inputs, has_image, data.features.last[with_image].float())
    states = data.features.groups[with_image].float()
    inputs["visual_features"] = states[:, -1:] if arm == "last_only" else states
    inputs["image_slots"] = torch.where(has_image, has_image.cumsum(0) - 1, -1)[:, None]
    if arm == "hidden":
        inputs["prompt_mask"] = inputs["attention_mask"]
    return inputs


def _with_tokens(inputs: Inputs, has_image: Tensor, features: Tensor) -> Inputs:
    """Put the patches of images before the question; it moves left where there is none."""
    places = torch.where(has_image[:, None], IMAGE, PAD).expand(-1, PATCHES)
    ids = torch.cat([places, inputs["input_ids"]], dim=1)
    found = {"input_ids": ids, "attention_mask": (ids != PAD).long()}
    return found | ({"visual_features": features} if has_image.any() else {})


def _right(model: nn.Module, arm: Arm, data: Shown) -> Tensor:
    """Return 1 for each question that is answered rightly, else 0."""
    found = []
    with torch.no_grad():
        for chosen in torch.arange(len(data.questions.ids)).split(500):
            logits = model(**_inputs(arm, data, chosen), logits_to_keep=1).logits[:, 0]
            found.append(logits.argmax(-1) == data.questions.answers[chosen])
    return torch.cat(found).double()


def _by_type(right: Tensor, questions: Questions) -> dict[str, float]:
    """Return accuracies by type, and their means over image and text types."""
    numbers = {
        name: right[questions.types == number].mean().item() for number, name in enumerate(TYPES)
    }
    for name, types in (("image questions", IMAGE_TYPES), ("text questions", TEXT_TYPES)):
        numbers[name] = sum(numbers[one] for one in types) / len(types)
    return numbers
