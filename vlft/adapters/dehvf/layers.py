"""The modules that DEHVF puts around and beside those of a host."""

from typing import Any

import torch
from jaxtyping import Float
from peft.tuners.tuners_utils import BaseTunerLayer
from torch import Tensor, nn
from torch.nn.functional import gelu

from vlft.adapters.dehvf.config import DehvfConfig
from vlft.adapters.dehvf.fuser import HierarchicalFuser
from vlft.adapters.dehvf.memory import Memory, MemoryBranch, slots_of
from vlft.adapters.dehvf.passing import Memories, Passing
from vlft.errors import AdapterError


class DehvfLayer(BaseTunerLayer):
    """What PEFT switches, freezes, casts, deletes and saves."""

    def merge(self, safe_merge: bool = False, adapter_names: list[str] | None = None) -> None:
        """Refuse: what the branch adds depends on the image.

        Raises:
            NotImplementedError: Always, as PEFT's methods decline.
        """
        raise NotImplementedError("DEHVF depends on the image and cannot be merged into weights")

    def unmerge(self) -> None:
        """Refuse, as ``merge``."""
        raise NotImplementedError("DEHVF is never merged")

    def home(self) -> torch.device:
        """Return the device that its weights belong on."""
        assert isinstance(self, nn.Module)
        return next(self.get_submodule("base_layer").parameters()).device

    def _move_adapter_to_device_of_base_layer(
        self, adapter_name: str, device: torch.device | None = None
    ) -> None:
        """Place an adapter's weights; PEFT looks for one weight of the base, and here are more."""
        for name in self.adapter_layer_names:
            part = getattr(self, name)[adapter_name]
            if not any(parameter.is_meta for parameter in part.parameters()):
                part.to(self.home() if device is None else device)


class DehvfNet(nn.Module):
    """The part of an adapter that all layers share."""

    def __init__(self, config: DehvfConfig) -> None:
        super().__init__()
        self.fuser = HierarchicalFuser(config)
        self.branch = MemoryBranch(config)


class SharedNet(nn.Module, DehvfLayer):
    """Owns the shared part of every adapter; a child of the host, so that it is saved once.

    Being a tuner layer of PEFT's, it is switched, frozen and cast with all others.

    Attributes:
        vlft_dehvf_net: Shared part by the adapter's name.
    """

    adapter_layer_names = ("vlft_dehvf_net",)

    def __init__(self, host: nn.Module) -> None:
        super().__init__()
        self.vlft_dehvf_net = nn.ModuleDict()
        self._host = (host,)  # in a tuple it is no child

    def home(self) -> torch.device:
        """Return the device of the host's language model."""
        host: Any = self._host[0]
        return host.get_input_embeddings().weight.device

    def net(self, adapter: str) -> DehvfNet:
        """Return the shared part of an adapter."""
        found = self.vlft_dehvf_net[adapter]
        assert isinstance(found, DehvfNet)
        return found


class MemoryMLP(nn.Module, DehvfLayer):
    """A feed-forward network of the language model with visual memory beside it.

    Its parameters are the shared part's. What a call's images are arrives through ``receive``,
    which the layer's attention calls just before: inside a checkpointed layer both are run again
    with the same arguments, so a second forward pass in between changes nothing.

    Attributes:
        layers: Number of the layer by the adapter's name, from 0.
    """

    def __init__(self, base_layer: nn.Module, shared: SharedNet) -> None:
        super().__init__()
        self.base_layer = base_layer
        self.layers: dict[str, int] = {}
        self._scales: dict[str, float] = {}
        self._shared = (shared,)  # in a tuple it is no child: its parameters stand elsewhere
        self._passing = Passing()

    def add(self, adapter: str, layer: int, scale: float) -> None:
        """Take part in one more adapter."""
        self.layers[adapter] = layer
        self._scales[adapter] = scale

    def receive(self, memories: Memories) -> None:
        """Take what this thread's next call reads."""
        self._passing.memories = memories

    def forward(self, x: Float[Tensor, "batch tokens width"], *args: Any, **kwargs: Any) -> Tensor:
        """Return the network's output and what the memory adds to it."""
        memories = self._passing.take()
        result = self.base_layer(x, *args, **kwargs)
        if self.disable_adapters:
            return result
        for adapter in self.active_adapters:
            if adapter in self.layers:
                added = self._added(adapter, x, memories.get(adapter))
                result = result + (self._scales[adapter] * added).to(result.dtype)
        return result

    def _added(self, adapter: str, x: Tensor, memory: Memory | None) -> Tensor:
        net = self._shared[0].net(adapter)
        x = x.to(net.branch.pos_key.weight.dtype)
        if memory is None:
            return net.branch(x, None, None)
        slots = slots_of(net.fuser, memory, self.layers[adapter], x)
        return net.branch(x, slots, memory.present)


class VisionAdapterMLP(nn.Module, DehvfLayer):
    """A feed-forward network of the vision tower with a small one beside it (as in MemVP).

    y = MLP(x) + 0.1 * up(dropout(gelu(down(x)))); up starts at zero, so the tower starts as it was.
    """

    adapter_layer_names = ("vlft_dehvf_down", "vlft_dehvf_up")

    def __init__(self, base_layer: nn.Module) -> None:
        super().__init__()
        self.base_layer = base_layer
        self.vlft_dehvf_down = nn.ModuleDict()
        self.vlft_dehvf_up = nn.ModuleDict()
        self._scales: dict[str, float] = {}
        self._dropouts: dict[str, float] = {}

    def add(self, adapter: str, config: DehvfConfig) -> None:
        """Create the weights of one more adapter."""
        down = nn.Linear(config.vision_width, config.vision_adapter_dim, bias=False)
        up = nn.Linear(config.vision_adapter_dim, config.vision_width, bias=False)
        nn.init.xavier_uniform_(down.weight)
        nn.init.zeros_(up.weight)
        self.vlft_dehvf_down[adapter], self.vlft_dehvf_up[adapter] = down, up
        self._scales[adapter] = config.vision_adapter_scale
        self._dropouts[adapter] = config.vision_adapter_dropout

    def forward(self, x: Float[Tensor, "*batch width"], *args: Any, **kwargs: Any) -> Tensor:
        """Return the network's output and what the adapter adds to it."""
        result = self.base_layer(x, *args, **kwargs)
        if self.disable_adapters:
            return result
        for adapter in self.active_adapters:
            if adapter not in self._scales:
                continue
            down: Any = self.vlft_dehvf_down[adapter]
            up: Any = self.vlft_dehvf_up[adapter]
            inner = gelu(down(x.to(down.weight.dtype)))
            inner = nn.functional.dropout(inner, self._dropouts[adapter], self.training)
            result = result + (self._scales[adapter] * up(inner)).to(result.dtype)
        return result


def num_siblings(host: nn.Module, layer: str) -> int:
    """Return how many layers stand in the list that a layer is in."""
    return len(list(host.get_submodule(layer.rpartition(".")[0]).children()))


def require_sizes(
    config: DehvfConfig, host: nn.Module, *, vision_width: int, language_width: int
) -> None:
    """Refuse to put an adapter on a host of another size.

    Raises:
        AdapterError: Naming both sizes.
    """
    blocks = num_siblings(host, config.vision_blocks[0])
    layers = num_siblings(host, config.language_mlps[0].rpartition(".")[0])
    for what, made, found in (
        ("vision tower of width", config.vision_width, vision_width),
        ("vision tower of depth", len(config.vision_blocks), blocks),
        ("language model of width", config.language_width, language_width),
        ("language model of depth", config.language_layers, layers),
    ):
        if made != found:
            raise AdapterError(
                f"adapter: it was made for a {what} {made}, and this host's has {found}: "
                "load it onto the host that it was trained on, or train one for this host"
            )
