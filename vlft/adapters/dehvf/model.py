"""The PEFT tuner: wraps the networks of a host, and puts the shared part and the hooks on it."""

from typing import Any

from peft.tuners.tuners_utils import BaseTuner
from torch import nn

from vlft.adapters.dehvf.config import NAME, PREFIX, DehvfConfig
from vlft.adapters.dehvf.hierarchy import reader_of
from vlft.adapters.dehvf.hooks import SHARED, hook_host, hook_layer, unhook
from vlft.adapters.dehvf.layers import (
    DehvfLayer,
    DehvfNet,
    MemoryMLP,
    SharedNet,
    VisionAdapterMLP,
    require_sizes,
)
from vlft.adapters.registration import register


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
                hook_layer(self.model, parent, parent.get_submodule(peft_config.attention), wrapped)
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
            hook_host(host, shared)
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
        unhook(host)
        return host

    @classmethod
    def _remove_adapter_name_from_key(cls, key: str, adapter_name: str) -> str:
        """Leave the adapter's name out wherever it stands: the shared part is deep."""
        for container in (*SharedNet.adapter_layer_names, *VisionAdapterMLP.adapter_layer_names):
            key = key.replace(f".{container}.{adapter_name}.", f".{container}.")
        return key


register(NAME, config_cls=DehvfConfig, model_cls=DehvfModel, prefix=PREFIX)
