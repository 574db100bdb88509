"""Shipped configurations: one small YAML per host in ``configs/``, enough to build it offline."""

from pathlib import Path
from typing import Any

import yaml
from pydantic import Field

from vlft.errors import BackboneError, unknown
from vlft.recipe.section import Section

FOLDER = Path(__file__).parent / "configs"


class ShippedConfig(Section):
    """What a file of ``configs/`` says about a host."""

    name: str
    """File name without its ending."""
    types: tuple[str, ...]
    """Kinds of host that build it (keys of ``BACKBONES``, or kinds yet to come)."""
    hub_id: str | None = None
    """Where weights of this shape are on the Hub."""
    source: str | None = None
    """Paper or model card that the shapes and the published total come from."""
    model_type: str
    """Configuration class, by transformers' name for it."""
    config: dict[str, Any] = Field(default_factory=dict)
    """Arguments of that class; what is not given keeps its default."""
    total_parameters: int | None = None
    """Number of parameters as published, tied weights counted once."""


def config_names() -> list[str]:
    """Return the names of all shipped configurations, sorted."""
    return sorted(path.stem for path in FOLDER.glob("*.yaml"))


def read_config(name: str) -> ShippedConfig:
    """Read one shipped configuration.

    Raises:
        BackboneError: There is none of that name.
    """
    if name not in config_names():
        raise BackboneError(f"backbone.config: {unknown('configuration', name, config_names())}")
    values = yaml.safe_load((FOLDER / f"{name}.yaml").read_text(encoding="utf-8"))
    return ShippedConfig(name=name, **values)


def config_of(hub_id: str) -> str | None:
    """Return the name of the shipped configuration of a Hub checkpoint, or None."""
    return next((name for name in config_names() if read_config(name).hub_id == hub_id), None)


def config_for(kind: str, name: str) -> ShippedConfig:
    """Read the shipped configuration that a host of this kind is to be built from.

    Raises:
        BackboneError: There is none of that name, or it is for another kind of host.
    """
    shipped = read_config(name)
    if kind not in shipped.types:
        raise BackboneError(
            f"backbone.config: {name!r} is for hosts of type {' or '.join(shipped.types)}, not "
            f"{kind}. Configurations for {kind}: {', '.join(_names_for(kind))}"
        )
    return shipped


def _names_for(kind: str) -> list[str]:
    return [name for name in config_names() if kind in read_config(name).types]
