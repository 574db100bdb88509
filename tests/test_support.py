"""Every cell of docs/support.md: what is said to work works, the rest is refused in words."""

import copy
import csv
import importlib.util
import json
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from PIL import Image
from pydantic import TypeAdapter

from vlft.adapters import ADAPTERS, apply_adapter, mutation
from vlft.adapters.base import Counted
from vlft.backbones import BACKBONES, build, config_names
from vlft.backbones.quantization import quantize
from vlft.data import pipeline
from vlft.errors import VlftError
from vlft.evaluation.benchmark import benchmark_names, load_benchmark
from vlft.evaluation.driver import evaluate
from vlft.evaluation.scorers import SCORERS
from vlft.objectives import build_objective
from vlft.recipe import load_recipe, validate
from vlft.recipe.backbone import BackboneSection
from vlft.recipe.launch import Launch
from vlft.recipe.shipped import list_shipped

ROOT = Path(__file__).parents[1]


def load(path: Path):
    spec = importlib.util.spec_from_file_location(path.stem, path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


SCRIPT = load(ROOT / "scripts" / "support.py")
TABLE = SCRIPT.TABLE

TASKS = {"generative": "mixture", "contrastive": "pairs", "vision": "classification"}
OBJECTIVES = {
    "generative": "language_modeling", "contrastive": "contrastive", "vision": "classification"
}  # fmt: skip


# the table itself


def test_the_page_is_up_to_date():
    """Else run: python scripts/support.py"""
    assert (ROOT / "docs" / "support.md").read_text(encoding="utf-8") == SCRIPT.page()


def test_every_component_has_a_row_or_column():
    assert {host.backbone["type"] for host in TABLE.HOSTS.values()} == set(BACKBONES)
    assert set(TABLE.HOSTS) == {name for name in config_names() if name.startswith("tiny_")}
    assert {method.adapter["type"] for method in TABLE.METHODS.values()} == set(ADAPTERS)
    assert set(TABLE.LAUNCHES) == set(list_shipped("accelerate_configs"))
    assert set(TABLE.ASKS) == set(SCORERS) == set(TABLE.BENCHMARKS.values())


@pytest.mark.parametrize("name", benchmark_names())
def test_every_benchmark_stands_in_the_table_or_is_like_one_that_does(name, tmp_path):
    """The same scorer, and images needed or not."""
    (tmp_path / "x.jsonl").touch()

    def kind(name):
        own = [f"data.path={tmp_path / 'x.jsonl'}"] if name.startswith("custom/") else []
        spec = load_benchmark(name, own)
        return spec.scorer, spec.needs_images

    assert kind(name) in {kind(shown) for shown in TABLE.BENCHMARKS}


@pytest.mark.parametrize("name", TABLE.BENCHMARKS)
def test_the_generated_twin_of_a_benchmark_differs_in_its_data_alone(name):
    twin = TABLE.twin(name)
    if twin == name:
        return
    changed = {"name", "description", "world", "license", "expected_n", "download", "data"}
    one, other = (load_benchmark(n).model_dump(exclude=changed) for n in (name, twin))
    assert {k: v for k, v in one.items() if k != "settings"} == {
        k: v for k, v in other.items() if k != "settings"
    }


# method x host


def recipe_of(method: str, host: str, tmp_path: Path):
    """Return the checked recipe of a cell."""
    row, column = TABLE.METHODS[method], TABLE.HOSTS[host]
    backbone = {**column.backbone, **row.backbone}
    if row.backbone.get("quantization"):
        backbone["quantized_towers"] = column.quantized
    adapter = row.adapter | TABLE.OPTIONS.get((method, host), {})
    if adapter["type"] not in ("full", "dehvf"):  # DEHVF has one place
        adapter["sites"] = column.sites
    data = {"type": "scenes", "task": TASKS[column.family], "num_samples": 4, "seed": 3}
    if column.backbone["type"] == "causal_lm":
        data = {"type": "messages", "path": "unused.jsonl"}
    values = {
        "backbone": backbone, "adapter": adapter, "data": {"train": data},
        "objective": {"type": OBJECTIVES[column.family]}, "training": {"global_batch_size": 4},
    }  # fmt: skip
    path = tmp_path / "recipe.yaml"
    path.write_text(json.dumps(values))  # JSON is YAML
    return load_recipe(path).recipe


@pytest.fixture(scope="module")
def pristine():
    """Build each host once."""
    made = {}

    def give(section):
        key = section.model_dump_json()
        if key not in made:
            torch.manual_seed(0)
            made[key] = build(section)
        return replace(made[key], model=copy.deepcopy(made[key].model))

    return give


def batch_of(backbone, recipe):
    if backbone.type == "causal_lm":
        tokens = torch.arange(20, 44).reshape(2, 12)
        labels = tokens.clone()
        labels[:, :8] = -100
        return {
            "input_ids": tokens, "attention_mask": torch.ones_like(tokens), "labels": labels,
            "logits_to_keep": torch.arange(7, 11).expand(2, 4).contiguous(),
            "targets": tokens[:, 8:].contiguous(), "record_ids": ["a", "b"], "num_images": 0,
            "num_tokens": 24,
        }  # fmt: skip
    samples = pipeline.open_samples(backbone, recipe.data, recipe.data.train, None)
    return pipeline.collator(backbone)([samples[index] for index in range(4)])


def prepared(backbone, recipe, objective):
    """Return the start of an adapter that is prepared on data; nothing for the others."""
    prepare = ADAPTERS[recipe.adapter.type].prepare
    if prepare is None:
        return {}
    shown = [[Counted(batch_of(backbone, recipe))]]
    return prepare(
        backbone, recipe.adapter, shown, lambda batch: objective.forward(backbone.model, batch)
    ).start


@pytest.mark.slow
@pytest.mark.parametrize("host", TABLE.HOSTS)
@pytest.mark.parametrize("method", TABLE.METHODS)
def test_a_method_trains_a_host_or_is_refused(method, host, pristine, tmp_path):
    if TABLE.METHODS[method].backbone.get("quantization"):
        pytest.importorskip("bitsandbytes", reason="needs the extra `quantization`")

    def step():
        recipe = recipe_of(method, host, tmp_path)
        backbone = pristine(recipe.backbone)
        objective = build_objective(recipe.objective)
        start = prepared(backbone, recipe, objective)
        mutation.take_out(backbone.model, start)
        backbone = quantize(backbone, recipe.backbone, recipe.training)
        backbone = apply_adapter(backbone, recipe.adapter, recipe.towers)
        if start:
            mutation.put_in(backbone.model, start)
        batch = batch_of(backbone, recipe)
        trained = [p for p in backbone.model.parameters() if p.requires_grad]
        before = [p.detach().clone() for p in trained]
        optimizer = torch.optim.AdamW(trained, lr=1e-3)
        loss = objective.loss(objective.forward(backbone.model, batch), batch, None).total
        loss.backward()
        optimizer.step()
        assert torch.isfinite(loss)
        assert any(not torch.equal(p, old) for p, old in zip(trained, before, strict=True))

    refusal = TABLE.REFUSED_METHODS.get((method, host))
    if refusal is None:
        step()
    else:
        with pytest.raises(VlftError) as error:
            step()
        assert refusal in str(error.value)


# method x launch file


def launched(name: str) -> Launch:
    """Return what a run finds when it is started through a launch file."""
    stage = {"zero2": 2, "zero3": 3}.get(name.removeprefix("cpu_"))
    cpu, several = name.startswith("cpu_"), "single" not in name
    return Launch(
        world_size=2 if several else 1,
        device="cpu" if cpu else "cuda",
        num_visible_gpus=0 if cpu else (2 if several else 1),
        through_launcher=True,
        **({} if stage is None else {"zero_stage": stage}),
    )


@pytest.mark.parametrize("launch", TABLE.LAUNCHES)
@pytest.mark.parametrize("row", SCRIPT.launch_rows())
def test_a_launch_takes_a_method_or_refuses_it(row, launch, tmp_path):
    method, host = ("lora", "tiny_clip") if row == "contrastive" else (row, "tiny_llava")
    recipe = recipe_of(method, host, tmp_path)
    refusal = TABLE.REFUSED_LAUNCHES.get((row, launch))
    if refusal is None:
        validate(recipe, launched(launch))
    else:
        with pytest.raises(VlftError) as error:
            validate(recipe, launched(launch))
        assert refusal in str(error.value)


# host x benchmark


@pytest.fixture(scope="module")
def held_out(tmp_path_factory) -> dict[str, list[str]]:
    """Files of one's own by benchmark, as overrides; with and without images."""
    folder = tmp_path_factory.mktemp("held_out")
    for number in range(2):
        Image.new("RGB", (48, 48), (200 * number, 0, 100)).save(folder / f"{number}.png")

    def conversations(name, mark, images):
        rows = []
        for number in range(2):
            turns = [
                {"role": "user", "content": f"{mark}what color is it?"},
                {"role": "assistant", "content": "red"},
            ]
            row = {"messages": turns, "options": ["red", "blue"], "answers": ["red"]}
            rows.append(row | ({"images": [f"{number}.png"]} if images else {}))
        (folder / name).write_text("".join(json.dumps(row) + "\n" for row in rows))
        return f"data.path={folder / name}"

    def table(name, *columns):
        with (folder / name).open("w", newline="") as file:
            writer = csv.writer(file, delimiter="\t")
            writer.writerow(columns)
            for number, label in enumerate(("circle", "square")):
                texts = ["neither" if column == "negative" else label for column in columns[1:]]
                writer.writerow([f"{number}.png", *texts])
        return f"data.path={folder / name}"

    asked = conversations("asked.jsonl", "<image>", images=True)
    return {
        "asked": [asked],
        "text": [conversations("text.jsonl", "", images=False)],
        "custom/pairs": [table("pairs.tsv", "filepath", "title", "negative")],
        "custom/retrieval": [table("retrieval.tsv", "filepath", "title")],
        "custom/classification": [table("labels.tsv", "image", "label")],
    }


SIZES = {"mmeb/image": 4, "mmra": 11, "scienceqa": 20, "aro/vg_attribution": 30, "scenes/": 2}
"""Samples of the world, by the beginning of a benchmark's name; else four."""


def changes_of(name: str, held_out: dict[str, list[str]], *, text_only: bool) -> list[str]:
    """Return overrides that make a benchmark small."""
    if name.startswith("custom/"):
        own = held_out.get(name) or held_out["text" if text_only else "asked"]
        return [*own, *(["max_new_tokens=2"] if "max_new" in text_of(name) else [])]
    size = next((size for start, size in SIZES.items() if name.startswith(start)), 4)
    field = "data" if name.startswith("scenes/") else "world"
    small = [f"{field}.num_samples={size}"]
    if name.startswith("aro/vg_"):
        small.append("settings.macro_min_cases=1")
    return small


@pytest.mark.slow
@pytest.mark.parametrize("host", TABLE.HOSTS)
def test_a_host_takes_a_benchmark_or_it_is_not_applicable(host, pristine, held_out):
    fields = TABLE.HOSTS[host].backbone
    backbone = pristine(TypeAdapter(BackboneSection).validate_python(fields))
    text_only = fields["type"] == "causal_lm"
    for name in TABLE.BENCHMARKS:
        changes = changes_of(name, held_out, text_only=text_only)
        spec = load_benchmark(TABLE.twin(name), changes)
        result, samples = evaluate(backbone, spec, progress=False)
        refusal = TABLE.refused_benchmark(name, host)
        assert (result.status == "scored") == (refusal is None), (name, result.reason)
        if refusal is None:
            assert samples
            assert result.metrics
        else:
            assert refusal in result.reason


def text_of(benchmark: str) -> str:
    return (ROOT / "eval" / f"{benchmark}.yaml").read_text(encoding="utf-8")
