"""What a DEHVF adapter is made of, as PEFT saves it."""

from dataclasses import dataclass, field
from typing import Literal

from peft import PeftConfig
from peft.utils.peft_types import PeftType

NAME = "VLFT_DEHVF"
PREFIX = "vlft_dehvf_"

Query = Literal["layer_id", "static", "last_only", "hidden"]


@dataclass
class DehvfConfig(PeftConfig):
    """Places, sizes and variants.

    Attributes:
        target_modules: Paths of the feed-forward modules of the language model, and of the vision
            tower where it has adapters.
        exclude_modules: PEFT's; not used.
        vision_tower: Path of the module that images go through.
        vision_blocks: Paths of its blocks, in order.
        vision_mlps: Paths of its feed-forward modules that have an adapter, in order.
        language_mlps: Paths of the language model's feed-forward modules, in order.
        attention: Name of the attention module beside such a module.
        vision_width: Width D of the tower.
        language_width: Width d of the language model.
        language_layers: Layers of the language model, those without memory included.
        num_patches: Patches N of an image.
        groups: Numbers of the blocks in each group, from 1.
        query: What the fusion weights of a layer depend on.
        r: Rank of the memory.
        num_learned: Learned slots E without a patch.
        width: Width of layer ids, their embedding and the fuser's dot product (t0 = t = h).
        mlp_hidden: Hidden width th of the network over layer ids.
        temperature: Of the softmax over groups.
        scale: Of the branch, s.
        memory_dropout: Of the memory's activations.
        tie_maps: One map for keys and values, as in MemVP.
        memory_scale: Of visual keys and values; 0.01 in MemVP.
        max_images: Most images of a sample.
        vision_adapter_dim: Width of the adapters in the tower; 0: none.
        vision_adapter_scale: Their scale.
        vision_adapter_dropout: Their dropout.
    """

    target_modules: list[str] | None = None
    exclude_modules: list[str] | None = None
    vision_tower: str = ""
    vision_blocks: list[str] = field(default_factory=list)
    vision_mlps: list[str] = field(default_factory=list)
    language_mlps: list[str] = field(default_factory=list)
    attention: str = "self_attn"
    vision_width: int = 0
    language_width: int = 0
    language_layers: int = 0
    num_patches: int = 0
    groups: list[list[int]] = field(default_factory=list)
    query: Query = "layer_id"
    r: int = 128
    num_learned: int = 64
    width: int = 64
    mlp_hidden: int = 128
    temperature: float = 1.0
    scale: float = 0.1
    memory_dropout: float = 0.1
    tie_maps: bool = False
    memory_scale: float = 1.0
    max_images: int = 1
    vision_adapter_dim: int = 0
    vision_adapter_scale: float = 0.1
    vision_adapter_dropout: float = 0.1

    def __post_init__(self) -> None:
        super().__post_init__()
        self.peft_type = PeftType(NAME)
        if isinstance(self.target_modules, set):
            self.target_modules = sorted(self.target_modules)

    @property
    def num_layers(self) -> int:
        """Layers of the language model that have memory, L."""
        return len(self.language_mlps)

    @property
    def used_groups(self) -> list[list[int]]:
        """Groups that take part: only the top one with ``last_only``."""
        return self.groups[-1:] if self.query == "last_only" else self.groups
