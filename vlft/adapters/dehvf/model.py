"""The PEFT tuner: images leave the host's inputs, and memory comes into its layers.

    host(input_ids, pixel_values, image_slots)
      pre-hook of the host      takes the images out of the inputs, runs tower and fuser: memory
      pre-hook of each layer    hands the memory to the layer, as one of its arguments
      pre-hook of its attention takes it out again and hands it to the network beside it

The way through the layer's arguments makes gradient checkpointing right: they are what a layer is
run again with. ``generate`` encodes images itself, ahead of the first forward pass; so the host's
is replaced by one that builds the memory first and holds it until the answer is complete.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass, field
from typing import Any

import torch
from jaxtyping import Int
from peft.tuners.tuners_utils import BaseTuner
from torch import Tensor, nn

from vlft.adapters.dehvf.config import NAME, PREFIX, DehvfConfig
from vlft.adapters.dehvf.hierarchy import VisionStates, read_hierarchy, reader_of
from vlft.adapters.dehvf.layers import (
    DehvfLayer,
    DehvfNet,
    MemoryMLP,
    SharedNet,
    VisionAdapterMLP,
    require_sizes,
)
from vlft.adapters.dehvf.memory import Memory, remember
from vlft.adapters.registration import register
from vlft.errors import AdapterError

SHARED = "vlft_dehvf"
"""Name of the shared part on the host."""

ARGUMENT = "vlft_dehvf_memories"
"""Argument of a layer that its attention takes out again."""

IMAGES = ("pixel_values", "image_grid_thw", "pixel_attention_mask", "image_sizes")
"""Inputs of hosts that carry images."""

OWN = ("image_slots", "prompt_mask", "visual_features")
"""Inputs that are only ours: ``image_slots`` [batch images], the number of each sample's images
among all of the batch, -1 for none; ``prompt_mask`` [batch tokens], which tokens are the prompt's;
``visual_features`` [images groups tokens width], states from a cache instead of images."""

Memories = dict[str, Memory]


class DehvfModel(BaseTuner):
    """Injects DEHVF into a generative host."""

    prefix = PREFIX
    tuner_layer_cls = DehvfLayer
    target_module_mapping = {}  # noqa: RUF012  as PEFT declares it

    def _prepare_adapter_config(self, peft_config: Any, model_config: dict) -> Any:
        return peft_config  # the places are resolved when the config is made

    def _create_and_replace(
        self,
        peft_config: Any,
        adapter_name: str,
        target: nn.Module,
        target_name: str,
        parent: nn.Module,
        current_key: str,
        parameter_name: str | None = None,
    ) -> None:
        assert isinstance(peft_config, DehvfConfig)
        shared = self._shared_net(peft_config, adapter_name)
        if current_key in peft_config.vision_mlps:
            wrapped = target if isinstance(target, VisionAdapterMLP) else VisionAdapterMLP(target)
            wrapped.add(adapter_name, peft_config)
        else:
            wrapped = target if isinstance(target, MemoryMLP) else MemoryMLP(target, shared)
            layer = peft_config.language_mlps.index(current_key)
            wrapped.add(adapter_name, layer, peft_config.scale)
        if wrapped is not target:
            self._replace_module(parent, target_name, wrapped, target)
            if isinstance(wrapped, MemoryMLP):
                _hook_layer(
                    self.model, parent, parent.get_submodule(peft_config.attention), wrapped
                )
        for layer in (wrapped, shared):
            layer._move_adapter_to_device_of_base_layer(adapter_name)
            if adapter_name not in self.active_adapters:
                layer.set_requires_grad(adapter_name, requires_grad=False)

    def _replace_module(
        self, parent: nn.Module, child_name: str, new_module: nn.Module, child: nn.Module
    ) -> None:
        setattr(parent, child_name, new_module)

    def _shared_net(self, config: DehvfConfig, adapter: str) -> SharedNet:
        """Return the shared part with that of one adapter, made when it is missing."""
        host: Any = self.model
        shared = dict(host.named_children()).get(SHARED)
        if shared is None:
            shared = SharedNet(host)
            host.add_module(SHARED, shared)
            _hook_host(host, shared)
        assert isinstance(shared, SharedNet)
        if adapter not in shared.vlft_dehvf_net:
            tower = host.get_submodule(config.vision_tower)
            reader, inner = reader_of(tower.config), host.config.get_text_config()
            require_sizes(
                config,
                host,
                vision_width=reader.width(tower.config),
                language_width=inner.hidden_size,
            )
            shared.vlft_dehvf_net[adapter] = DehvfNet(config)
        return shared

    def unload(self) -> nn.Module:
        """Return the host as it was."""
        host = super().unload()
        _unhook(host)
        return host

    @classmethod
    def _remove_adapter_name_from_key(cls, key: str, adapter_name: str) -> str:
        """Leave the adapter's name out wherever it stands: the shared part is deep."""
        for container in (*SharedNet.adapter_layer_names, *VisionAdapterMLP.adapter_layer_names):
            key = key.replace(f".{container}.{adapter_name}.", f".{container}.")
        return key


@dataclass(eq=False)
class Calls:
    """What happens between the host's hooks; nothing outlives the call that it belongs to.

    Attributes:
        memories: Of the forward pass that runs now, by the adapter's name.
        held: Of the generation that runs now; None: there is none.
        handles: Hooks, to take them off again.
    """

    memories: Memories = field(default_factory=dict)
    held: Memories | None = None
    handles: list[Any] = field(default_factory=list)

    @contextmanager
    def holding(self, memories: Memories) -> Iterator[None]:
        """Let every forward pass read the same memories."""
        before, self.held = self.held, memories
        try:
            yield
        finally:
            self.held = before


# Hooks are objects and no closures, so that a copied model has hooks of its own.


@dataclass(eq=False)
class HandOver:
    """Adds the memories of the call to a layer's arguments."""

    calls: Calls

    def __call__(self, layer: nn.Module, args: Any, kwargs: dict[str, Any]) -> tuple[Any, Any]:
        """Run before the layer, and outside of what checkpointing runs again."""
        _refuse_reentrant(layer)
        return args, {**kwargs, ARGUMENT: self.calls.memories}


@dataclass(eq=False)
class Take:
    """Takes the memories out of an attention's arguments, for the network beside it."""

    mlp: MemoryMLP

    def __call__(self, module: nn.Module, args: Any, kwargs: dict[str, Any]) -> tuple[Any, Any]:
        """Run before the attention, again when its layer is run again."""
        self.mlp.receive(kwargs.pop(ARGUMENT, {}))
        return args, kwargs


@dataclass(eq=False)
class TakeImages:
    """Takes images out of a host's inputs and makes memories of them."""

    shared: SharedNet
    calls: Calls

    def __call__(self, host: nn.Module, args: Any, kwargs: dict[str, Any]) -> tuple[Any, Any]:
        """Run before the host's forward pass."""
        if self.shared.disable_adapters:
            _drop_beside(kwargs)
            return args, kwargs
        taken, rows = taken_from(kwargs), rows_of(args, kwargs)
        if self.calls.held is None:
            mask = kwargs.get("attention_mask")
            self.calls.memories = build(host, self.shared, taken, rows=rows, mask=mask)
        else:
            if rows is not None:
                held = self.calls.held
                self.calls.held = {name: one.rows(rows) for name, one in held.items()}
            self.calls.memories = self.calls.held
        return args, kwargs


@dataclass(eq=False)
class Forget:
    """Ends a call, also one that fails."""

    calls: Calls

    def __call__(self, host: nn.Module, args: Any, output: Any) -> None:
        """Run after the host's forward pass."""
        self.calls.memories = {}


@dataclass(eq=False)
class Generate:
    """A host's ``generate`` that makes the memories once and holds them until it ends."""

    host: nn.Module
    shared: SharedNet
    calls: Calls
    original: Callable[..., Any]

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        """Generate as the host does."""
        if self.shared.disable_adapters:
            _drop_beside(kwargs)
            return self.original(*args, **kwargs)
        taken, rows, mask = taken_from(kwargs), rows_of(args, kwargs), kwargs.get("attention_mask")
        with torch.no_grad():
            memories = build(self.host, self.shared, taken, rows=rows, mask=mask, is_prompt=True)
        with self.calls.holding(memories):
            return self.original(*args, **kwargs)


def _hook_host(host: Any, shared: SharedNet) -> None:
    calls = Calls()
    host.vlft_dehvf_calls = calls
    host.generate = Generate(host, shared, calls, host.generate)
    calls.handles += [
        host.register_forward_pre_hook(TakeImages(shared, calls), with_kwargs=True, prepend=True),
        host.register_forward_hook(Forget(calls), always_call=True),
    ]


def _hook_layer(host: Any, layer: nn.Module, attention: nn.Module, mlp: MemoryMLP) -> None:
    calls = host.vlft_dehvf_calls
    calls.handles += [
        layer.register_forward_pre_hook(HandOver(calls), with_kwargs=True),
        attention.register_forward_pre_hook(Take(mlp), with_kwargs=True),
    ]


def _refuse_reentrant(layer: Any) -> None:
    """Refuse the form of checkpointing that loses the fuser's gradients.

    Raises:
        AdapterError: With what to set instead.
    """
    if layer.training and layer.gradient_checkpointing:
        options = getattr(layer._gradient_checkpointing_func, "keywords", {})
        if options.get("use_reentrant"):
            raise AdapterError(
                "training.gradient_checkpointing: DEHVF needs the non-reentrant form: "
                "set gradient_checkpointing_kwargs to {use_reentrant: false}"
            )


def _unhook(host: Any) -> None:
    for handle in host.vlft_dehvf_calls.handles:
        handle.remove()
    del host.vlft_dehvf_calls, host.generate
    delattr(host, SHARED)


def taken_from(kwargs: dict[str, Any]) -> dict[str, Tensor]:
    """Take images and what belongs to them out of the inputs.

    Raises:
        AdapterError: The images were encoded already.
    """
    if kwargs.get("mm_encoder_outputs"):
        raise AdapterError(
            "mm_encoder_outputs: DEHVF reads the layers of the vision tower and not its output: "
            "pass pixel_values"
        )
    found = {name: kwargs.pop(name, None) for name in (*IMAGES, *OWN)}
    return {name: value for name, value in found.items() if value is not None}


def _drop_beside(kwargs: dict[str, Any]) -> None:
    """Leave images that came beside the sequence out: a host alone could not place them."""
    if kwargs.get("image_slots") is not None:
        taken_from(kwargs)


def rows_of(args: Any, kwargs: dict[str, Any]) -> int | None:
    """Return how many samples a call has, where its inputs say so."""
    for value in (
        *args[:1],
        *(kwargs.get(name) for name in ("input_ids", "inputs_embeds", "inputs")),
    ):
        if isinstance(value, Tensor):
            return len(value)
    return None


def build(
    host: Any,
    shared: SharedNet,
    taken: dict[str, Tensor],
    *,
    rows: int | None,
    mask: Tensor | None,
    is_prompt: bool = False,
) -> Memories:
    """Run tower and fuser on the images of a call.

    Args:
        host: The host.
        shared: The shared part of its adapters.
        taken: Images and what belongs to them.
        rows: Samples of the call; None where that is not known.
        mask: Which tokens are no padding.
        is_prompt: The call's tokens are all the prompt's, and the memory is kept for the answer.

    Raises:
        AdapterError: It is not said which images belong to which sample, there are more of them
            than the adapter was made for, or which tokens are the prompt's is not said.
    """
    prompt = taken.get("prompt_mask")
    if prompt is None and is_prompt:
        prompt = mask
    found: Memories = {}
    for adapter in shared.active_adapters:
        config = host.peft_config[adapter]
        images = _images_of(taken, rows, config)
        if images is None:
            continue
        if config.query == "hidden" and prompt is None:
            missing = "attention_mask" if is_prompt else "prompt_mask"
            raise AdapterError(
                f"{missing}: with adapter.query: hidden it has to be said which tokens are the "
                "prompt's (a tensor of the shape of input_ids), or padding or an answer would count"
            )
        net = shared.net(adapter)
        states = vision_states(host, config, taken, _weight_dtype(net))
        if len(states.patches) != _count(taken):
            raise AdapterError(
                f"pixel_values: {_count(taken)} images in {len(states.patches)} tiles, and DEHVF "
                "reads images whole: have the image processor cut none "
                "(do_image_splitting=False)"
            )
        fused = net.fuser(states)
        found[adapter] = remember(
            net.fuser,
            fused,
            images,
            prompt=None if prompt is None else prompt.bool(),
            keeps=is_prompt,
        )
    return found


def _weight_dtype(net: DehvfNet) -> torch.dtype:
    return net.fuser.down.weight.dtype


def _count(taken: dict[str, Tensor]) -> int:
    """Return how many images a call has."""
    pixels = taken.get("visual_features", taken.get("pixel_values"))
    assert pixels is not None
    return len(taken.get("image_grid_thw", pixels))


def _images_of(
    taken: dict[str, Tensor], rows: int | None, config: DehvfConfig
) -> Int[Tensor, "batch images"] | None:
    """Return which images belong to which sample."""
    pixels = taken.get("visual_features", taken.get("pixel_values"))
    if pixels is None:
        return None
    count = _count(taken)
    images = taken.get("image_slots")
    if images is None:
        if rows != count:
            raise AdapterError(
                f"image_slots: {count} images for {rows} samples: say which belong to which, by a "
                "tensor [samples, images] of their numbers with -1 for none"
            )
        images = torch.arange(count, device=pixels.device)[:, None]
    if images.shape[1] > config.max_images:
        raise AdapterError(
            f"adapter.max_images: a sample has {images.shape[1]} images, and the adapter was made "
            f"for {config.max_images}: set adapter.max_images and train it so"
        )
    if images.shape[1] < config.max_images:
        # every step uses every parameter, so that no process waits for another's gradient
        missing = config.max_images - images.shape[1]
        images = nn.functional.pad(images, (0, missing), value=-1)
    return images


def vision_states(
    host: Any, config: DehvfConfig, taken: dict[str, Tensor], dtype: torch.dtype
) -> VisionStates:
    """Return the groups' states, from the cache or from the tower.

    Args:
        host: The host.
        config: Of the adapter.
        taken: Image tensors, or ``visual_features``.
        dtype: Of the states.
    """
    cached = taken.get("visual_features")
    if cached is not None:
        expected = (len(config.used_groups), 1 + config.num_patches, config.vision_width)
        if cached.shape[1:] != expected:
            raise AdapterError(
                f"visual_features: found {tuple(cached.shape)}, expected [images, {expected[0]} "
                f"groups, {expected[1]} summary and patches, {expected[2]} wide]: they were made "
                "for another adapter or host"
            )
        return VisionStates(cached[:, :, 0].to(dtype), cached[:, :, 1:].to(dtype))
    tower: Any = host.get_submodule(config.vision_tower)
    trains = any(parameter.requires_grad for parameter in tower.parameters())
    images = {
        name: value.to(tower.dtype) if value.is_floating_point() else value
        for name, value in taken.items()
        if name in IMAGES
    }
    with nullcontext() if trains else torch.no_grad():
        states = read_hierarchy(
            tower,
            [host.get_submodule(path) for path in config.vision_blocks],
            config.used_groups,
            images,
            num_patches=config.num_patches,
        )
    return VisionStates(states.summaries.to(dtype), states.patches.to(dtype))


register(NAME, config_cls=DehvfConfig, model_cls=DehvfModel, prefix=PREFIX)
