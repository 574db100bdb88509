"""A loss that is not a number stops the run and names the records."""

import pytest
import torch

from vlft.errors import NonFiniteLossError
from vlft.training.guard import FiniteLossGuard


@pytest.mark.parametrize("value", [float("nan"), float("inf"), float("-inf")])
def test_names_step_and_records(value: float):
    guard = FiniteLossGuard()
    guard.watch(torch.tensor(1.0), record_ids=["a", "b"], step=0)
    with pytest.raises(NonFiniteLossError, match=r"in step 2; records of that batch: c, d\."):
        guard.watch(torch.tensor(value), record_ids=["c", "d"], step=1)


def test_finite_losses_pass():
    guard = FiniteLossGuard()
    for step, value in enumerate((0.0, -1.0, 1e30)):
        guard.watch(torch.tensor(value), record_ids=["a"], step=step)
    guard.flush()
