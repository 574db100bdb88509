"""What a trained fuser looks at: its weights over vision groups, by language layer."""

from typing import Any

import torch
from jaxtyping import Float
from peft import PeftModel
from torch import Tensor

from vlft.adapters.dehvf.hooks import SHARED
from vlft.adapters.dehvf.images import build, rows_of, taken_from


def fusion_weights(
    model: PeftModel, inputs: dict[str, Tensor]
) -> Float[Tensor, "layers places groups"]:
    """Return the mean fusion weights of a batch's images; places are keys and values.

    Args:
        model: A host with a DEHVF adapter.
        inputs: Its inputs, at least one image among them. With ``hidden`` the prompts count, and
            all of a text where no ``prompt_mask`` says otherwise.

    Raises:
        AdapterError: As a forward pass.
    """
    host: Any = model.get_base_model()
    shared = host.get_submodule(SHARED)
    rest = dict(inputs)
    taken = taken_from(rest)
    with torch.no_grad():
        memories = build(
            host,
            shared,
            taken,
            rows=rows_of((), rest),
            mask=rest.get("attention_mask"),
            is_prompt=True,
        )
        memory = memories[shared.active_adapters[0]]
        if memory.slots is None:  # weights that each layer makes of its prompt
            with host.vlft_dehvf_calls.holding(memories):
                host(**rest, use_cache=False)
    assert memory.present is not None
    by_layer = torch.stack([memory.weights[layer] for layer in sorted(memory.weights)], dim=2)
    return by_layer[memory.present].mean(dim=0)
