"""The hierarchical visual fuser: which groups of vision layers each language layer sees.

Symbols: I images, K groups, N patches, D width of the tower, L language layers, P = 2 places of a
feed-forward network (keys and values), r rank of the memory, h width of the dot product.
"""

import math
from typing import ClassVar, NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor, nn

from vlft.adapters.dehvf.config import DehvfConfig
from vlft.adapters.dehvf.hierarchy import VisionStates

PLACES = 2
"""Keys and values of a feed-forward network."""


class Fused(NamedTuple):
    """What the fuser makes of images, before groups are mixed.

    Attributes:
        patches: Patches of every group at the memory's rank.
        logits: Of the fusion weights, as far as they do not depend on the text.
        keys: What the text's query is compared with (``hidden``); else None.
    """

    patches: Float[Tensor, "images groups patches rank"]
    logits: Float[Tensor, "images layers places groups"]
    keys: Float[Tensor, "images groups width"] | None


class LayerIdEmbedding(nn.Module):
    """A vector for each language layer and place, from learned ids (HyperFormer's form).

    I_{l,p} = LN(W2 ReLU(W1 [e_l; a_p])), after arXiv 2106.04489.

    Attributes:
        undecayed: Parameters without weight decay: tables of ids.
    """

    undecayed: ClassVar[tuple[str, ...]] = ("layer", "place")

    def __init__(self, config: DehvfConfig) -> None:
        super().__init__()
        width = config.width
        self.layer = nn.Parameter(torch.empty(config.num_layers, width))
        self.place = nn.Parameter(torch.empty(PLACES, width))
        self.net = nn.Sequential(
            nn.Linear(2 * width, config.mlp_hidden),
            nn.ReLU(),
            nn.Linear(config.mlp_hidden, width),
            nn.LayerNorm(width),
        )
        nn.init.normal_(self.layer)  # equal rows would never come apart
        nn.init.normal_(self.place)

    def forward(self) -> Float[Tensor, "layers places width"]:
        """Return the vectors; they depend on no input."""
        layers, places = len(self.layer), len(self.place)
        pairs = [
            self.layer[:, None].expand(layers, places, -1),
            self.place[None].expand(layers, places, -1),
        ]
        return self.net(torch.cat(pairs, dim=-1))


class HierarchicalFuser(nn.Module):
    """Compares layer ids with each group's summary, and projects patches once per image.

    What a variant does not use is not created: every parameter has a gradient.

    Args:
        config: ``query`` decides what the weights depend on.

    Attributes:
        undecayed: Parameters without weight decay: a gain, which starts at 1, and biases of the
            fusion weights.
    """

    undecayed: ClassVar[tuple[str, ...]] = ("gain", "granularity")

    def __init__(self, config: DehvfConfig) -> None:
        super().__init__()
        groups, depth, width = len(config.used_groups), config.vision_width, config.width
        self.query_kind = config.query
        self.temperature = config.temperature
        self.num_layers = config.num_layers
        self.gain = nn.Parameter(torch.ones(groups, depth))
        self.down = nn.Linear(depth, config.r)
        nn.init.xavier_uniform_(self.down.weight)
        nn.init.zeros_(self.down.bias)
        if config.query != "last_only":
            self.granularity = nn.Parameter(torch.zeros(config.num_layers, PLACES, groups))
        if config.query in ("layer_id", "hidden"):
            self.layer_ids = LayerIdEmbedding(config)
            self.query = nn.Linear(width, width)
            self.key = nn.Linear(depth, width, bias=False)  # a bias would cancel in the softmax
        if config.query == "hidden":
            self.prompt = nn.Linear(config.language_width, width, bias=False)
            nn.init.zeros_(self.prompt.weight)

    def forward(self, states: VisionStates) -> Fused:
        """Project the patches of images and compute the logits of their fusion weights."""
        patches = self.down(states.patches * self.gain[:, None])
        images = len(states.patches)
        if self.query_kind == "last_only":
            logits = patches.new_zeros(images, self.num_layers, PLACES, 1)
            return Fused(patches, logits, None)
        static = self.granularity.expand(images, -1, -1, -1)
        if self.query_kind == "static":
            return Fused(patches, static, None)
        keys = self.key(states.summaries)
        query = self.query(self.layer_ids())
        logits = torch.einsum("lpw,ikw->ilpk", query, keys) / math.sqrt(keys.shape[-1])
        return Fused(patches, logits + static, keys if self.query_kind == "hidden" else None)

    def weights(self, logits: Float[Tensor, "*batch groups"]) -> Float[Tensor, "*batch groups"]:
        """Return fusion weights, which sum to 1; in float32 whatever the autocast."""
        return (logits.float() / self.temperature).softmax(dim=-1)


def prompt_logits(
    fuser: HierarchicalFuser,
    pooled: Float[Tensor, "batch width"],
    keys: Float[Tensor, "batch slots groups key_width"],
) -> Float[Tensor, "batch slots groups"]:
    """Compare a layer's pooled prompt with the groups of each of a sample's images."""
    query = fuser.prompt(pooled)
    return torch.einsum("bw,bskw->bsk", query, keys) / math.sqrt(keys.shape[-1])
