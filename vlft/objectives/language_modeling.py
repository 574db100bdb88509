"""Next-token cross entropy on the assistant's answers, logits only where a label is."""

from jaxtyping import Float, Int
from torch import Tensor, nn
from torch.nn.functional import cross_entropy

from vlft.types import BATCH_KEYS, Batch, Losses, Outputs


def token_losses(
    logits: Float[Tensor, "batch kept vocabulary"], targets: Int[Tensor, "batch kept"]
) -> Float[Tensor, "batch kept"]:
    """Return each kept position's cross entropy in nats, 0 where the target is -100.

    Computed in float32 whatever the logits' type.
    """
    return cross_entropy(
        logits.float().flatten(0, 1), targets.flatten(), ignore_index=-100, reduction="none"
    ).view_as(targets)


class LanguageModeling:
    """The loss of generative hosts.

    The collator says which positions have a label (``logits_to_keep``), so the head never computes
    a logit that no loss reads, and no host synchronization finds them.
    """

    def forward(self, model: nn.Module, batch: Batch) -> Outputs:
        """Return ``logits`` [batch kept vocabulary]."""
        inputs = {name: value for name, value in batch.items() if name not in BATCH_KEYS}
        return {"logits": model(**inputs, use_cache=False).logits}

    def loss(self, outputs: Outputs, batch: Batch, num_items: Tensor | int | None) -> Losses:
        """Return ``language_modeling``: the sum over labels divided by ``num_items``.

        Without ``num_items`` it is the mean over the batch's own labels.
        """
        losses = token_losses(outputs["logits"], batch["targets"])
        count = (batch["targets"] != -100).sum() if num_items is None else num_items
        return Losses({"language_modeling": losses.sum() / count})

    def per_sample(
        self, outputs: Outputs, batch: Batch
    ) -> tuple[Float[Tensor, " batch"], Int[Tensor, " batch"]]:
        """Return each sample's summed loss and its number of labels."""
        losses = token_losses(outputs["logits"], batch["targets"])
        return losses.sum(dim=1), (batch["targets"] != -100).sum(dim=1)
