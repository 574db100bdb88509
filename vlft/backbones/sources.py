"""From a ``backbone`` section to a model and its processor, the same way for every kind of host."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from transformers import PreTrainedConfig

from vlft.backbones.configs import config_for
from vlft.backbones.loading import (
    Device,
    random_model,
    read_model_config,
    require_architecture,
    shipped_model_config,
    trained_model,
)
from vlft.backbones.processors import BUILT_IN, require_ids_fit, tokenizer_of
from vlft.errors import BackboneError
from vlft.recipe.backbone import Host


@dataclass(frozen=True)
class Kind:
    """What sets one kind of host apart from the others.

    Attributes:
        model_class: Class of transformers (or Auto class) that the weights are loaded into.
        classes: Supported ``model_type`` names, each with the class that such checkpoints name.
        token_ids: Values of the model's configuration under the built-in tokenizer.
        built_in: Makes the built-in processor for a configuration.
        load: Reads a processor: ``load(source, field=..., revision=..., trust_remote_code=...)``.
    """

    model_class: Any
    classes: Mapping[str, str]
    token_ids: Callable[[], Mapping[str, Any]]
    built_in: Callable[[PreTrainedConfig], Any]
    load: Callable[..., Any]


@dataclass(frozen=True)
class Opened:
    """A model with its processor.

    Attributes:
        model: Module of transformers.
        processor: Processor, or tokenizer for text-only hosts.
        processor_source: Hub id or folder of the processor, or ``BUILT_IN``.
        is_random: Whether no checkpoint elsewhere holds the weights.
    """

    model: Any
    processor: Any
    processor_source: str
    is_random: bool


def open_sources(
    section: Host,
    kind: Kind,
    *,
    type_name: str,
    device: Device,
    changes: Mapping[str, Any] | None = None,
) -> Opened:
    """Build or load what a section names.

    Args:
        section: The recipe's ``backbone``.
        kind: What is special about its type.
        type_name: The section's ``type``.
        device: ``meta`` builds the shapes only: no weights are read, and for a shipped
            configuration nothing is fetched at all unless ``processor`` names something.
        changes: Values that replace some of a shipped configuration.

    Raises:
        BackboneError: Something cannot be had or does not fit together.
    """
    if section.config is None:
        opened = _from_checkpoint(section, str(section.model), kind, type_name, device)
    else:
        opened = _from_shipped(section, section.config, kind, type_name, device, changes or {})
    require_ids_fit(opened.model, tokenizer_of(opened.processor), field="backbone")
    return opened


def _from_checkpoint(
    section: Host, source: str, kind: Kind, type_name: str, device: Device
) -> Opened:
    field, revision = "backbone.model", section.revision
    config = read_model_config(
        source, field=field, revision=revision, trust_remote_code=section.trust_remote_code
    )
    require_architecture(config, kind.classes, field=field, kind=type_name)
    # The processor is small: what is wrong with it is said before gigabytes are read.
    if section.processor is None:
        processor = kind.load(
            source, field=field, revision=revision, trust_remote_code=section.trust_remote_code
        )
    else:
        processor = kind.load(section.processor, field="backbone.processor")
    if device == "meta":
        model = random_model(kind.model_class, config, section, device)
    else:
        model = trained_model(kind.model_class, source, section, field=field, revision=revision)
    return Opened(model, processor, section.processor or source, is_random=False)


def _from_shipped(
    section: Host,
    name: str,
    kind: Kind,
    type_name: str,
    device: Device,
    changes: Mapping[str, Any],
) -> Opened:
    shipped = config_for(type_name, name)
    if shipped.model_type not in kind.classes:
        raise BackboneError(
            f"backbone.config: {name!r} is of model type {shipped.model_type!r}, which vlft cannot "
            f"train yet; supported now: {', '.join(sorted(kind.classes))}"
        )
    if section.processor is not None:
        source, processor = (
            section.processor,
            kind.load(section.processor, field="backbone.processor"),
        )
        config = shipped_model_config(shipped, changes)
    elif section.weights is not None and device == "cpu":
        source = section.weights
        processor = kind.load(source, field="backbone.weights", revision=section.revision)
        config = shipped_model_config(shipped, changes)
    else:
        config = shipped_model_config(shipped, {**kind.token_ids(), **changes})
        source, processor = BUILT_IN, kind.built_in(config)
    if section.weights is None or device == "meta":
        model = random_model(kind.model_class, config, section, device)
    else:
        model = trained_model(
            kind.model_class,
            section.weights,
            section,
            field="backbone.weights",
            revision=section.revision,
            config=config,
        )
    return Opened(model, processor, source, is_random=section.weights is None)
