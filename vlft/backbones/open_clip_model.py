"""An open_clip model behind the interface of transformers' contrastive models.

The module inside is open_clip's own. What is added: the forward pass takes and gives what CLIP in
transformers does, self-attention is made of linear layers, and ``save_pretrained`` writes
open_clip's own format.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from jaxtyping import Float, Int
from safetensors.torch import save_file
from torch import Tensor, nn
from torch.nn.functional import normalize, scaled_dot_product_attention
from transformers import PreTrainedConfig, PreTrainedModel
from transformers.modeling_outputs import BaseModelOutputWithPooling
from transformers.utils import ModelOutput

from vlft.errors import BackboneError, MissingExtraError

WEIGHTS, CONFIG = "open_clip_model.safetensors", "open_clip_config.json"
"""Files of open_clip's own format, by open_clip's names."""


def require_open_clip() -> Any:
    """Return the package ``open_clip``.

    Raises:
        MissingExtraError: It is not installed.
    """
    try:
        import open_clip
    except ImportError as error:
        raise MissingExtraError(
            "open_clip", extra="openclip", needed_for="a host of type open_clip"
        ) from error
    return open_clip


class OpenClipConfig(PreTrainedConfig):
    """What open_clip builds a model and its preprocessing from.

    Attributes:
        model_cfg: open_clip's ``embed_dim``, ``vision_cfg``, ``text_cfg`` and so on.
        preprocess_cfg: Size in pixels, mean, standard deviation and resizing of images.
    """

    model_type = "open_clip"

    model_cfg: dict[str, Any] | None = None
    preprocess_cfg: dict[str, Any] | None = None


@dataclass
class OpenClipOutput(ModelOutput):
    """Embeddings of a batch of pairs.

    Attributes:
        image_embeds: Of unit length [batch width].
        text_embeds: Of unit length [batch width].
    """

    image_embeds: Tensor | None = None
    text_embeds: Tensor | None = None


class FusedAttention(nn.Module):
    """Self-attention as ``nn.MultiheadAttention`` computes it, from two linear layers.

    ``nn.MultiheadAttention`` keeps its weights as bare parameters, which adapters cannot wrap.
    (PEFT has a layer for it that adds the update to the weight and takes it off again in every
    forward pass; with 16-bit weights the base then drifts, and the adapter's dropout is left out.)
    State dicts with the names of ``nn.MultiheadAttention`` load.

    Args:
        attention: Where the weights come from; batch first, keys and values as wide as queries.
    """

    def __init__(self, attention: nn.MultiheadAttention) -> None:
        super().__init__()
        width, weight = attention.embed_dim, attention.in_proj_weight
        self.num_heads = attention.num_heads
        self.in_proj = nn.Linear(width, 3 * width, device=weight.device, dtype=weight.dtype)
        self.in_proj.weight = weight
        self.in_proj.bias = attention.in_proj_bias
        self.out_proj = nn.Linear(width, width, device=weight.device, dtype=weight.dtype)
        self.out_proj.weight = attention.out_proj.weight
        self.out_proj.bias = attention.out_proj.bias

    def forward(
        self,
        query: Float[Tensor, "batch tokens width"],
        key: Tensor,
        value: Tensor,
        *,
        need_weights: bool,
        attn_mask: Float[Tensor, "tokens tokens"] | None = None,
    ) -> tuple[Float[Tensor, "batch tokens width"], None]:
        """Attend; the arguments are those that open_clip's blocks give."""
        assert key is query, "cross-attention is not built from this layer"
        assert value is query, "cross-attention is not built from this layer"
        assert not need_weights, "open_clip's blocks do not read attention weights"
        joined = self.in_proj(query).unflatten(-1, (3, self.num_heads, -1))
        queries, keys, values = joined.permute(2, 0, 3, 1, 4)  # each: batch heads tokens channels
        mask = None if attn_mask is None else attn_mask.to(queries.dtype)
        mixed = scaled_dot_product_attention(queries, keys, values, attn_mask=mask)
        return self.out_proj(mixed.transpose(1, 2).flatten(2)), None

    # pyrefly: ignore[bad-override]  # what torch passes beside names and values is passed on
    def _load_from_state_dict(self, state_dict: dict, prefix: str, *args: Any) -> None:
        for kind in ("weight", "bias"):
            value = state_dict.pop(f"{prefix}in_proj_{kind}", None)
            if value is not None:
                state_dict[f"{prefix}in_proj.{kind}"] = value
        super()._load_from_state_dict(state_dict, prefix, *args)


class OpenClipModel(PreTrainedModel):
    """open_clip's model with the calls and outputs of transformers' ``CLIPModel``.

    Args:
        config: Shapes; weights are random, drawn from torch's global generator.

    Raises:
        BackboneError: It is a model that also writes text (CoCa), or open_clip cannot build it.
    """

    config_class = OpenClipConfig
    main_input_name = "pixel_values"
    supports_gradient_checkpointing = True
    _supports_sdpa = True

    def __init__(self, config: OpenClipConfig) -> None:
        super().__init__(config)
        self.clip: Any = _module(config)
        self.post_init()

    @property
    def logit_scale(self) -> nn.Parameter:
        """Logarithm of the temperature."""
        return self.clip.logit_scale

    @property
    def logit_bias(self) -> nn.Parameter | None:
        """Bias of the sigmoid loss, of models that were trained with it."""
        return self.clip.logit_bias

    def forward(
        self,
        pixel_values: Float[Tensor, "batch channels height width"],
        input_ids: Int[Tensor, "batch tokens"],
    ) -> OpenClipOutput:
        """Embed pairs."""
        return OpenClipOutput(
            image_embeds=normalize(self._encode_image(pixel_values), dim=-1),
            text_embeds=normalize(self.clip.encode_text(input_ids), dim=-1),
        )

    def get_image_features(
        self, pixel_values: Float[Tensor, "batch channels height width"]
    ) -> BaseModelOutputWithPooling:
        """Return image embeddings, not normalized, as ``pooler_output``."""
        return BaseModelOutputWithPooling(pooler_output=self._encode_image(pixel_values))

    def _encode_image(self, pixel_values: Tensor) -> Tensor:
        """Embed images, given in any floating type as to models of transformers."""
        return self.clip.encode_image(pixel_values.to(self.dtype))

    def get_text_features(self, input_ids: Int[Tensor, "batch tokens"]) -> Any:
        """Return text embeddings, not normalized, as ``pooler_output``."""
        return BaseModelOutputWithPooling(pooler_output=self.clip.encode_text(input_ids))

    # pyrefly: ignore[bad-override]  # the options are those of transformers' format
    def save_pretrained(
        self,
        save_directory: str | Path,
        state_dict: Mapping[str, Tensor] | None = None,
        is_main_process: bool = True,
        **kwargs: Any,
    ) -> None:
        """Write open_clip's own format, and a ``config.json`` that names it.

        ``open_clip.create_model("local-dir:" + folder)`` loads it, and so does
        ``create_model(architecture, pretrained=folder + "/open_clip_model.safetensors")``.
        """
        if not is_main_process:
            return
        folder = Path(save_directory)
        folder.mkdir(parents=True, exist_ok=True)
        state = self.state_dict() if state_dict is None else state_dict
        weights = {
            open_clip_name(name): tensor.detach().cpu().clone().contiguous()
            for name, tensor in state.items()
        }
        assert isinstance(self.config, OpenClipConfig)
        write_config(self.config, folder)
        save_file(weights, folder / WEIGHTS, metadata={"format": "pt"})
        self.config.save_pretrained(folder)

    def _init_weights(self, module: nn.Module) -> None:
        """Keep the weights that open_clip has drawn."""

    # pyrefly: ignore[bad-override]  # open_clip chooses how to checkpoint
    def _set_gradient_checkpointing(self, enable: bool = True, **kwargs: Any) -> None:
        self.clip.set_grad_checkpointing(enable)


def open_clip_name(name: str) -> str:
    """Return open_clip's name of a parameter of ``OpenClipModel``."""
    name = name.removeprefix("clip.")
    for kind in ("weight", "bias"):
        name = name.replace(f".attn.in_proj.{kind}", f".attn.in_proj_{kind}")
    return name


def write_config(config: OpenClipConfig, folder: Path) -> None:
    """Write ``open_clip_config.json``."""
    values = {"model_cfg": config.model_cfg, "preprocess_cfg": config.preprocess_cfg}
    (folder / CONFIG).write_text(json.dumps(values, indent=2) + "\n", encoding="utf-8")


def _module(config: OpenClipConfig) -> nn.Module:
    """Build open_clip's own module; towers never fetch weights of their own."""
    open_clip = require_open_clip()
    from open_clip.transformer import ResidualAttentionBlock

    values = json.loads(json.dumps(config.model_cfg))  # open_clip may change what it is given
    if "multimodal_cfg" in values:
        raise BackboneError(
            "backbone.model: CoCa models also write captions, which a contrastive host does not "
            "train; choose an architecture without `multimodal_cfg`"
        )
    custom = values.pop("custom_text", False) or "hf_model_name" in values["text_cfg"]
    if "timm_model_name" in values["vision_cfg"]:
        values["vision_cfg"]["timm_model_pretrained"] = False
    if "hf_model_name" in values["text_cfg"]:
        values["text_cfg"]["hf_model_pretrained"] = False
    try:
        clip = (open_clip.CustomTextCLIP if custom else open_clip.CLIP)(**values)
    except (OSError, TypeError, ValueError, RuntimeError) as error:
        reason = str(error).strip().splitlines()[0]
        raise BackboneError(f"backbone: open_clip cannot build this model: {reason}") from error
    open_clip.set_model_preprocess_cfg(clip, config.preprocess_cfg)
    for block in clip.modules():
        # Blocks of other kinds keep their attention; it has no site then.
        if isinstance(block, ResidualAttentionBlock) and block.attn.batch_first:
            block.add_module("attn", FusedAttention(block.attn))
    return clip


def random_model(config: OpenClipConfig, *, device: str, dtype: str) -> OpenClipModel:
    """Build a model with open_clip's initialization.

    Args:
        config: Shapes.
        device: ``cpu`` or ``meta``.
        dtype: Storage type of the weights, by its name in torch.
    """
    with torch.device(device):
        model = OpenClipModel(config)
    return model.to(getattr(torch, dtype))
