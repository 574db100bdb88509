"""Cross entropy of vision hosts."""

import pytest
import torch

from vlft.objectives import build_objective
from vlft.recipe.objective import Classification


def objective(label_smoothing=0.0):
    return build_objective(Classification(type="classification", label_smoothing=label_smoothing))


@pytest.fixture
def example():
    logits = torch.randn(6, 5, generator=torch.Generator().manual_seed(0))
    return {"logits": logits}, {"labels": torch.tensor([0, 4, 2, 2, 1, 3])}


def test_the_loss_is_the_mean_negative_log_probability(example):
    outputs, batch = example
    expected = -outputs["logits"].log_softmax(-1)[torch.arange(6), batch["labels"]]
    torch.testing.assert_close(objective().loss(outputs, batch, None).total, expected.mean())
    losses, counts = objective().per_sample(outputs, batch)
    torch.testing.assert_close(losses, expected)
    assert counts.tolist() == [1] * 6


def test_smoothing_spreads_a_share_of_the_target_over_all_classes(example):
    outputs, batch = example
    log_p = outputs["logits"].log_softmax(-1)
    target = torch.full((6, 5), 0.2 / 5)
    target[torch.arange(6), batch["labels"]] += 0.8
    expected = -(target * log_p).sum(-1).mean()
    torch.testing.assert_close(objective(0.2).loss(outputs, batch, None).total, expected)


def test_micro_batches_add_up_to_the_batch(example):
    outputs, batch = example
    whole = objective(0.1).loss(outputs, batch, 6).total
    parts = sum(
        objective(0.1)
        .loss(
            {"logits": outputs["logits"][start : start + 2]},
            {"labels": batch["labels"][start : start + 2]},
            6,
        )
        .total
        for start in (0, 2, 4)
    )
    torch.testing.assert_close(parts, whole)


def test_half_precision_logits_are_summed_in_full(example):
    outputs, batch = example
    half = {"logits": outputs["logits"].bfloat16()}
    assert objective().loss(half, batch, None).total.dtype == torch.float32
