"""The ``dehvf`` adapter section: hierarchical visual features in every feed-forward network."""

from typing import Literal

from pydantic import Field, field_validator, model_validator

from vlft.recipe.adapter.placed import Placed
from vlft.recipe.section import Contradiction


class DehvfAdapter(Placed):
    """DEHVF (arXiv 2508.17638): images reach a language model beside its feed-forward networks.

    They take no place in its sequence.
    """

    type: Literal["dehvf"]
    """Adapter method."""
    sites: tuple[str, ...] = ("language.mlp",)
    """Feed-forward networks that get visual memory; those of some layers by ``target_modules``."""
    query: Literal["layer_id", "hidden", "static", "last_only"] = "layer_id"
    """What the weights of the vision groups depend on: the layer and the image; these and the
    prompt as the layer sees it (``hidden``); the layer alone (``static``); nothing: the top group
    counts (``last_only``)."""
    groups: int | tuple[tuple[int, ...], ...] = 4
    """Groups of vision layers: how many of equal size, or the layers of each, from 1."""
    r: int = Field(128, gt=0)
    """Rank of the memory."""
    num_learned: int = Field(64, ge=0)
    """Learned slots without a patch of an image (64 for 7B models, 144 for 13B, as in MemVP)."""
    num_patches: int | None = Field(None, gt=0)
    """Patches that an image is pooled to, a square number; for towers that take images as large as
    they are (Qwen-VL). Null: the tower's own."""
    width: int = Field(64, gt=0)
    """Width of the layer ids and of the comparison with the groups."""
    mlp_hidden: int = Field(128, gt=0)
    """Hidden width of the network over layer ids."""
    temperature: float = Field(1.0, gt=0)
    """Of the softmax over groups."""
    scale: float = Field(0.1, gt=0)
    """Of what the memory adds."""
    memory_dropout: float = Field(0.1, ge=0, lt=1)
    """Of the memory's activations."""
    tie_maps: bool = False
    """One map for keys and values, as in MemVP; step 0 is then not exactly the base."""
    memory_scale: float = Field(1.0, gt=0)
    """Of visual keys and values; 0.01 in MemVP, whose values do not start at zero."""
    max_images: int = Field(1, gt=0)
    """Most images of a sample."""
    vision_adapter_dim: int = Field(0, ge=0)
    """Width of the adapters beside the vision tower's feed-forward networks; 0: none, the tower
    stays frozen and its features can be cached. 12 in the paper's recipes."""
    vision_adapter_scale: float = Field(0.1, gt=0)
    """Of what they add."""
    vision_adapter_dropout: float = Field(0.1, ge=0, lt=1)
    """Inside them."""

    @field_validator("groups")
    @classmethod
    def _groups_are_layers(
        cls, value: int | tuple[tuple[int, ...], ...]
    ) -> int | tuple[tuple[int, ...], ...]:
        if isinstance(value, int):
            if value < 1:
                raise ValueError("expected at least one group")
            return value
        if not value or not all(value):
            raise ValueError("expected at least one group, and no empty one")
        layers = [layer for group in value for layer in group]
        if min(layers) < 1 or len(set(layers)) < len(layers):
            raise ValueError("expected numbers of layers from 1, each in one group at most")
        return value

    @field_validator("num_patches")
    @classmethod
    def _square(cls, value: int | None) -> int | None:
        if value is not None and round(value**0.5) ** 2 != value:
            raise ValueError("expected a square number, such as 256 = 16 x 16")
        return value

    @model_validator(mode="after")
    def _placed_in_language(self) -> "DehvfAdapter":
        others = [site for site in self.sites if site != "language.mlp"]
        if others:
            raise Contradiction(
                "sites",
                f"{others[0]!r}: DEHVF's memory stands beside the language model's feed-forward "
                "networks: use [language.mlp], or target_modules for those of some layers",
            )
        return self
