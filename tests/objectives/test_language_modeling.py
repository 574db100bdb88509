"""Language modeling: the loss of kept positions is the loss of the full forward."""

import torch
from torch.nn.functional import cross_entropy

from vlft.objectives.language_modeling import LanguageModeling, token_losses


def test_padding_positions_cost_nothing():
    logits = torch.randn(2, 3, 7)
    targets = torch.tensor([[1, 2, -100], [3, -100, -100]])
    losses = token_losses(logits, targets)
    assert losses[targets == -100].eq(0).all()
    assert losses[targets != -100].gt(0).all()


def test_sum_over_labels_divided_by_the_global_count():
    logits = torch.randn(2, 3, 7)
    targets = torch.tensor([[1, 2, -100], [3, -100, -100]])
    objective = LanguageModeling()
    outputs, batch = {"logits": logits}, {"targets": targets}
    local = objective.loss(outputs, batch, None).total
    expected = cross_entropy(logits.flatten(0, 1), targets.flatten(), ignore_index=-100)
    torch.testing.assert_close(local, expected)
    shared = objective.loss(outputs, batch, torch.tensor(30)).total
    torch.testing.assert_close(shared, expected * 3 / 30)


def test_micro_batches_add_up_to_the_whole_batch():
    logits = torch.randn(4, 3, 7)
    targets = torch.tensor([[1, 2, 3], [3, -100, -100], [5, 6, -100], [0, -100, -100]])
    count = (targets != -100).sum()
    objective = LanguageModeling()
    whole = objective.loss({"logits": logits}, {"targets": targets}, count).total
    parts = sum(
        objective.loss({"logits": logits[i : i + 1]}, {"targets": targets[i : i + 1]}, count).total
        for i in range(4)
    )
    torch.testing.assert_close(whole, parts)


def test_per_sample_sums_and_counts():
    logits = torch.randn(2, 3, 7)
    targets = torch.tensor([[1, 2, -100], [3, -100, -100]])
    sums, counts = LanguageModeling().per_sample({"logits": logits}, {"targets": targets})
    assert counts.tolist() == [2, 1]
    total = LanguageModeling().loss({"logits": logits}, {"targets": targets}, None).total
    torch.testing.assert_close(sums.sum() / counts.sum(), total)


def test_half_precision_logits_are_reduced_in_float32():
    logits = torch.randn(1, 2, 5).bfloat16()
    targets = torch.tensor([[1, 4]])
    assert token_losses(logits, targets).dtype == torch.float32
