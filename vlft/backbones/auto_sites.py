"""Sites and towers of a model line without a table, found in its module tree (``sites: auto``).

What can be told apart is named as everywhere; what cannot is refused with the reason.
"""

import re
from collections.abc import Iterable, Iterator
from typing import Any, Protocol, runtime_checkable

from torch import Tensor, nn
from transformers import PreTrainedModel

from vlft.backbones.families import Layout
from vlft.errors import BackboneError

_ATTENTION = re.compile(r"attn|attention", re.IGNORECASE)
_PROJECTOR = re.compile(r"proj|connector|merger|resampler|perceiver|aligner|adapter|former")


@runtime_checkable
class FindsPlaceholders(Protocol):
    """A model of transformers that puts image features in the place of placeholder tokens."""

    def get_placeholder_mask(
        self, input_ids: Tensor, inputs_embeds: Tensor, image_features: Tensor
    ) -> Any:
        """Return where the placeholders are, having compared their number with the features'."""
        ...


@runtime_checkable
class MergesImages(Protocol):
    """The same in the models of the line of Idefics."""

    def inputs_merger(
        self, input_ids: Tensor, inputs_embeds: Tensor, image_hidden_states: Tensor
    ) -> Tensor:
        """Return the embeddings with image features in place."""
        ...


def find_layout(model: PreTrainedModel) -> Layout:
    """Find the vision tower, the projector and the language model of a generative host.

    The towers are those that transformers itself gives as the image encoder and the decoder; what
    is left has to be the projector. Blocks are the entries of module lists that hold linear layers
    below a name with "attn" or "attention"; their other linear layers are the feed-forward part. A
    tower with experts, whose weights are no linear layers, has no ``mlp`` site.

    Raises:
        BackboneError: With what could not be told apart.
    """
    _require_placeholders(model)
    vision = _tower(model, model.get_encoder(modality="image"), "vision tower")
    language = _tower(model, model.get_decoder(), "language model")
    if f"{vision}.".startswith(f"{language}.") or f"{language}.".startswith(f"{vision}."):
        raise _refusal(model, f"the vision tower ({vision}) and the language model overlap")
    head = _name_of(model, model.get_output_embeddings())
    if head is None:
        raise _refusal(model, "no linear output head was found")
    between = _between(model, (vision, language, head))
    in_vision = [vision]
    if not between:
        in_vision, between = _split_vision(model, vision)
    for part in between:
        if _linears(model, part) and not _PROJECTOR.search(part.rpartition(".")[2]):
            raise _refusal(
                model, f"{part} is neither the vision tower ({vision}) nor named as a projector"
            )
    sites = {
        **_block_sites(model, vision, "vision"),
        **_block_sites(model, language, "language"),
        "language.head": _pattern([head]),
    }
    projector = [name for root in between for name in _linears(model, root)]
    if projector:
        sites["projector"] = _pattern(projector)
    return Layout(
        sites=sites,
        towers={
            "vision": _prefixes(model, in_vision),
            "projector": _prefixes(model, between),
            "language": _prefixes(model, [language, head]),
        },
    )


def _tower(model: PreTrainedModel, part: nn.Module, kind: str) -> str:
    name = _name_of(model, part)
    if not name or part is model.base_model:
        raise _refusal(model, f"its {kind} is no module of its own")
    return name


def _name_of(model: nn.Module, part: nn.Module | None) -> str | None:
    return next((name for name, module in model.named_modules() if module is part), None)


def _require_placeholders(model: PreTrainedModel) -> None:
    """Images have to stand in the text as placeholders that features replace, one for one."""
    if getattr(model.config, "image_token_id", None) is None:
        raise _refusal(model, "its configuration has no image_token_id, a placeholder for images")
    if model.config.is_encoder_decoder:
        raise _refusal(model, "its language model has an encoder of its own")
    if not isinstance(model.base_model, FindsPlaceholders | MergesImages):
        raise _refusal(
            model, "it does not put image features in the place of placeholder tokens in the text"
        )


def _between(model: nn.Module, taken: tuple[str, ...]) -> list[str]:
    """Names of the topmost parameters and modules outside of some modules."""
    found: dict[str, None] = {}
    for name, _ in model.named_parameters():
        if any(name.startswith(f"{root}.") for root in taken):
            continue
        depth = 1 + max(_shared(name, root) for root in taken)
        found[".".join(name.split(".")[:depth])] = None
    return list(found)


def _shared(name: str, other: str) -> int:
    """Number of leading parts that two dotted names share."""
    pairs = zip(name.split("."), other.split("."), strict=False)
    return next((place for place, (a, b) in enumerate(pairs) if a != b), 0)


def _split_vision(model: PreTrainedModel, vision: str) -> tuple[list[str], list[str]]:
    """Tell a projector inside the vision tower from the rest of the tower.

    Such towers end with it: it is what holds linear layers and is no list of attention blocks.
    """
    tower = model.get_submodule(vision)
    own = [f"{vision}.{name}" for name, _ in tower.named_parameters(recurse=False)]
    projector = []
    for name, child in tower.named_children():
        path = f"{vision}.{name}"
        is_projector = _linears(model, path) and not list(_blocks(model, path))
        if next(child.parameters(), None) is not None:
            (projector if is_projector else own).append(path)
    if not projector:
        raise _refusal(model, "no projector was found between vision tower and language model")
    return own, projector


def _linears(model: nn.Module, root: str) -> list[str]:
    """Names of the linear modules at or below a module; none for a bare parameter."""
    inside = (
        (name, module)
        for name, module in model.named_modules()
        if name == root or name.startswith(f"{root}.")
    )
    return [name for name, module in inside if type(module) is nn.Linear]


def _blocks(model: nn.Module, root: str) -> Iterator[str]:
    """Names of the transformer blocks below a module, nested ones left out."""
    outer = ""
    for name, module in model.named_modules():
        inside = name == root or name.startswith(f"{root}.")
        if not (inside and isinstance(module, nn.ModuleList)):
            continue
        if outer and name.startswith(f"{outer}."):
            continue
        blocks = [f"{name}.{index}" for index in range(len(module))]
        if any(_is_attention(inner, block) for block in blocks for inner in _linears(model, block)):
            outer = name
            yield from blocks


def _is_attention(name: str, block: str) -> bool:
    return _ATTENTION.search(name.removeprefix(block)) is not None


def _block_sites(model: PreTrainedModel, root: str, tower: str) -> dict[str, str]:
    blocks = list(_blocks(model, root))
    if not blocks:
        raise _refusal(model, f"no attention blocks with linear layers were found in {root}")
    attention: dict[str, None] = {}
    other: dict[str, None] = {}
    for block in blocks:
        for name in _linears(model, block):
            kind = attention if _is_attention(name, block) else other
            kind[_any_block(block) + re.escape(name.removeprefix(block))] = None
    sites = {
        f"{tower}.attention": "|".join(attention),
        f"{tower}.block": "|".join(dict.fromkeys(map(_any_block, blocks))),
    }
    if other and not any(".experts" in name for name, _ in model.named_parameters()):
        sites[f"{tower}.mlp"] = "|".join(other)
    return sites


def _any_block(block: str) -> str:
    """A pattern for a block and its siblings."""
    return re.escape(block.rpartition(".")[0]) + r"\.\d+"


def _pattern(names: Iterable[str]) -> str:
    return "|".join(map(re.escape, names))


def _prefixes(model: nn.Module, names: Iterable[str]) -> tuple[str, ...]:
    parameters = {name for name, _ in model.named_parameters()}
    return tuple(name if name in parameters else f"{name}." for name in names)


def _refusal(model: PreTrainedModel, reason: str) -> BackboneError:
    return BackboneError(
        f"backbone.sites: the parts of a {model.config.model_type!r} model cannot be told apart: "
        f"{reason}; use a model line with a table (docs/add-a-backbone.md)"
    )
