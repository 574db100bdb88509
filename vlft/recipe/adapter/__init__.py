"""The ``adapter`` section: one module per method, chosen by ``type``."""

from typing import Annotated

from pydantic import Field

from vlft.recipe.adapter.corda import CordaAdapter
from vlft.recipe.adapter.dehvf import DehvfAdapter
from vlft.recipe.adapter.full import FullAdapter
from vlft.recipe.adapter.lora import LoraAdapter
from vlft.recipe.adapter.peft import PeftAdapter

AdapterSection = Annotated[
    CordaAdapter | DehvfAdapter | FullAdapter | LoraAdapter | PeftAdapter,
    Field(discriminator="type"),
]

__all__ = [
    "AdapterSection",
    "CordaAdapter",
    "DehvfAdapter",
    "FullAdapter",
    "LoraAdapter",
    "PeftAdapter",
]
