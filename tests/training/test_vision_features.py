"""Training on features from disk is training on the images."""

import json
import shutil
from pathlib import Path

import pytest
import torch

from vlft.errors import RecipeError

DEHVF = "adapter={type: dehvf, groups: 2, r: 4, num_learned: 4, max_images: 2, memory_dropout: 0}"
LORA = "adapter={type: lora, sites: [language.attention], r: 4}"
CACHED = "data.cache_vision_features=true"
NAMES = "circle, oval, ring, square, bar, frame, triangle, diamond, arrow, plus, cross, hash"
VIT = f"backbone={{type: vision, config: tiny_vit, labels: [{NAMES}]}}"
SHAPES = "data.train={type: scenes, task: classification, num_samples: 32, seed: 5}"


def losses_of(run_dir: Path) -> list[float]:
    lines = [json.loads(line) for line in (run_dir / "metrics.jsonl").read_text().splitlines()]
    return [line["loss"] for line in lines if "loss" in line]


@pytest.fixture
def cache(tmp_path, monkeypatch):
    monkeypatch.setenv("VLFT_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache" / "vision_features"


@pytest.mark.slow
@pytest.mark.parametrize("adapter", [DEHVF, LORA], ids=["dehvf", "lora"])
def test_the_losses_are_those_of_images_and_the_tower_runs_once(
    adapter, train, cache, monkeypatch, capsys
):
    from transformers.models.clip.modeling_clip import CLIPVisionModel

    plain = train(adapter)
    seen = []
    forward = CLIPVisionModel.forward

    def counted(self, pixel_values, *args, **kwargs):
        seen.append(len(pixel_values))
        return forward(self, pixel_values, *args, **kwargs)

    monkeypatch.setattr(CLIPVisionModel, "forward", counted)
    capsys.readouterr()
    first = train(adapter, CACHED)
    assert "vision features: " in capsys.readouterr().out
    (folder,) = cache.iterdir()
    each = len((folder / "index").read_text().splitlines())
    # placeholders are compared with what the tower gives; the blank image is seen at each start
    others = 1 + (16 if adapter is LORA else 0)
    assert sum(seen) == others + each
    seen.clear()
    second = train(adapter, CACHED)
    assert sum(seen) == others
    assert losses_of(first) == losses_of(second)
    assert losses_of(first) == pytest.approx(losses_of(plain), rel=2e-3)  # rows are float16


@pytest.mark.slow
def test_benchmarks_see_images_while_a_run_does_not_and_it_can_be_resumed(train, cache):
    steps = ("training.save_strategy=steps", "training.save_steps=2")
    suite = (
        "evaluation.suite=scenes/unseen_question",
        "evaluation.limit=4",
        "training.eval_strategy=steps",
        "training.eval_steps=2",
    )
    whole = train(LORA, CACHED, *steps, *suite)
    metrics = [json.loads(line) for line in (whole / "metrics.jsonl").read_text().splitlines()]
    assert [line["step"] for line in metrics if "accuracy" in line] == [2, 4]
    stopped = train(LORA, CACHED, *steps, *suite)
    shutil.rmtree(stopped / "checkpoint-4")
    train(LORA, CACHED, *steps, *suite, run_dir=stopped, resume=True)
    assert losses_of(stopped) == losses_of(whole)


@pytest.mark.slow
def test_other_weights_are_other_features(train, cache):
    train(LORA, CACHED)
    train(LORA, CACHED, "seed=9")  # random hosts: another tower
    assert len(list(cache.iterdir())) == 2
    train(DEHVF, CACHED)  # the same tower, another kind
    assert len(list(cache.iterdir())) == 3


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        ([DEHVF, "adapter.vision_adapter_dim=2"], "adapter.vision_adapter_dim trains the vision"),
        (["adapter={type: lora, sites: [vision.attention]}"], "the vision tower is trained"),
        ([LORA, "towers.vision.train=full"], "the vision tower is trained"),
    ],
)
def test_a_trained_tower_is_refused(overrides, message, train, cache):
    with pytest.raises(RecipeError, match=message):
        train(*overrides, CACHED)
    assert not cache.exists()


@pytest.mark.slow
@pytest.mark.parametrize(
    ("family", "overrides"),
    [
        ("contrastive", ["adapter={type: lora, sites: [text.attention], r: 4}"]),
        ("contrastive", ["adapter={type: full}", "towers={vision: {train: frozen}}"]),
        ("vision", ["adapter={type: full}", "towers={vision: {train: frozen}}"]),
    ],
    ids=["lora on texts", "locked images", "linear probe"],
)
def test_contrastive_and_vision_hosts_train_as_on_images(family, overrides, train, cache):
    base = "contrastive"
    if family == "vision":
        overrides = [*overrides, VIT, SHAPES, "objective={type: classification}"]
    plain = train(*overrides, family=base)
    first = train(*overrides, CACHED, family=base)
    again = train(*overrides, CACHED, family=base)
    assert losses_of(first) == losses_of(again)
    assert losses_of(first) == pytest.approx(losses_of(plain), rel=2e-3)
    assert len(list(cache.iterdir())) == 1


@pytest.mark.parametrize("override", ["towers.vision.train=full", "adapter={type: full}"])
def test_a_trained_tower_of_a_contrastive_host_is_refused(override, train, cache):
    with pytest.raises(RecipeError, match="the vision tower is trained"):
        train(
            "adapter={type: lora, sites: [text.attention]}", override, CACHED, family="contrastive"
        )
    assert not cache.exists()


def test_a_host_without_images_is_refused(train, cache):
    host = "backbone={type: causal_lm, config: tiny_llama}"
    with pytest.raises(RecipeError, match="host type causal_lm has no vision tower"):
        train(LORA, host, CACHED)


def test_a_host_without_a_way_in_is_refused(host, cache):
    from vlft.data.vision_features import vision_features
    from vlft.errors import DataError

    backbone = host("tiny_llava")
    backbone.model.config.model_type = "another"
    with pytest.raises(
        DataError, match=r"features of a 'another' model go in: leave .* qwen2_5_vl"
    ):
        vision_features(backbone, torch.device("cpu"))
