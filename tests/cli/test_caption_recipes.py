"""Recipes that learn captions, on the tiny twin of their host: trained, and asked as trained."""

import copy
import json
from dataclasses import replace

import pytest

from vlft.adapters import apply_adapter
from vlft.backbones.language import PLAIN_CHAT_TEMPLATE
from vlft.data import pipeline
from vlft.data.sample import IGNORED
from vlft.data.scenes.layouts import write_layout
from vlft.evaluation.benchmark import load_benchmark
from vlft.evaluation.driver import evaluate
from vlft.evaluation.scorers.captioning import PAIR_PROMPTS
from vlft.recipe import load_recipe
from vlft.recipe.adapter import DehvfAdapter
from vlft.recipe.data import Captions
from vlft.results import read_result, read_samples

BENCHMARK = "captions/coco_karpathy_test_picture_of"
RECIPES = ("clip_l_llama_7b/dehvf_coco_captions", "clip_l_llama_7b/lora_coco_captions")
SPLITS = {"train": 12, "restval": 4, "val": 4, "test": 4}
TINY = {
    "dehvf": {"groups": 2, "r": 4, "num_learned": 4, "vision_adapter_dim": 2},
    "lora": {"r": 4},
}


@pytest.fixture(scope="session")
def karpathy_file(tmp_path_factory):
    """Scenes in Karpathy's layout, dealt out to his four splits."""
    folder = tmp_path_factory.mktemp("coco")
    write_layout("karpathy", folder, num_samples=sum(SPLITS.values()), seed=1)
    path = folder / "dataset_coco.json"
    content = json.loads(path.read_text())
    splits = [name for name, count in SPLITS.items() for _ in range(count)]
    for image, split in zip(content["images"], splits, strict=True):
        image["split"] = split
    path.write_text(json.dumps(content))
    return path


def on_the_twin(name, path):
    kind = name.partition("/")[2].partition("_")[0]
    tiny = [f"adapter.{field}={value}" for field, value in TINY[kind].items()]
    return [
        "backbone.vision=null", "backbone.language=null", "backbone.config=tiny_llava", *tiny,
        f"data.train.path={path}", f"data.validation.path={path}",
    ]  # fmt: skip


@pytest.mark.parametrize("name", RECIPES)
def test_a_recipe_is_trained_and_measured(vlft, karpathy_file, tmp_path, name):
    run_dir = tmp_path / "run"
    called = vlft(
        "train", name, *on_the_twin(name, karpathy_file), f"training.output_dir={run_dir}",
        "training.max_steps=3", "training.global_batch_size=8", "training.logging_steps=1",
        "training.eval_strategy=epoch", "training.dataloader_num_workers=0",
    )  # fmt: skip
    assert called.status == 0, called.err
    lines = [json.loads(line) for line in (run_dir / "metrics.jsonl").read_text().splitlines()]
    assert len([line for line in lines if "loss" in line]) == 3
    called = vlft("eval", str(run_dir), "--benchmark", BENCHMARK, "--data", str(karpathy_file))
    assert called.status == 0, called.err
    (path,) = (run_dir / "results").glob("*.json")
    result = read_result(path)
    assert result.status == "scored"
    assert result.protocol.ranking_key.prompt_format == "picture_of"
    assert {"cider", "bleu_4"} <= {metric.name for metric in result.metrics}
    samples = read_samples(path.parent / result.samples_file)
    assert [sample.id for sample in samples] == ["20", "21", "22", "23"]  # the test split
    called = vlft(
        "eval", str(run_dir), "--benchmark", BENCHMARK, "--data", str(karpathy_file),
        "data.split=val", "--out", str(tmp_path / "val"),
    )  # fmt: skip
    assert called.status == 0, called.err
    (path,) = (tmp_path / "val").glob("*.samples.jsonl")
    assert [sample.id for sample in read_samples(path)] == ["16", "17", "18", "19"]


@pytest.mark.parametrize("name", RECIPES)
def test_training_and_benchmark_say_the_same(name):
    data = load_recipe(name).recipe.data
    for section in (data.train, data.validation):
        assert isinstance(section, Captions)
        assert section.prompt == PAIR_PROMPTS[load_benchmark(BENCHMARK).prompt_format]
    assert data.train.split == "train+restval"


@pytest.mark.parametrize("template", [None, PLAIN_CHAT_TEMPLATE], ids=["tiny", "LLaVA-1.5"])
@pytest.mark.parametrize("images", ["beside", "tokens"])
def test_the_model_is_asked_what_it_has_learned_from_token_for_token(
    host, karpathy_file, images, template
):
    backbone = host("tiny_llava")
    if template is not None:
        processor = copy.deepcopy(backbone.processor)
        processor.chat_template = processor.tokenizer.chat_template = template
        backbone = replace(backbone, processor=processor)
    if images == "beside":
        section = DehvfAdapter(type="dehvf", **TINY["dehvf"])
        backbone = apply_adapter(backbone, section, {})
    assert backbone.images == images

    name = RECIPES[images == "tokens"]
    data = load_recipe(name, on_the_twin(name, karpathy_file)).recipe.data
    section = data.train.model_copy(update={"split": "test"})  # the images that are asked about
    samples = pipeline.open_samples(backbone, data, section, None)
    learned = {}
    for index in range(len(samples)):
        sample = samples[index]
        supervised = sample.labels != IGNORED
        first = int(supervised.nonzero()[0])
        assert supervised[first:].all()
        answer = backbone.processor.tokenizer.decode(sample.input_ids[first:]).strip()
        assert answer.endswith("</s>")
        assert answer[:-4].strip() == samples.records[index].messages[-1].content[0]
        learned.setdefault(samples.records[index].images[0].path, sample.input_ids[:first].tolist())

    asked = []
    generate = backbone.model.generate

    def spy(**inputs):
        rows = zip(inputs["input_ids"], inputs["attention_mask"], strict=True)
        asked.extend(ids[mask.bool()].tolist() for ids, mask in rows)
        return generate(**inputs)

    backbone.model.generate = spy
    spec = load_benchmark(BENCHMARK, [f"data.path={karpathy_file}"])
    result, _ = evaluate(backbone, spec, progress=False)
    assert result.status == "scored"
    assert asked == [*learned.values()]
