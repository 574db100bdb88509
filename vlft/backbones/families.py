"""Where the places and towers are, for each model family that is supported.

Patterns and prefixes follow the module names of transformers 5.23; the tests hold them against real
module trees, because transformers renames modules.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import NamedTuple


@dataclass(frozen=True)
class Layout:
    """Names of a model family's parts.

    Attributes:
        sites: Name of a place to a pattern that module names match fully.
        towers: Name of a tower to prefixes of parameter names; every parameter is in one tower.
    """

    sites: Mapping[str, str]
    towers: Mapping[str, tuple[str, ...]]


def _clip_encoder(root: str, tower: str) -> dict[str, str]:
    """Sites of one CLIP transformer, the vision and the text one alike."""
    layer = rf"{root}\.encoder\.layers\.\d+"
    return {
        f"{tower}.attention": rf"{layer}\.self_attn\.(?:q|k|v|out)_proj",
        f"{tower}.mlp": rf"{layer}\.mlp\.fc[12]",
        f"{tower}.block": layer,
    }


class Names(NamedTuple):
    """Patterns for the linear modules inside a layer of a language model.

    Attributes:
        attention: Those of its attention.
        mlp: Those of its feed-forward network.
    """

    attention: str
    mlp: str


LLAMA = Names(r"self_attn\.(?:q|k|v|o)_proj", r"mlp\.(?:gate|up|down)_proj")
"""Names of most language models (Llama, Mistral, Qwen, Gemma, ...)."""

LANGUAGE: Mapping[str, Names] = {
    # Two maps without a gate.
    "phi": Names(r"self_attn\.(?:[qkv]_proj|dense)", r"mlp\.fc[12]"),
    "gpt_neox": Names(r"attention\.(?:query_key_value|dense)", r"mlp\.dense_(?:h_to_4h|4h_to_h)"),
    "starcoder2": Names(LLAMA.attention, r"mlp\.c_(?:fc|proj)"),
    # Gate and values in one map.
    "phi3": Names(r"self_attn\.(?:qkv|o)_proj", r"mlp\.(?:gate_up|down)_proj"),
    "glm": Names(LLAMA.attention, r"mlp\.(?:gate_up|down)_proj"),
    "glm4": Names(LLAMA.attention, r"mlp\.(?:gate_up|down)_proj"),
}
"""Language models with other names than Llama's, by ``model_type``."""


def _decoder(root: str, language: str = "llama") -> dict[str, str]:
    """Sites of a language model.

    Args:
        root: Path of the decoder.
        language: Its ``model_type``.
    """
    layer = rf"{root}\.layers\.\d+"
    names = LANGUAGE.get(language, LLAMA)
    return {
        "language.attention": rf"{layer}\.{names.attention}",
        "language.mlp": rf"{layer}\.{names.mlp}",
        "language.block": layer,
        "language.head": "lm_head",
    }


CLIP = Layout(
    sites={
        **_clip_encoder("vision_model", "vision"),
        **_clip_encoder("text_model", "text"),
        "projector": r"(?:visual|text)_projection",
    },
    towers={
        "vision": ("vision_model.",),
        "projector": ("visual_projection.", "text_projection.", "logit_scale"),
        "text": ("text_model.",),
    },
)

SIGLIP = Layout(
    sites={
        **_clip_encoder("vision_model", "vision"),
        **_clip_encoder("text_model", "text"),
        "projector": r"text_model\.head",
    },
    towers={
        "vision": ("vision_model.",),
        "projector": ("text_model.head.", "logit_scale", "logit_bias"),
        "text": ("text_model.embeddings.", "text_model.encoder.", "text_model.final_layer_norm."),
    },
)


def llava_layout(language: str) -> Layout:
    """Return the layout of a LLaVA.

    Args:
        language: ``model_type`` of its language model.
    """
    return Layout(
        sites={
            **_clip_encoder(r"model\.vision_tower", "vision"),
            "projector": r"model\.multi_modal_projector\.linear_[12]",
            **_decoder(r"model\.language_model", language),
        },
        towers={
            "vision": ("model.vision_tower.",),
            "projector": ("model.multi_modal_projector.",),
            "language": ("model.language_model.", "lm_head."),
        },
    )


LLAVA = llava_layout("llama")


def _qwen_vl(mlp: str) -> Layout:
    """Qwen2-VL and Qwen2.5-VL; q, k and v are one module in their vision tower."""
    block = r"model\.visual\.blocks\.\d+"
    return Layout(
        sites={
            "vision.attention": rf"{block}\.attn\.(?:qkv|proj)",
            "vision.mlp": rf"{block}\.mlp\.{mlp}",
            "vision.block": block,
            "projector": r"model\.visual\.merger\.mlp\.[02]",
            **_decoder(r"model\.language_model"),
        },
        towers={
            "vision": ("model.visual.patch_embed.", "model.visual.blocks."),
            "projector": ("model.visual.merger.",),
            "language": ("model.language_model.", "lm_head."),
        },
    )


QWEN2_VL = _qwen_vl("fc[12]")
QWEN2_5_VL = _qwen_vl("(?:gate|up|down)_proj")

IDEFICS3 = Layout(
    sites={
        **_clip_encoder(r"model\.vision_model", "vision"),
        "projector": r"model\.connector\.modality_projection\.proj",
        **_decoder(r"model\.text_model"),
    },
    towers={
        "vision": ("model.vision_model.",),
        "projector": ("model.connector.",),
        "language": ("model.text_model.", "lm_head."),
    },
)
"""Idefics3 and SmolVLM."""

PALIGEMMA = Layout(
    sites={**LLAVA.sites, "projector": r"model\.multi_modal_projector\.linear"},
    towers=LLAVA.towers,
)

GEMMA3 = Layout(
    sites={site: pattern for site, pattern in LLAVA.sites.items() if site != "projector"},
    towers=LLAVA.towers,
)
"""Its projector is one bare matrix, so no linear module is there to place an adapter on."""

_INTERNVL_BLOCK = r"model\.vision_tower\.encoder\.layer\.\d+"

INTERNVL = Layout(
    sites={
        **LLAVA.sites,
        "vision.attention": rf"{_INTERNVL_BLOCK}\.attention\.(?:[qkv]_proj|projection_layer)",
        "vision.mlp": rf"{_INTERNVL_BLOCK}\.mlp\.fc[12]",
        "vision.block": _INTERNVL_BLOCK,
    },
    towers=LLAVA.towers,
)

_VIT_LAYER, _SWIN_STAGE = r"vit\.layers\.\d+", r"swin\.encoder\.layers\.\d+"
_SWIN_BLOCK = rf"{_SWIN_STAGE}\.blocks\.\d+"

VISION: Mapping[str, Layout] = {
    "vit": Layout(
        sites={
            "vision.attention": rf"{_VIT_LAYER}\.attention\.[qkvo]_proj",
            "vision.mlp": rf"{_VIT_LAYER}\.mlp\.fc[12]",
            "vision.block": _VIT_LAYER,
            "head": "classifier",
        },
        towers={"vision": ("vit.",), "head": ("classifier.",)},
    ),
    "swin": Layout(
        sites={
            "vision.attention": rf"{_SWIN_BLOCK}\.attention\.[qkvo]_proj",
            "vision.mlp": rf"{_SWIN_BLOCK}\.mlp\.fc[12]",
            "vision.block": _SWIN_BLOCK,
            "vision.stage": _SWIN_STAGE,
            "head": "classifier",
        },
        towers={"vision": ("swin.",), "head": ("classifier.",)},
    ),
    "clip": Layout(
        sites={**_clip_encoder("vision_model", "vision"), "head": "classifier"},
        towers={"vision": ("vision_model.",), "head": ("classifier.",)},
    ),
}
"""Image classifiers, by ``model_type``."""


def causal_lm_layout(language: str, root: str) -> Layout:
    """Return the layout of a language model alone.

    Args:
        language: Its ``model_type``.
        root: Path of its decoder (``base_model_prefix``).
    """
    return Layout(sites=_decoder(re.escape(root), language), towers={"language": ("",)})
