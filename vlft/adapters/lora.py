"""LoRA (Hu et al., arXiv 2106.09685), with DoRA, rsLoRA and PiSSA as options of the same layer."""

from typing import Literal

from peft import LoraConfig, PeftConfig
from torch import nn
from transformers.pytorch_utils import Conv1D

from vlft.adapters.base import EVERY_FAMILY, Adapter, Flags
from vlft.adapters.sites import refuse_tied
from vlft.recipe.adapter import LoraAdapter
from vlft.types import Backbone

WRAPS: tuple[type[nn.Module], ...] = (nn.Linear, nn.Conv2d, nn.Embedding, Conv1D)
"""Modules that PEFT's LoRA can wrap here."""

INITS: dict[str, bool | Literal["gaussian", "pissa"]] = {
    "default": True,
    "gaussian": "gaussian",
    "pissa": "pissa",
}


def lora_config(section: LoraAdapter, modules: list[str], backbone: Backbone) -> PeftConfig:
    """Return PEFT's config for the resolved modules.

    Raises:
        SiteError: PiSSA is to change a weight that is another module's too.
    """
    if section.init_lora_weights == "pissa":
        refuse_tied(backbone, modules, method="pissa")
    return LoraConfig(
        target_modules=modules,
        r=section.r,
        lora_alpha=section.lora_alpha,  # pyrefly: ignore[bad-argument-type]  # divides by r
        lora_dropout=section.lora_dropout,
        use_rslora=section.use_rslora,
        use_dora=section.use_dora,
        init_lora_weights=INITS[section.init_lora_weights],
    )


def lora_flags(section: LoraAdapter) -> Flags:
    """PiSSA moves the principal part out of the base; every other start has B = 0."""
    return Flags(
        identity=True,
        mergeable=True,
        mutates_base=section.init_lora_weights == "pissa",
    )


LORA = Adapter(flags=lora_flags, families=EVERY_FAMILY, config=lora_config)
