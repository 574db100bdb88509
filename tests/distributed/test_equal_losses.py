"""Two processes give the loss curve, and the adapter, of one with the same global batch."""

import pytest
import torch
from safetensors.torch import load_file

PER_PUSH = [("generative", "cpu_ddp"), ("generative", "cpu_zero3"), ("contrastive", "cpu_zero2")]
FULL = [("generative", "cpu_zero2"), ("contrastive", "cpu_ddp"), ("generative", "cpu_single")]

TABLE = [pytest.param(*case, id="-".join(case)) for case in PER_PUSH]
TABLE += [pytest.param(*case, id="-".join(case), marks=pytest.mark.full) for case in FULL]

TOLERANCE = 1e-4
"""Relative; sums run in another order on two ranks, and five AdamW steps amplify that."""


@pytest.mark.distributed
@pytest.mark.slow
@pytest.mark.parametrize(("family", "config"), TABLE)
def test_loss_curve_of_one_process(family, config, launch, recipe, losses, one_process, tmp_path):
    expected = losses(one_process(family))
    run_dir = tmp_path / "run"
    launch(config, recipe(family), f"training.output_dir={run_dir}")
    found = losses(run_dir)
    assert len(found) == len(expected) == 5
    assert found == pytest.approx(expected, rel=TOLERANCE)

    one = load_file(one_process(family) / "adapter_model.safetensors")
    two = load_file(run_dir / "adapter_model.safetensors")
    assert one.keys() == two.keys()
    for name, tensor in one.items():
        torch.testing.assert_close(two[name].float(), tensor, rtol=1e-2, atol=2e-3, msg=name)


@pytest.mark.distributed
@pytest.mark.slow
def test_images_are_varied_as_on_one_process_in_later_epochs_too(launch, recipe, losses, tmp_path):
    """Two steps to an epoch."""
    options = (
        recipe("generative"),
        "data.train={type: scenes, task: mixture, num_samples: 16, seed: 5}",
        "data.augmentation={min_crop_area: 0.5, flip: true, num_ops: 2}",
    )
    for config, name in ((None, "one"), ("cpu_ddp", "two")):
        launch(config, *options, f"training.output_dir={tmp_path / name}")
    found, expected = losses(tmp_path / "two"), losses(tmp_path / "one")
    assert len(found) == len(expected) == 5
    assert found == pytest.approx(expected, rel=TOLERANCE)


@pytest.mark.distributed
@pytest.mark.slow
def test_world_size_that_does_not_divide_is_refused(launch, recipe, tmp_path):
    run_dir = tmp_path / "run"
    done = launch(
        "cpu_ddp",
        recipe("generative"),
        f"training.output_dir={run_dir}",
        "training.global_batch_size=7",
        expect=1,
    )
    assert "global_batch_size = 7 does not divide among 2 processes" in done.stderr
    assert not run_dir.exists()
