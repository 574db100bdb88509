"""Cross entropy over the classes of a vision host."""

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn
from torch.nn.functional import cross_entropy

from vlft.types import BATCH_KEYS, Batch, Losses, Outputs


class Classification:
    """The loss of vision hosts.

    Args:
        label_smoothing: Share of the target that is spread evenly over all classes
            (arXiv 1512.00567, section 7).
    """

    def __init__(self, *, label_smoothing: float = 0.0) -> None:
        self.label_smoothing = label_smoothing

    def forward(self, model: nn.Module, batch: Batch) -> Outputs:
        """Return ``logits`` [batch classes].

        Swin takes pixels in the storage type of its weights only; other encoders cast them.
        """
        stored = next(weight.dtype for weight in model.parameters() if weight.is_floating_point())
        inputs = {name: value.to(stored) for name, value in batch.items() if name not in BATCH_KEYS}
        return {"logits": model(**inputs).logits}

    def loss(self, outputs: Outputs, batch: Batch, num_items: Tensor | int | None) -> Losses:
        """Return ``classification``: the sum over images divided by ``num_items``.

        Without ``num_items`` it is the mean over the batch.
        """
        losses = self._losses(outputs, batch)
        count = len(losses) if num_items is None else num_items
        return Losses({"classification": losses.sum() / count})

    def per_sample(
        self, outputs: Outputs, batch: Batch
    ) -> tuple[Float[Tensor, " batch"], Int[Tensor, " batch"]]:
        """Return each image's loss, and 1 for each."""
        losses = self._losses(outputs, batch)
        return losses, torch.ones_like(losses, dtype=torch.long)

    def _losses(self, outputs: Outputs, batch: Batch) -> Float[Tensor, " batch"]:
        """Each image's cross entropy in nats, in float32 whatever the logits' type."""
        return cross_entropy(
            outputs["logits"].float(),
            batch["labels"],
            reduction="none",
            label_smoothing=self.label_smoothing,
        )
