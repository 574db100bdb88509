"""What all kinds of host share: reading configurations and weights, and saying why that failed."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Literal

import torch
from safetensors import SafetensorError
from transformers import AutoConfig, PreTrainedConfig, PreTrainedModel
from transformers.integrations import deepspeed as integration
from transformers.utils import logging

from vlft.backbones.configs import ShippedConfig
from vlft.errors import BackboneError
from vlft.recipe.backbone import Host

Device = Literal["cpu", "meta"]


@contextmanager
def whole_weights() -> Iterator[None]:
    """Let transformers build unpartitioned weights even when ZeRO-3 is configured.

    Under ZeRO-3 it would draw random weights in another order than elsewhere, and adapters that
    start from the base weights would see empty tensors. DeepSpeed partitions the finished model all
    the same; the price is one whole model in the memory of each process until then.
    """
    reference = integration._hf_deepspeed_config_weak_ref  # there is no public getter of the object
    integration.unset_hf_deepspeed_config()
    try:
        yield
    finally:
        integration._hf_deepspeed_config_weak_ref = reference


@contextmanager
def quiet_loading() -> Iterator[None]:
    """Keep back transformers' report on weights that a checkpoint has too many or too few of.

    For loads that take a part of a checkpoint on purpose.
    """
    level = logging.get_verbosity()
    logging.set_verbosity_error()
    try:
        yield
    finally:
        logging.set_verbosity(level)


def read_model_config(
    source: str, *, field: str, revision: str | None = None, trust_remote_code: bool = False
) -> PreTrainedConfig:
    """Read ``config.json`` of a Hub id or folder.

    Args:
        source: Hub id or folder.
        field: Field of the recipe that named it, for the message.
        revision: Hub revision.
        trust_remote_code: Run Python code that comes with the checkpoint.

    Raises:
        BackboneError: It cannot be had, is no configuration that transformers knows, needs code of
            its own that may not run, or says that its weights are stored quantized.
    """
    _check_folder(source, field=field)
    try:
        config = AutoConfig.from_pretrained(
            source, revision=revision, trust_remote_code=trust_remote_code
        )
    except (OSError, ValueError, KeyError, ImportError) as error:
        raise BackboneError(explain(source, error, field=field)) from error
    if "quantization_config" in config.to_dict():
        raise BackboneError(
            f"{field}: {source!r} holds quantized weights, which can be neither merged nor trained "
            "further: name the original checkpoint, with backbone.quantization: nf4 or int8"
        )
    return config


def shipped_model_config(
    shipped: ShippedConfig, overrides: Mapping[str, Any] | None = None
) -> PreTrainedConfig:
    """Make transformers' configuration object from a shipped file.

    Args:
        shipped: The file.
        overrides: Values laid over its ``config``, nested like it.
    """
    values = _lay_over(shipped.config, overrides or {})
    return AutoConfig.for_model(shipped.model_type, **values)


def random_model(auto_class: Any, config: PreTrainedConfig, section: Host, device: Device) -> Any:
    """Build a model with fresh weights, drawn from torch's global generator.

    On the meta device no memory is taken and nothing is drawn.
    """
    kwargs: dict[str, Any] = {"dtype": "float32" if section.dtype == "auto" else section.dtype}
    if section.attn_implementation is not None:
        kwargs["attn_implementation"] = section.attn_implementation
    if section.trust_remote_code:
        kwargs["trust_remote_code"] = True
    with torch.device(device), whole_weights():
        return auto_class.from_config(config, **kwargs)


def trained_model(
    auto_class: Any,
    source: str,
    section: Host,
    *,
    field: str,
    revision: str | None = None,
    config: PreTrainedConfig | None = None,
) -> Any:
    """Load a model with all of its weights, from safetensors only.

    Args:
        auto_class: An Auto class or a model class of transformers.
        source: Hub id or folder.
        section: ``dtype``, ``attn_implementation`` and ``trust_remote_code`` are read.
        field: Field of the recipe that named the source, for the message.
        revision: Hub revision.
        config: Configuration to use instead of the checkpoint's own.

    Raises:
        BackboneError: It cannot be had, is damaged, or lacks some of the model's weights.
    """
    model, info = _load(auto_class, source, section, field=field, revision=revision, config=config)
    _check_complete(source, info, field=field)
    return model


def model_with_head(
    auto_class: Any,
    source: str,
    section: Host,
    *,
    head: str,
    field: str,
    revision: str | None = None,
    config: PreTrainedConfig,
) -> tuple[Any, bool]:
    """Load a model whose head the checkpoint may lack, or have for other classes.

    Args:
        auto_class: As in ``trained_model``, like all but ``head``.
        source: Hub id or folder.
        section: The recipe's ``backbone``.
        head: Prefix of the head's parameter names.
        field: Field of the recipe that named the source.
        revision: Hub revision.
        config: Configuration with the classes that are wanted.

    Returns:
        The model, and whether the head came from the checkpoint.

    Raises:
        BackboneError: As in ``trained_model``.
    """
    with quiet_loading():
        model, info = _load(
            auto_class, source, section, field=field, revision=revision, config=config
        )
    others = {
        "missing_keys": [name for name in info["missing_keys"] if not name.startswith(head)],
        "mismatched_keys": [row for row in info["mismatched_keys"] if not row[0].startswith(head)],
    }
    _check_complete(source, others, field=field)
    return model, all(len(others[key]) == len(info[key]) for key in others)


def _load(
    auto_class: Any,
    source: str,
    section: Host,
    *,
    field: str,
    revision: str | None,
    config: PreTrainedConfig | None,
) -> tuple[Any, Mapping[str, Any]]:
    """Load weights, and report which ones the checkpoint lacks or has in another shape."""
    _check_folder(source, field=field)
    if Path(source).is_dir() and not list(Path(source).glob("*.safetensors")):
        raise BackboneError(
            f"{field}: the folder {source!r} holds no model.safetensors, and other formats are not "
            "read: save the model once more with `save_pretrained`"
        )
    kwargs: dict[str, Any] = {} if config is None else {"config": config}
    if section.attn_implementation is not None:
        kwargs["attn_implementation"] = section.attn_implementation
    try:
        with whole_weights():
            return auto_class.from_pretrained(
                source,
                revision=revision,
                dtype=section.dtype,
                use_safetensors=True,
                trust_remote_code=section.trust_remote_code,
                output_loading_info=True,
                ignore_mismatched_sizes=True,  # reported below, in one line
                **kwargs,
            )
    except (OSError, ValueError, KeyError, ImportError, SafetensorError) as error:
        raise BackboneError(explain(source, error, field=field)) from error


def _check_complete(source: str, info: Mapping[str, Any], *, field: str) -> None:
    lacking = sorted(info["missing_keys"])
    if lacking:
        raise BackboneError(
            f"{field}: {source!r} lacks {len(lacking)} weights of this model, the first is "
            f"{lacking[0]!r}; is it a checkpoint of another architecture?"
        )
    for name, stored, expected in info["mismatched_keys"]:
        raise BackboneError(
            f"{field}: in {source!r} the weight {name!r} has shape {tuple(stored)}, the "
            f"configuration says {tuple(expected)}"
        )


def _check_folder(source: str, *, field: str) -> None:
    path = Path(source)
    if path.is_dir():
        if not (path / "config.json").is_file():
            raise BackboneError(f"{field}: the folder {source!r} has no config.json")
    elif path.is_absolute() or source.startswith((".", "~")) or source.count("/") > 1:
        # A Hub id has one slash at most, so this was meant as a path.
        raise BackboneError(f"{field}: there is no folder {source!r}")


def explain(source: str, error: Exception, *, field: str) -> str:
    """Return one line on why a checkpoint could not be read, with the next step."""
    reason = str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
    if "trust_remote_code" in str(error):
        return (
            f"{field}: {source!r} comes with Python code of its own, which does not run unless the "
            "recipe says so: read that code, then set backbone.trust_remote_code: true"
        )
    if Path(source).is_dir():
        return f"{field}: the folder {source!r} cannot be read: {reason}"
    return (
        f"{field}: {source!r} is no folder here and could not be had from the Hub ({reason}). "
        "Offline: give a local folder, or a shipped configuration as `config:`; "
        "gated or private: `hf auth login`"
    )


def require_architecture(
    config: PreTrainedConfig, classes: Mapping[str, str], *, field: str, kind: str
) -> None:
    """Refuse a checkpoint that this kind of host does not know.

    Args:
        config: The checkpoint's configuration.
        classes: Supported ``model_type`` names, each with the class that such checkpoints name.
        field: Field of the recipe that named the checkpoint.
        kind: Type of the host.

    Raises:
        BackboneError: Naming what it is and what is supported.
    """
    if config.model_type not in classes:
        known = sorted(classes)
        listing = ", ".join(known[:8]) + (f" and {len(known) - 8} more" if len(known) > 8 else "")
        raise BackboneError(
            f"{field}: a {config.model_type!r} model cannot be used for a host of type {kind}; "
            f"supported model types: {listing}"
        )
    named, wanted = config.architectures, classes[config.model_type]
    if named and wanted not in named:
        raise BackboneError(
            f"{field}: this checkpoint was saved from {', '.join(named)}; a host of type {kind} "
            f"needs {wanted}"
        )


def describe(section: Host, config: PreTrainedConfig, *, processor: str) -> dict[str, Any]:
    """Return where a host came from, as plain values.

    Args:
        section: What the recipe asked for.
        config: The model's configuration.
        processor: Where its processor came from.
    """
    asked = section.model_dump(exclude_none=True, exclude={"processor"})
    return {**asked, "model_type": config.model_type, "processor": processor}


def set_special_tokens(model: PreTrainedModel, tokenizer: Any, *, is_random: bool) -> None:
    """Let generation stop and pad with the tokenizer's own ids.

    What else a checkpoint ends its answers with stays: the turns of Gemma 3 do not end with its
    tokenizer's end token.

    Args:
        model: Its generation settings are changed.
        tokenizer: That of its processor.
        is_random: The settings come from no checkpoint, so they say nothing about the tokenizer.
    """
    generation = model.generation_config
    if generation is None:
        return
    own = generation.eos_token_id
    kept = [] if is_random else own if isinstance(own, list) else [own]
    ends = sorted({tokenizer.eos_token_id, *kept} - {None})
    generation.eos_token_id = ends if len(ends) > 1 else next(iter(ends), None)
    generation.bos_token_id = tokenizer.bos_token_id
    generation.pad_token_id = tokenizer.pad_token_id


def _lay_over(values: Mapping[str, Any], overrides: Mapping[str, Any]) -> dict[str, Any]:
    merged = dict(values)
    for key, value in overrides.items():
        inner = merged.get(key)
        merged[key] = _lay_over(inner, value) if isinstance(inner, dict) else value
    return merged
