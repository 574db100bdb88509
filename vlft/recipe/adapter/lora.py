"""The ``lora`` adapter section: LoRA (arXiv 2106.09685) and its variants by option."""

from typing import Literal

from pydantic import Field, model_validator

from vlft.recipe.adapter.placed import Placed
from vlft.recipe.section import Contradiction


class LoraAdapter(Placed):
    """LoRA; DoRA, rsLoRA and PiSSA are options of it. Names are PEFT's."""

    type: Literal["lora"]
    """Adapter method."""
    r: int = Field(16, gt=0)
    """Rank of the update."""
    lora_alpha: float = Field(32, gt=0)
    """Numerator of the scale ``lora_alpha / r``."""
    lora_dropout: float = Field(0.0, ge=0, lt=1)
    """Probability of dropping an input feature of the update."""
    use_rslora: bool = False
    """Scale by ``lora_alpha / sqrt(r)`` (rsLoRA, arXiv 2312.03732)."""
    use_dora: bool = False
    """Learn magnitude and direction apart (DoRA, arXiv 2402.09353)."""
    init_lora_weights: Literal["default", "gaussian", "pissa"] = "default"
    """``default``: A Kaiming-uniform, B zero; ``gaussian``: A normal, B zero; ``pissa``: principal
    components of the weight, which the base loses (arXiv 2404.02948)."""

    @model_validator(mode="after")
    def _pissa(self) -> "LoraAdapter":
        if self.init_lora_weights != "pissa":
            return self
        if self.lora_dropout > 0:
            raise Contradiction(
                "lora_dropout",
                "dropout would drop principal components that PiSSA took out of "
                "the base: use lora_dropout: 0, or init_lora_weights: default",
            )
        if self.use_dora:
            raise Contradiction(
                "use_dora",
                "DoRA takes its magnitudes from the base, which PiSSA changes: use one "
                "of the two (use_dora: false, or init_lora_weights: default)",
            )
        return self
