"""What goes with what: the one table behind docs/support.md and tests/test_support.py.

A cell that is not among the refusals works, and its test shows that. A refusal is a part of the
message that the user reads. ``python scripts/support.py`` writes the page.
"""

from dataclasses import dataclass, field
from typing import Any

SHAPES = (
    "circle", "oval", "ring", "square", "bar", "frame",
    "triangle", "diamond", "arrow", "plus", "cross", "hash",
)  # fmt: skip


@dataclass(frozen=True)
class Host:
    """A tiny host.

    Attributes:
        backbone: Fields of the recipe's ``backbone``.
        family: What it trains on.
        sites: Where adapters are placed on it.
        quantized: Towers that are quantized where a row asks for it.
        line: Models that it stands for.
    """

    backbone: dict[str, Any]
    family: str
    sites: tuple[str, ...]
    quantized: tuple[str, ...]
    line: str


def _generative(config: str, line: str, kind: str = "image_text_to_text") -> Host:
    sites = ("vision.attention", "language.attention", "language.mlp")
    if kind == "causal_lm":
        sites = sites[1:]
    return Host({"type": kind, "config": config}, "generative", sites, ("language",), line)


def _contrastive(config: str, line: str, kind: str) -> Host:
    sites = ("vision.attention", "vision.mlp", "text.attention", "text.mlp")
    return Host({"type": kind, "config": config}, "contrastive", sites, ("vision", "text"), line)


def _vision(config: str, line: str) -> Host:
    backbone = {"type": "vision", "config": config, "labels": SHAPES}
    sites = ("vision.attention", "vision.mlp")
    return Host(backbone, "vision", sites, ("vision",), line)


HOSTS = {
    "tiny_llava": _generative("tiny_llava", "LLaVA-1.5", "assembled"),
    "tiny_qwen2_5_vl": _generative("tiny_qwen2_5_vl", "Qwen2.5-VL"),
    "tiny_qwen2_vl": _generative("tiny_qwen2_vl", "Qwen2-VL"),
    "tiny_smolvlm": _generative("tiny_smolvlm", "SmolVLM2"),
    "tiny_idefics3": _generative("tiny_idefics3", "Idefics3, SmolVLM"),
    "tiny_paligemma": _generative("tiny_paligemma", "PaliGemma"),
    "tiny_gemma3": _generative("tiny_gemma3", "Gemma 3"),
    "tiny_internvl": _generative("tiny_internvl", "InternVL"),
    "tiny_llama": _generative("tiny_llama", "Llama (text only)", "causal_lm"),
    "tiny_clip": _contrastive("tiny_clip", "CLIP", "clip"),
    "tiny_siglip": _contrastive("tiny_siglip", "SigLIP", "siglip"),
    "tiny_siglip2": _contrastive("tiny_siglip2", "SigLIP 2", "siglip"),
    "tiny_open_clip": _contrastive("tiny_open_clip", "open_clip", "open_clip"),
    "tiny_vit": _vision("tiny_vit", "ViT"),
    "tiny_swin": _vision("tiny_swin", "Swin"),
    "tiny_clip_vision": _vision("tiny_clip_vision", "CLIP's image encoder"),
}


@dataclass(frozen=True)
class Method:
    """A way of training.

    Attributes:
        adapter: Fields of the recipe's ``adapter``, without sites.
        backbone: Fields of the recipe's ``backbone`` that it needs.
        words: What the page calls it.
    """

    adapter: dict[str, Any]
    words: str
    backbone: dict[str, Any] = field(default_factory=dict)


_LORA = {"type": "lora", "r": 4, "lora_alpha": 8}

_DEHVF = {"type": "dehvf", "groups": 2, "r": 4, "num_learned": 4, "max_images": 2}

_CORDA = {"type": "corda", "mode": "ipm", "r": 4}

METHODS = {
    "lora": Method(_LORA, "LoRA"),
    "dora": Method({**_LORA, "use_dora": True}, "DoRA"),
    "rslora": Method({**_LORA, "use_rslora": True}, "rsLoRA"),
    "pissa": Method({**_LORA, "init_lora_weights": "pissa"}, "PiSSA"),
    "qlora": Method(_LORA, "LoRA on NF4 (QLoRA)", {"quantization": "nf4"}),
    "int8": Method(_LORA, "LoRA on int8", {"quantization": "int8"}),
    "ia3": Method(
        {"type": "peft", "peft_type": "IA3", "options": {"feedforward_modules": []}}, "IA3"
    ),
    "loha": Method({"type": "peft", "peft_type": "LOHA", "options": {"r": 4}}, "LoHa"),
    "corda": Method(_CORDA, "CorDA"),
    "qcorda": Method(
        {**_CORDA, "save": "residual"}, "CorDA's residual on NF4", {"quantization": "nf4"}
    ),
    "dehvf": Method(_DEHVF, "DEHVF"),
    "qdehvf": Method(_DEHVF, "DEHVF on NF4", {"quantization": "nf4"}),
    "full": Method({"type": "full"}, "full"),
    "qdora": Method({**_LORA, "use_dora": True}, "DoRA on int8", {"quantization": "int8"}),
    "qpissa": Method(
        {**_LORA, "init_lora_weights": "pissa"}, "PiSSA on NF4", {"quantization": "nf4"}
    ),
    "qloha": Method(
        {"type": "peft", "peft_type": "LOHA", "options": {"r": 4}},
        "LoHa on NF4",
        {"quantization": "nf4"},
    ),
    "qfull": Method({"type": "full"}, "full on NF4", {"quantization": "nf4"}),
}

REFUSED_METHODS: dict[tuple[str, str], str] = {
    (method, host): message
    for method, message in {
        "qdora": "PEFT's DoRA loses the scales of int8 layers",
        "qpissa": "PiSSA takes principal components out of the weights, which are stored as nf4",
        "qloha": "it cannot compute with weights stored as nf4",
        "qfull": "full fine-tuning trains and saves the weights themselves",
    }.items()
    for host in HOSTS
}
"""Method and host to a part of the refusal."""
for _method in ("dehvf", "qdehvf"):
    for _name, _host in HOSTS.items():
        if _host.family != "generative" or _name == "tiny_llama":
            _reason = "dehvf needs a host with a vision tower and a language model of its own"
        elif _name == "tiny_internvl":
            _reason = "dehvf cannot read the vision tower of this host, whose type is internvl"
        else:
            continue
        REFUSED_METHODS[_method, _name] = _reason

OPTIONS: dict[tuple[str, str], dict[str, Any]] = {
    (method, host): {"num_patches": 16}
    for method in ("dehvf", "qdehvf")
    for host in ("tiny_qwen2_5_vl", "tiny_qwen2_vl")
}
"""Method and host to fields of the adapter that this host needs."""

LAUNCHES = {
    "single": "one GPU",
    "ddp": "GPUs of one machine",
    "zero3": "GPUs, ZeRO-3",
    "cpu_single": "CPU",
    "cpu_ddp": "2 CPU processes",
    "cpu_zero2": "2 CPU processes, ZeRO-2",
    "cpu_zero3": "2 CPU processes, ZeRO-3",
}
"""Launch file to what it is."""

ZERO3 = ("zero3", "cpu_zero3")

REFUSED_LAUNCHES: dict[tuple[str, str], str] = {
    ("pissa", launch): "pissa decomposes whole weights, which ZeRO-3 splits" for launch in ZERO3
} | {("contrastive", launch): "the host's temperature has no axis" for launch in ZERO3}
REFUSED_LAUNCHES |= {
    (method, launch): "ZeRO-3 splits weights, and quantized ones cannot be read apart"
    for method in ("qlora", "int8", "qcorda", "qdehvf")
    for launch in ZERO3
}
"""Method (or family of the host) and launch file to a part of the refusal."""

NO_IMAGES = "the host reads text only"
NOT_GENERATES = "the host has no capability Generates"
NOT_SCORES = "the host has no capability Scores"
NOT_EMBEDS = "the host has no capability Embeds"
NOT_EITHER = "the host has no capability Embeds or Scores"
NOT_CLASSES = "the host has no capability Classifies or Embeds"

NOT_EMBEDS_PROMPTS = "the host has no capability Embeds or EmbedsPrompts"

ASKS = {
    "question_answering": {"contrastive": NOT_GENERATES, "vision": NOT_GENERATES},
    "short_answers": {"contrastive": NOT_GENERATES, "vision": NOT_GENERATES},
    "multiple_choice": {"contrastive": NOT_GENERATES, "vision": NOT_GENERATES},
    "option_likelihood": {"contrastive": NOT_SCORES, "vision": NOT_SCORES},
    "captioning": {"contrastive": NOT_GENERATES, "vision": NOT_GENERATES},
    "caption_choice": {"vision": NOT_EITHER},
    "retrieval": {"generative": NOT_EMBEDS, "vision": NOT_EMBEDS},
    "classification": {"generative": NOT_CLASSES},
    "scienceqa": {"contrastive": NOT_GENERATES, "vision": NOT_GENERATES},
    "scienceqa_likelihood": {"contrastive": NOT_SCORES, "vision": NOT_SCORES},
    "mmra": {"contrastive": NOT_SCORES, "vision": NOT_SCORES},
    "mmra_generate": {"contrastive": NOT_GENERATES, "vision": NOT_GENERATES},
    "mmeb": {"vision": NOT_EMBEDS_PROMPTS},
}
"""Scorer to why hosts of a family cannot take its benchmarks."""

BENCHMARKS = {
    "aro/vg_relation": "caption_choice",
    "aro/vg_attribution": "caption_choice",
    "aro/coco_order": "caption_choice",
    "aro/flickr30k_order": "caption_choice",
    "scienceqa/test": "scienceqa",
    "scienceqa/test_letter_logprob": "scienceqa_likelihood",
    "scienceqa/test_text_only": "scienceqa",
    "mmra/images_question": "mmra",
    "mmra/question_only": "mmra",
    "mmra/generate": "mmra_generate",
    "mmeb/image": "mmeb",
    "captions/coco_karpathy_test": "captioning",
    "retrieval/coco_test": "retrieval",
    "pairs/sugarcrepe_swap_att": "caption_choice",
    "scenes/question_answering": "question_answering",
    "scenes/retrieval": "retrieval",
    "custom/vqa": "short_answers",
    "custom/multiple_choice": "multiple_choice",
    "custom/multiple_choice_likelihood": "option_likelihood",
    "custom/caption": "captioning",
    "custom/pairs": "caption_choice",
    "custom/retrieval": "retrieval",
    "custom/classification": "classification",
}
"""Benchmark to its scorer. Those on published files are run on the generated world in the same
layout; others of a scorer (further splits, prompts and policies) go with the same hosts."""

TEXT_ONLY = (
    "scienceqa/test_text_only",
    "mmra/question_only",
    "custom/vqa",
    "custom/multiple_choice",
    "custom/multiple_choice_likelihood",
)
"""Benchmarks that a text-only host takes, on records without images."""


def twin(benchmark: str) -> str:
    """Return the benchmark that is run for one on published files: the same on generated ones."""
    group, _, split = benchmark.partition("/")
    if group in ("scenes", "custom"):
        return benchmark
    return "scenes/mmeb" if group == "mmeb" else f"scenes/{group}_{split}"


def refused_benchmark(benchmark: str, host: str) -> str | None:
    """Return why a host cannot take a benchmark; None when it can."""
    if HOSTS[host].backbone["type"] == "causal_lm" and benchmark not in TEXT_ONLY:
        return NO_IMAGES
    return ASKS[BENCHMARKS[benchmark]].get(HOSTS[host].family)
