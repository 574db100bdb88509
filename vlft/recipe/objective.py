"""The ``objective`` section: what the loss is."""

from typing import Annotated, Literal

from pydantic import Field

from vlft.recipe.section import Section


class LanguageModeling(Section):
    """Next-token cross entropy on the assistant's answers."""

    type: Literal["language_modeling"]
    """Loss family (generative hosts)."""


class Contrastive(Section):
    """Image-text contrastive loss over the global batch."""

    type: Literal["contrastive"]
    """Loss family (contrastive hosts)."""
    loss: Literal["clip", "siglip"] = "clip"
    """``clip``: symmetric softmax (arXiv 2103.00020); ``siglip``: pairwise sigmoid
    (arXiv 2303.15343)."""
    logit_bias: float = -10.0
    """Bias of the sigmoid loss, added to the logits, for hosts without a learned one (the start
    value of arXiv 2303.15343, section 3.2)."""
    negatives: Literal["global_batch", "micro_batch"] = "global_batch"
    """``global_batch``: gradient accumulation is refused, since it adds no negatives;
    ``micro_batch``: accept that negatives come from one micro batch (over all processes)."""


class Classification(Section):
    """Cross entropy over the classes of a vision host's head."""

    type: Literal["classification"]
    """Loss family (vision hosts)."""
    label_smoothing: float = Field(0.0, ge=0, lt=1)
    """Share of the target that is spread evenly over all classes (arXiv 1512.00567)."""


ObjectiveSection = Annotated[
    LanguageModeling | Contrastive | Classification, Field(discriminator="type")
]
