"""``vlft show`` counts what training would really train and hold."""

import json
import time

import pytest
import torch

from vlft.adapters import apply_adapter
from vlft.backbones import build
from vlft.recipe import load_recipe

HEADS = "towers={projector: {train: full}}"


@pytest.fixture
def shown(vlft, tiny_recipe):
    def show(*overrides, family="generative"):
        called = vlft("show", tiny_recipe[family], *overrides, "--json")
        assert called.status == 0, called.err
        return json.loads(called.out)

    return show


def real(recipe_path, *overrides):
    recipe = load_recipe(recipe_path, overrides).recipe
    return apply_adapter(build(recipe.backbone), recipe.adapter, recipe.towers).model


@pytest.mark.parametrize(
    ("family", "overrides"),
    [
        ("generative", []),
        ("generative", [HEADS]),
        ("generative", ["adapter={type: full}", "towers={vision: {train: frozen}}"]),
        ("contrastive", ["adapter.use_dora=true"]),
    ],
)
def test_forecast_is_what_a_real_model_holds(family, overrides, shown, tiny_recipe):
    found = shown(*overrides, family=family)
    model = real(tiny_recipe[family], *overrides)
    trained = {n: p for n, p in model.named_parameters() if p.requires_grad}
    heads = sum(p.numel() for n, p in trained.items() if "modules_to_save" in n)
    adapter = sum(p.numel() for p in trained.values()) - heads
    assert (found["trainable_parameters"], found["head_parameters"]) == (adapter, heads)
    assert bool(heads) == (HEADS in overrides)
    assert sum(t["trainable"] for t in found["towers"]) == adapter + heads
    assert sum(t["total"] for t in found["towers"]) == sum(p.numel() for p in model.parameters())

    optimizer = torch.optim.AdamW(trained.values())
    for parameter in trained.values():
        parameter.grad = torch.ones_like(parameter)
    optimizer.step()

    def size(tensors):
        return sum(tensor.numel() * tensor.element_size() for tensor in tensors)

    states = [t for state in optimizer.state.values() for t in state.values()]
    memory = found["memory"]
    assert memory["weights"] == size([*model.parameters(), *model.buffers()])
    assert memory["gradients"] == size(p.grad for p in trained.values())
    assert memory["optimizer_states"] == size(states)
    counted = sum(memory["activations"].values()) + memory["workspace"]
    fixed = memory["weights"] + memory["gradients"] + memory["optimizer_states"]
    assert memory["total"] == fixed + counted
    assert memory["cards"]["24"] == {"fits": True, "change": None, "nearest": None}


@pytest.mark.slow
def test_a_recipe_that_does_not_fit_is_told_what_would(vlft, tmp_path):
    (tmp_path / "big.yaml").write_text(
        "backbone: {type: causal_lm, config: llama2_7b, dtype: bfloat16}\n"
        "adapter: {type: lora, sites: [language.attention], r: 16}\n"
        "objective: {type: language_modeling}\n"
        "training: {global_batch_size: 8, per_device_train_batch_size: 2, bf16: true}\n"
    )
    called = vlft("show", str(tmp_path / "big.yaml"), "--model", "--tokens", "8192")
    assert called.status == 0, called.err
    assert "2 samples per pass of 8192 tokens" in called.out
    change = "training.gradient_checkpointing=true"
    for card in (24, 48, 80):
        assert f"{card} GB card: does not fit; it would with {change}" in called.out


def test_json_holds_the_recipe_and_its_origins(shown):
    found = shown("training.learning_rate=1e-4")
    assert found["recipe"]["training"]["learning_rate"] == 1e-4
    assert found["origins"]["training.learning_rate"] == "command line"
    assert [tower["name"] for tower in found["towers"]] == ["vision", "projector", "language"]


def test_steps(shown):
    assert shown()["steps"] == 4
    assert shown("training.max_steps=null", "training.num_train_epochs=3")["steps"] == 24
    gone = shown("training.max_steps=null", "data.train={type: messages, path: gone.jsonl}")
    assert gone["steps"] is None
    assert "'gone.jsonl' does not exist" in gone["steps_reason"]


def test_samples_show_what_is_supervised(vlft, tiny_recipe):
    called = vlft("show", tiny_recipe["generative"], "--samples", "2")
    assert called.status == 0
    samples = [line for line in called.out.splitlines() if "[[" in line]
    assert len(samples) == 2
    for line in samples:
        assert "<image>x16what color is" in line
        assert line.endswith("</s>]]")
    assert "1 image, 27 tokens (16 of images), 2 supervised" in called.out


def test_samples_of_pairs_show_their_text(vlft, tiny_recipe):
    called = vlft("show", tiny_recipe["contrastive"], "--samples", "2")
    assert called.status == 0
    assert called.out.count("1 image, text '") == 2


def test_text_has_the_tables(vlft, tiny_recipe):
    called = vlft("show", tiny_recipe["generative"], "--model")
    assert called.status == 0
    for phrase in (
        "trained by the adapter   16,384",
        "optimizer steps          4",
        "24 GB card: fits",
    ):
        assert phrase in called.out


def test_full_size_host_is_counted_without_memory(vlft, tmp_path):
    (tmp_path / "big.yaml").write_text(
        "backbone: {type: assembled, config: clip_l_llama_7b}\n"
        "adapter: {type: lora, sites: [language.attention], r: 16}\n"
        "objective: {type: language_modeling}\n"
    )
    start = time.perf_counter()
    called = vlft("show", str(tmp_path / "big.yaml"), "--json")
    assert time.perf_counter() - start < 30
    found = json.loads(called.out)
    projections, layers, width = 4, 32, 4096
    assert found["trainable_parameters"] == layers * projections * 16 * (width + width)
    totals = {tower["name"]: tower["total"] for tower in found["towers"]}
    assert totals["language"] - found["trainable_parameters"] == pytest.approx(6.738e9, rel=1e-3)
    assert totals["vision"] == pytest.approx(303.2e6, rel=1e-2)
    assert found["steps"] is None
    assert found["steps_reason"] == "data.train is not given"


@pytest.mark.slow
@pytest.mark.parametrize("query", ["layer_id", "hidden"])
def test_a_run_with_dehvf_shows_which_vision_layers_its_language_layers_see(vlft, train, query):
    pytest.importorskip("matplotlib", reason="needs the extra `plots`")
    run_dir = train(f"adapter={{type: dehvf, groups: 2, r: 4, num_learned: 4, query: {query}}}")
    called = vlft("show", str(run_dir))
    assert called.status == 0, called.err
    header, *rows = (run_dir / "fusion.csv").read_text().splitlines()
    assert header == "language_layer,place,vision 1,vision 2"
    assert [row.split(",")[:2] for row in rows] == [
        ["1", "key"], ["1", "value"], ["2", "key"], ["2", "value"],
    ]  # fmt: skip
    for row in rows:
        assert sum(map(float, row.split(",")[2:])) == pytest.approx(1, abs=2e-4)
    assert (run_dir / "fusion.png").stat().st_size > 1000
    assert "fusion weights, mean over" in called.out
