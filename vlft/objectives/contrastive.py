"""Image-text contrastive losses over the global batch: CLIP's softmax and SigLIP's sigmoid."""

import math
from typing import Any

import torch
from accelerate.utils import extract_model_from_parallel
from jaxtyping import Float, Int
from peft import PeftModel
from torch import Tensor, nn
from torch.nn.functional import cross_entropy, logsigmoid

from vlft.objectives.gather import first_row, gather_rows
from vlft.types import BATCH_KEYS, Batch, Losses, Outputs

MAX_LOGIT_SCALE = math.log(100)
"""CLIP never scales logits by more than 100 (arXiv 2103.00020, section 2.5)."""


class _Capped(torch.autograd.Function):
    """The smaller of a number and a limit; above it, only what lowers the number has a gradient.

    A plain clamp has none there, so a temperature that has once passed the limit would stay. CLIP
    and open_clip set the parameter back after each step, which has the same effect.
    """

    @staticmethod
    def forward(ctx: Any, value: Tensor, limit: float) -> Tensor:
        ctx.save_for_backward(value)
        ctx.limit = limit
        return value.clamp(max=limit)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, None]:
        (value,) = ctx.saved_tensors
        lowers = gradients[0] > 0  # descent goes against the gradient
        return gradients[0] * ((value <= ctx.limit) | lowers), None


def clip_losses(
    image: Float[Tensor, "rows width"],
    text: Float[Tensor, "rows width"],
    all_image: Float[Tensor, "all_rows width"],
    all_text: Float[Tensor, "all_rows width"],
    *,
    scale: Float[Tensor, ""],
    first: int,
) -> Float[Tensor, " rows"]:
    """Return each local pair's symmetric cross entropy (arXiv 2103.00020, figure 3), in nats.

    Args:
        image: This rank's unit-length image embeddings.
        text: This rank's unit-length text embeddings, row by row the pairs of ``image``.
        all_image: Image embeddings of all ranks.
        all_text: Text embeddings of all ranks.
        scale: Factor on the cosine (not its logarithm).
        first: Where this rank's rows begin among all rows.
    """
    pair = torch.arange(first, first + image.shape[0], device=image.device)
    to_text = cross_entropy(scale * image @ all_text.T, pair, reduction="none")
    to_image = cross_entropy(scale * text @ all_image.T, pair, reduction="none")
    return (to_text + to_image) / 2


def siglip_losses(
    image: Float[Tensor, "rows width"],
    all_text: Float[Tensor, "all_rows width"],
    *,
    scale: Float[Tensor, ""],
    bias: Float[Tensor, ""],
    first: int,
) -> Float[Tensor, " rows"]:
    """Return each local image's pairwise sigmoid loss, summed over all texts.

    Every image has one positive and ``all_rows - 1`` negatives (arXiv 2303.15343, algorithm 1);
    its mean over images is the paper's loss.
    """
    logits = scale * image @ all_text.T + bias
    sign = torch.full_like(logits, -1.0)
    sign.diagonal(offset=first).fill_(1.0)
    return -logsigmoid(sign * logits).sum(dim=1)


class Contrastive:
    """The loss of contrastive hosts.

    Args:
        kind: ``clip`` or ``siglip``.
        logit_bias: SigLIP's bias for hosts that have none of their own.
    """

    def __init__(self, kind: str, *, logit_bias: float) -> None:
        self.kind = kind
        self.logit_bias = logit_bias

    def forward(self, model: nn.Module, batch: Batch) -> Outputs:
        """Return unit-length ``image_embeds`` and ``text_embeds`` [batch width] and the scales."""
        inputs = {name: value for name, value in batch.items() if name not in BATCH_KEYS}
        result = model(**inputs)
        scales = _scalars(model)
        return {"image_embeds": result.image_embeds, "text_embeds": result.text_embeds, **scales}

    def loss(self, outputs: Outputs, batch: Batch, num_items: Tensor | int | None) -> Losses:
        """Return ``contrastive``, whose mean over ranks is the loss of the global batch."""
        return Losses({"contrastive": self._losses(outputs).mean()})

    def per_sample(
        self, outputs: Outputs, batch: Batch
    ) -> tuple[Float[Tensor, " batch"], Int[Tensor, " batch"]]:
        """Return each pair's loss among the candidates of its validation batch."""
        losses = self._losses(outputs)
        return losses, torch.ones_like(losses, dtype=torch.long)

    def _losses(self, outputs: Outputs) -> Float[Tensor, " batch"]:
        image, text = outputs["image_embeds"].float(), outputs["text_embeds"].float()
        log_scale = outputs["logit_scale"].float()
        first = first_row(image)
        if self.kind == "siglip":  # whose scale has no limit
            bias = outputs.get("logit_bias", image.new_tensor(self.logit_bias)).float()
            return siglip_losses(
                image, gather_rows(text), scale=log_scale.exp(), bias=bias, first=first
            )
        scale = _Capped.apply(log_scale, MAX_LOGIT_SCALE).exp()
        return clip_losses(
            image, text, gather_rows(image), gather_rows(text), scale=scale, first=first
        )


def _scalars(model: nn.Module) -> Outputs:
    """Return the host's own scalar parameters: temperature and, in SigLIP, bias."""
    host: Any = extract_model_from_parallel(model)
    if isinstance(host, PeftModel):
        host = host.get_base_model()
    bias = getattr(host, "logit_bias", None)  # CLIP has none
    scales = {"logit_scale": host.logit_scale.squeeze()}
    return scales if bias is None else {**scales, "logit_bias": bias.squeeze()}
