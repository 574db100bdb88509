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

CAUSAL_LM = Layout(sites=_decoder("model"), towers={"language": ("",)})
