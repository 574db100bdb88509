"""Which adapters can sit on quantized layers; checked on the modules that a section resolves to.

A recipe is checked by the names of its sites before anything is built; a pattern
(``target_modules``) can only be checked here.
"""

from vlft.errors import AdapterError
from vlft.recipe.adapter import AdapterSection, CordaAdapter, DehvfAdapter, LoraAdapter, PeftAdapter
from vlft.recipe.conflicts.host import QUANTIZABLE
from vlft.types import Backbone


def refuse_quantized(backbone: Backbone, modules: list[str], section: AdapterSection) -> None:
    """Refuse an adapter that cannot compute with the quantized layers among its modules.

    Raises:
        AdapterError: Naming the first such layer.
    """
    if isinstance(section, DehvfAdapter):  # stands beside the layers and computes with none
        return
    for path in modules:
        kind = type(backbone.model.get_submodule(path))
        if not kind.__module__.startswith("bitsandbytes."):
            continue
        method = section.peft_type.upper() if isinstance(section, PeftAdapter) else "LORA"
        if method not in QUANTIZABLE:
            raise AdapterError(
                f"adapter.peft_type: {method} cannot compute with the quantized layer {path!r}: "
                f"use backbone.quantization: none, or one of {', '.join(QUANTIZABLE)}"
            )
        if isinstance(section, CordaAdapter) and section.save == "portable":
            raise AdapterError(
                f"adapter.save: what is trained sits on the quantized residual of {path!r}, and on "
                "the untouched base it would sit on other rounding errors: use save: residual"
            )
        if not isinstance(section, LoraAdapter):
            return
        if section.init_lora_weights == "pissa":
            raise AdapterError(
                f"adapter.init_lora_weights: PiSSA changes the weights of {path!r}, which are "
                "quantized: use init_lora_weights: default"
            )
        if section.use_dora and kind.__name__ == "Linear8bitLt":
            raise AdapterError(
                f"adapter.use_dora: PEFT's DoRA loses the scales of the int8 layer {path!r}: use "
                "backbone.quantization: nf4, or use_dora: false"
            )
        return
