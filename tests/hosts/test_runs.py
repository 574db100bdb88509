"""Runs and checkpoint folders of every generative family: trained, saved, read elsewhere."""

import json
import shutil
import subprocess
import sys

import pytest

import vlft
from vlft.backbones import build
from vlft.errors import BackboneError
from vlft.evaluation.capabilities import GenerativeModel
from vlft.recipe.backbone import ImageTextToText

pytestmark = pytest.mark.slow  # every family is trained once

PROBE = """
import json, sys
from functools import partial
import torch
from PIL import Image
from vlft import hub
from vlft.data.collate import ConversationCollator
from vlft.data.encode import ConversationEncoder
from vlft.data.records import Conversation, ImageRef
from vlft.objectives.language_modeling import LanguageModeling
from vlft.types import Message

def probe(backbone):
    turns = (Message("user", (0, 1, "what color is it?")), Message("assistant", ("red",)))
    images = tuple(ImageRef(draw=partial(Image.new, "RGB", (w, 48), "red")) for w in (48, 150))
    sample = ConversationEncoder(backbone.processor)(Conversation("r", turns, images), dataset="d")
    batch = ConversationCollator(backbone.processor)([sample])
    with torch.no_grad():
        logits = LanguageModeling().forward(backbone.model.eval(), batch)["logits"]
    return [len(sample.input_ids), logits.double().sum().item(), logits.double().norm().item()]
"""
RELOAD = PROBE + "print(json.dumps({path: probe(hub.load(path)) for path in sys.argv[1:]}))\n"


def probe(backbone):
    scope = {}
    exec(PROBE, scope)
    return scope["probe"](backbone)


@pytest.fixture(scope="session")
def runs(train, pristine_twins):
    """A finished LoRA run of every family: the same four samples in each of its steps."""
    return {
        name: train(
            "backbone.type=image_text_to_text",
            f"backbone.config={name}",
            "adapter.sites=[vision.attention,language.attention,language.mlp]",
            "data.train.num_samples=4",
            "training.max_steps=3",
            "training.learning_rate=2e-3",
        )
        for name in pristine_twins
    }


@pytest.fixture(scope="session")
def folders(pristine_twins, tmp_path_factory):
    """Every twin as a checkpoint folder, as transformers writes it."""
    made = {}
    for name, twin in pristine_twins.items():
        made[name] = tmp_path_factory.mktemp("checkpoints") / name
        twin.model.save_pretrained(made[name])
        twin.processor.save_pretrained(made[name])
    return made


def section(folder, **values):
    return ImageTextToText(type="image_text_to_text", model=str(folder), **values)


def test_the_loss_falls_in_two_steps(runs, twin):
    lines = (runs[twin.source["config"]] / "metrics.jsonl").read_text().splitlines()
    losses = [json.loads(line)["loss"] for line in lines if '"loss"' in line]
    assert len(losses) == 3
    assert losses[2] < losses[0]


def test_a_fresh_process_loads_equal_runs_and_folders(runs, folders):
    paths = [str(path) for path in (*runs.values(), *folders.values())]
    expected = {path: probe(vlft.load(path)) for path in paths}
    called = subprocess.run(
        [sys.executable, "-c", RELOAD, *paths], capture_output=True, text=True, check=False
    )
    assert called.returncode == 0, called.stderr[-2000:]
    found = json.loads(called.stdout.splitlines()[-1])
    assert found == expected


def test_a_run_answers(runs, twin, prompts):
    model = GenerativeModel(vlft.load(runs[twin.source["config"]]))
    answers = model.generate(prompts, max_new_tokens=4)
    assert all(isinstance(answer, str) for answer in answers)


def test_a_folder_gives_the_twin_back(folders, twin):
    loaded = build(section(folders[twin.source["config"]]))
    assert loaded.local_parts == ()
    assert type(loaded.processor) is type(twin.processor)
    assert probe(loaded) == pytest.approx(probe(twin), rel=1e-6)


@pytest.fixture
def copied(folders, tmp_path):
    def copy(name):
        return shutil.copytree(folders[name], tmp_path / name)

    return copy


def test_paligemma_needs_no_chat_template_and_others_do(copied):
    for name in ("tiny_paligemma", "tiny_gemma3"):
        folder = copied(name)
        (folder / "chat_template.jinja").unlink()
        tokenizer = json.loads((folder / "tokenizer_config.json").read_text())
        tokenizer.pop("chat_template", None)
        (folder / "tokenizer_config.json").write_text(json.dumps(tokenizer))
        if name == "tiny_paligemma":
            assert probe(build(section(folder)))[0] > 0
            continue
        with pytest.raises(BackboneError, match=r"has no chat template, .* `backbone.processor:`"):
            build(section(folder))


def test_weights_in_another_format_than_safetensors_are_refused(copied):
    folder = copied("tiny_qwen2_5_vl")
    (folder / "model.safetensors").rename(folder / "pytorch_model.bin")
    with pytest.raises(BackboneError, match=r"no model.safetensors, and other formats are not"):
        build(section(folder))


@pytest.mark.parametrize(
    ("model", "processor"),
    [("tiny_qwen2_5_vl", "tiny_gemma3"), ("tiny_idefics3", "tiny_internvl")],
)
def test_a_processor_of_another_family_is_refused(folders, model, processor):
    with pytest.raises(BackboneError, match=r"they do not belong together"):
        build(section(folders[model], processor=str(folders[processor])))
