"""The CLIP recipes run on the tiny twin with a TSV of one's own; documented sections are valid."""

import re
from pathlib import Path

import pytest
import yaml
from PIL import Image

import vlft
from vlft.cli.train import run
from vlft.evaluation.capabilities import capabilities_of
from vlft.recipe import load_recipe

COLORS = {"red": (220, 20, 20), "green": (20, 220, 20), "blue": (20, 20, 220), "gray": (9, 9, 9)}


@pytest.fixture(scope="module")
def tsv(tmp_path_factory):
    folder = tmp_path_factory.mktemp("pairs")
    lines = ["filepath\ttitle"]
    for name, rgb in COLORS.items():
        Image.new("RGB", (60, 50), rgb).save(folder / f"{name}.png")
        lines.append(f"{name}.png\tthe image shows a {name} square")
    (folder / "my.tsv").write_text("\n".join(lines) + "\n")
    return folder / "my.tsv"


@pytest.mark.slow
@pytest.mark.parametrize("name", ["lora_contrastive", "full_contrastive"])
def test_a_recipe_trains_on_its_tiny_twin(name, tsv, tmp_path):
    out = tmp_path / "run"
    overrides = [
        f"data.train.path={tsv}",
        "backbone.model=null",
        "backbone.config=tiny_clip",
        "training.global_batch_size=4",
        "training.per_device_train_batch_size=4",
        "training.max_steps=2",
        "training.dataloader_num_workers=0",
        f"training.output_dir={out}",
    ]
    assert run(f"clip_vit_b32/{name}", overrides, resume=False) == 0
    model = capabilities_of(vlft.load(out))
    assert model.embed_texts(["a red square"]).shape == (1, 64)


def test_their_data_takes_one_override(tsv):
    for name in ("lora_contrastive", "full_contrastive"):
        recipe = load_recipe(f"clip_vit_b32/{name}", [f"data.train.path={tsv}"]).recipe
        assert recipe.data.train.path == str(tsv)


def test_recipes_of_the_documentation_are_valid(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    Path("labels.txt").write_text("cat\ndog\n")
    page = Path(__file__).parents[2] / "docs" / "hosts.md"
    blocks = re.findall(r"```yaml\n(.*?)```", page.read_text(encoding="utf-8"), flags=re.DOTALL)
    assert len(blocks) == 3
    for number, block in enumerate(blocks):
        if "extends" not in yaml.safe_load(block):
            block = (
                f"extends: _base/contrastive\n{block}adapter: {{type: full}}\n"
                "data: {train: {type: pairs, path: train.tsv}}\n"
                "training: {global_batch_size: 8, max_steps: 2, learning_rate: 1e-3}\n"
            )
        Path(f"{number}.yaml").write_text(block)
        load_recipe(f"{number}.yaml")
