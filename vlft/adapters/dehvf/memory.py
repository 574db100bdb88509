"""Visual memory beside a feed-forward network: y = FFN(x) + s * act(x K^T) U, at rank r.

K = u_key W_down + P1 and U = u_val W_up^T + P2 are never formed: at the width of a language model
they would take as much memory as a cache of as many tokens. Symbols: B samples, T tokens, S images
of a sample, N patches, E learned slots, L layers, r rank, d width of the language model.
"""

from dataclasses import dataclass, field, replace

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn
from torch.nn.functional import linear, silu

from vlft.adapters.dehvf.config import DehvfConfig
from vlft.adapters.dehvf.fuser import Fused, HierarchicalFuser, prompt_logits
from vlft.errors import AdapterError

Slots = Float[Tensor, "batch images 2 patches rank"]
"""Visual keys (0) and values (1) of one layer."""

Weights = Float[Tensor, "batch images 2 groups"]
"""Fusion weights of one layer."""


@dataclass(frozen=True)
class Memory:
    """What a call's layers read: their samples' images, fused.

    Attributes:
        slots: Of every layer; None where the weights depend on the text, or there is no image.
        fused: Per sample, for weights that depend on the text; else None.
        present: Which images of a sample there are.
        prompt: Which tokens are the prompt's (``hidden``).
        keeps: Whether weights that depend on the text are those of the first call (generation).
        kept: They, by layer.
        weights: Fusion weights of the layers that have been mixed, by layer.
    """

    slots: Float[Tensor, "batch images layers 2 patches rank"] | None
    fused: Fused | None
    present: Bool[Tensor, "batch images"] | None
    prompt: Bool[Tensor, "batch tokens"] | None = None
    keeps: bool = False
    kept: dict[int, Slots] = field(default_factory=dict)
    weights: dict[int, Weights] = field(default_factory=dict)

    def rows(self, count: int) -> "Memory":
        """Return the memory for so many rows: beams and samples of one prompt stand together."""
        if self.present is None or len(self.present) == count:
            return self
        times, rest = divmod(count, len(self.present))
        assert rest == 0, f"{count} rows for {len(self.present)} samples"

        def each(tensor: Tensor) -> Tensor:
            return tensor.repeat_interleave(times, dim=0)

        def maybe(tensor: Tensor | None) -> Tensor | None:
            return None if tensor is None else each(tensor)

        fused = self.fused
        return replace(
            self,
            slots=maybe(self.slots),
            fused=fused and Fused(each(fused.patches), each(fused.logits), maybe(fused.keys)),
            present=each(self.present),
            prompt=maybe(self.prompt),
            kept={layer: each(slots) for layer, slots in self.kept.items()},
            weights={layer: each(weights) for layer, weights in self.weights.items()},
        )


def remember(
    fuser: HierarchicalFuser,
    fused: Fused,
    images: Int[Tensor, "batch images"],
    *,
    prompt: Bool[Tensor, "batch tokens"] | None = None,
    keeps: bool = False,
) -> Memory:
    """Return the memory of samples.

    Args:
        fuser: Turns logits into weights.
        fused: Of all images of a batch; at least one, which may belong to nobody.
        images: Number of each sample's images among them; -1 for none.
        prompt: As in ``Memory``.
        keeps: As in ``Memory``.
    """
    present = images >= 0
    chosen = images.clamp(min=0)
    patches = fused.patches[chosen] * present[:, :, None, None, None]
    logits = fused.logits[chosen]
    if fused.keys is not None:
        own = Fused(patches, logits, fused.keys[chosen])
        return Memory(None, own, present, prompt, keeps)
    weights = fuser.weights(logits)
    by_layer = dict(enumerate(weights.unbind(dim=2)))
    return Memory(mixed(weights, patches), None, present, weights=by_layer)


def mixed(
    weights: Float[Tensor, "batch images *places groups"],
    patches: Float[Tensor, "batch images groups patches rank"],
) -> Float[Tensor, "batch images *places patches rank"]:
    """Mix the groups of each image: u = SiLU(sum_k alpha_k Z_k)."""
    flat = weights.to(patches.dtype).flatten(2, -2)
    together = torch.einsum("bspk,bsknr->bspnr", flat, patches)
    return silu(together).unflatten(2, weights.shape[2:-1])


def slots_of(
    fuser: HierarchicalFuser,
    memory: Memory,
    layer: int,
    x: Float[Tensor, "batch tokens width"],
) -> Slots | None:
    """Return a layer's visual keys and values; None without any image.

    With ``hidden`` the weights follow the mean of the prompt's tokens at this layer: never an
    answer's, whose tokens would tell earlier ones what comes, and never padding's.
    """
    if memory.slots is not None:
        return memory.slots[:, :, layer]
    if memory.fused is None:
        return None
    if memory.keeps and layer in memory.kept:
        return memory.kept[layer]
    patches, logits, keys = memory.fused
    assert memory.prompt is not None
    assert keys is not None
    seen = _aligned(memory.prompt, x.shape[1])[:, :, None].to(x.dtype)
    pooled = (x * seen).sum(dim=1) / seen.sum(dim=1).clamp(min=1)
    asked = prompt_logits(fuser, pooled, keys)[:, :, None]
    weights = fuser.weights(logits[:, :, layer] + asked)
    slots = mixed(weights, patches)
    if memory.keeps:
        memory.kept[layer], memory.weights[layer] = slots, weights
    return slots


def _aligned(prompt: Bool[Tensor, "batch prompt"], tokens: int) -> Bool[Tensor, "batch tokens"]:
    """Return which of a call's tokens are the prompt's; drafts of an assistant stand behind it.

    Raises:
        AdapterError: The call has only a part of the prompt.
    """
    missing = tokens - prompt.shape[1]
    if missing < 0:
        raise AdapterError(
            "adapter.query: hidden reads the whole prompt in one forward pass, and this one has "
            f"{tokens} of its {prompt.shape[1]} tokens: leave prefill_chunk_size and a cache of "
            "an earlier call out"
        )
    return nn.functional.pad(prompt, (0, missing))


class TwoWay(nn.Linear):
    """A linear map without bias that can also be read backwards, through its own call.

    ZeRO-3 has a module's weights whole during that module's call alone.
    """

    def __init__(self, in_features: int, out_features: int) -> None:
        super().__init__(in_features, out_features, bias=False)

    def forward(
        self,
        input: Float[Tensor, "*batch width"],  # noqa: A002  torch's name
        *,
        back: bool = False,
    ) -> Tensor:
        """Map to the output's width, or from it with the transposed weight."""
        return linear(input, self.weight.T if back else self.weight)


class MemoryBranch(nn.Module):
    """The branch that all layers share.

    Without an image the learned rows stay: they are all that a question without a picture trains.

    Args:
        config: Sizes; ``tie_maps`` uses one map for keys and values (MemVP, arXiv 2405.05615).
    """

    def __init__(self, config: DehvfConfig) -> None:
        super().__init__()
        width, slots = config.language_width, config.num_patches + config.num_learned
        self.num_patches = config.num_patches
        self.memory_scale = config.memory_scale
        self.tied = config.tie_maps
        self.dropout = nn.Dropout(config.memory_dropout)
        self.key_down = TwoWay(width, config.r)
        nn.init.xavier_uniform_(self.key_down.weight)
        if not self.tied:
            self.val_up = nn.Linear(config.r, width, bias=False)
            nn.init.zeros_(self.val_up.weight)
        self.pos_key = nn.Linear(width, slots, bias=False)
        nn.init.normal_(self.pos_key.weight, std=0.02)
        self.pos_val = nn.Linear(slots, width, bias=False)
        nn.init.zeros_(self.pos_val.weight)
        further = config.max_images - 1  # the first image of a sample has no row of its own
        if further:
            self.image_key = nn.Linear(width, further, bias=False)
            nn.init.normal_(self.image_key.weight, std=0.02)
            self.image_val = nn.Linear(further, width, bias=False)
            nn.init.zeros_(self.image_val.weight)

    def forward(
        self,
        x: Float[Tensor, "batch tokens width"],
        slots: Slots | None,
        present: Bool[Tensor, "batch images"] | None,
    ) -> Float[Tensor, "batch tokens width"]:
        """Return what the memory adds, before it is scaled.

        Args:
            x: Input of the feed-forward network.
            slots: The layer's visual keys and values; None: no sample has an image.
            present: Which images of a sample there are.
        """
        at_patches, at_learned = self.pos_key(x).tensor_split([self.num_patches], dim=-1)
        learned = self.dropout(silu(at_learned))
        if slots is None:
            visual = self.dropout(silu(at_patches))
            return self.pos_val(torch.cat([visual, learned], dim=-1))
        assert present is not None
        keys, values = slots[:, :, 0], slots[:, :, 1]
        scores = torch.einsum("btr,bsnr->btsn", self.key_down(x) * self.memory_scale, keys)
        scores = scores + at_patches[:, :, None]
        images = present.shape[1]
        if images > 1:
            of_image = self.image_key(x)[..., : images - 1]
            scores = torch.cat([scores[:, :, :1], scores[:, :, 1:] + of_image[..., None]], dim=2)
        acts = self.dropout(silu(scores)) * _shares(present, acts_dtype=scores.dtype)
        positions = torch.cat([acts.sum(dim=2), learned], dim=-1)
        read = torch.einsum("btsn,bsnr->btr", acts, values) * self.memory_scale
        out = self._up(read) + self.pos_val(positions)
        if images > 1:
            of_image = acts[:, :, 1:].sum(dim=-1)
            unused = self.image_val.in_features - (images - 1)
            out = out + self.image_val(nn.functional.pad(of_image, (0, unused)))
        return out

    def _up(self, read: Float[Tensor, "batch tokens rank"]) -> Float[Tensor, "batch tokens width"]:
        return self.key_down(read, back=True) if self.tied else self.val_up(read)


def _shares(
    present: Bool[Tensor, "batch images"], *, acts_dtype: torch.dtype
) -> Float[Tensor, "batch 1 images 1"]:
    """Return 0 for images that are not there, and else 1 over the root of their number.

    The rows of the first image stay active without one: they are learned rows too.
    """
    count = present.sum(dim=1, keepdim=True).clamp(min=1).to(acts_dtype)
    used = present.clone()
    used[:, 0] = True
    return (used.to(acts_dtype) / count.sqrt())[:, None, :, None]
