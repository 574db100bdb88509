"""Where the places and towers are, for each model family that is supported.

Patterns and prefixes follow the module names of transformers 5.23; the tests hold them against real
module trees, because transformers renames modules.
"""

from collections.abc import Mapping
from dataclasses import dataclass


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


def _decoder(root: str) -> dict[str, str]:
    """Sites of a decoder with Llama's module names (Llama, Mistral, Qwen, Gemma, ...)."""
    layer = rf"{root}\.layers\.\d+"
    return {
        "language.attention": rf"{layer}\.self_attn\.(?:q|k|v|o)_proj",
        "language.mlp": rf"{layer}\.mlp\.(?:gate|up|down)_proj",
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

LLAVA = Layout(
    sites={
        **_clip_encoder(r"model\.vision_tower", "vision"),
        "projector": r"model\.multi_modal_projector\.linear_[12]",
        **_decoder(r"model\.language_model"),
    },
    towers={
        "vision": ("model.vision_tower.",),
        "projector": ("model.multi_modal_projector.",),
        "language": ("model.language_model.", "lm_head."),
    },
)


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

CAUSAL_LM = Layout(sites=_decoder("model"), towers={"language": ("",)})
