"""Two processes fill one store of vision features together, and train as one does."""

import re
from pathlib import Path

import pytest

CASES = [
    pytest.param(
        "generative",
        "cpu_zero3",
        ["adapter.sites=[language.attention]", "towers={projector: {train: full}}"],
        id="projector trained, ZeRO-3",
    ),
    pytest.param(
        "contrastive",
        "cpu_ddp",
        ["adapter.sites=[text.attention]"],
        id="locked images, DDP",
    ),
]


def keys(cache: Path) -> list[str]:
    (folder,) = (cache / "vision_features").iterdir()
    return sorted((folder / "index").read_text().splitlines())


@pytest.mark.distributed
@pytest.mark.slow
@pytest.mark.parametrize(("family", "config", "overrides"), CASES)
def test_two_processes_fill_what_one_fills(
    family, config, overrides, launch, recipe, losses, tmp_path, monkeypatch
):
    stored, found = [], []
    for launched, name in ((None, "one"), (config, "two")):
        monkeypatch.setenv("VLFT_CACHE", str(tmp_path / f"cache {name}"))
        run_dir = tmp_path / name
        options = (*overrides, "data.cache_vision_features=true")
        done = launch(launched, recipe(family), f"training.output_dir={run_dir}", *options)
        assert len(re.findall(r"vision features: \d+ images, at most", done.stdout)) == 1
        stored.append(keys(tmp_path / f"cache {name}"))
        found.append(losses(run_dir))
    assert stored[0] == stored[1]
    assert len(found[0]) == 5
    assert found[1] == pytest.approx(found[0], rel=1e-4)
