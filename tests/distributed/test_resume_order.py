"""Two processes that resume inside a later epoch go on with that epoch's order."""

import json

import pytest

SCENES = "{type: scenes, questions: [color], num_samples: 12, seed: 5}"
CAPTIONS = "{type: scenes, task: captioning, num_samples: 20, seed: 6}"
DATA = {
    "one set": "data.train={type: scenes, task: mixture, num_samples: 32, seed: 5}",
    "homogeneous mixture": (
        f"data.train={{type: mixture, datasets: [{SCENES}, {CAPTIONS}], weights: [1, 1], "
        "homogeneous_batches: true}"
    ),
}


@pytest.mark.distributed
@pytest.mark.slow
@pytest.mark.parametrize("data", DATA)
def test_resumed_equals_uninterrupted(launch, losses, recipe, tmp_path, data):
    """Four steps to an epoch: the checkpoint of step 6 lies inside the second one."""
    options = (
        recipe("generative"),
        DATA[data],
        "training.max_steps=8",
        "training.save_strategy=steps",
        "training.save_steps=6",
        f"training.output_dir={tmp_path / 'run'}",
    )
    launch("cpu_ddp", *options)
    expected = losses(tmp_path / "run")
    last = tmp_path / "run" / "checkpoint-8" / "trainer_state.json"
    last.unlink(missing_ok=True)  # as if the process had been killed while it saved
    launch("cpu_ddp", *options, "--resume")
    lines = (tmp_path / "run" / "metrics.jsonl").read_text().splitlines()
    assert [json.loads(line)["step"] for line in lines if '"loss"' in line] == list(range(1, 9))
    assert losses(tmp_path / "run") == pytest.approx(expected, rel=1e-4)
