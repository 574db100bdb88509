"""The ``peft`` adapter section: any other method of PEFT, by its own name and options."""

from typing import Any, Literal

from pydantic import Field, model_validator

from vlft.recipe.adapter.placed import Placed
from vlft.recipe.section import Contradiction


class PeftAdapter(Placed):
    """A PEFT method that has no section of its own, such as ``IA3`` or ``LOHA``."""

    type: Literal["peft"]
    """Adapter method."""
    peft_type: str
    """Name in PEFT's ``PeftType``."""
    options: dict[str, Any] = Field(default_factory=dict)
    """Fields of that method's PEFT config; ``target_modules`` is filled in from the sites."""

    @model_validator(mode="after")
    def _places_are_ours(self) -> "PeftAdapter":
        if "target_modules" in self.options:
            raise Contradiction(
                "options",
                "`target_modules` is filled in from `sites`: write `sites`, or "
                "`target_modules` beside `options`",
            )
        init = self.options.get("init_lora_weights", True)
        if self.peft_type.upper() == "LORA" and init not in (True, False, "gaussian"):
            raise Contradiction(
                "options",
                f"init_lora_weights: {init} changes the weights of the base, which a run of type "
                "peft does not keep track of: use type: corda, or type: lora with "
                "init_lora_weights: pissa",
            )
        return self
