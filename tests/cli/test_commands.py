"""The commands and their options are a contract; a user's mistake is answered on one line."""

import io
import json
import struct
import subprocess
import sys
import zlib

import pytest
from PIL import Image

from vlft.cli import app
from vlft.errors import LaunchError
from vlft.recipe import load_recipe, validate
from vlft.recipe.launch import Launch

COMMANDS = {
    "init": ["--model", "--data", "--recipe", "--adapter", "--out", "--force"],
    "show": ["RECIPE", "KEY=VALUE", "--model", "--samples", "--tokens", "--images", "--json"],
    "train": ["RECIPE", "KEY=VALUE", "--resume", "--prepare-only"],
    "eval": [
        "RUN", "KEY=VALUE", "--suite", "--data", "--check-data", "--predictions", "--policy",
        "--partial", "--name", "--limit", "--batch-size", "--out", "--json"
    ],
    "leaderboard": ["PLACES...", "--out", "--published", "--references", "--samples"],
    "compare": ["A", "B", "--benchmark", "--groups", "--across-protocols", "--json"],
    "predict": ["RUN", "--prompt", "--image", "--max-new-tokens"],
    "merge": ["RUN", "OUT", "--dtype"],
    "list": ["KIND"],
    "env": ["--json"],
}  # fmt: skip


def test_commands_and_options_are_frozen():
    from typer.main import get_command

    found = {}
    for name, command in get_command(app).commands.items():
        found[name] = [
            parameter.opts[-1] if parameter.opts[-1].startswith("--")
            else (parameter.metavar or parameter.name).upper()
            for parameter in command.params
        ]  # fmt: skip
    assert found == COMMANDS


LIGHT = """
import json, sys
from typer.testing import CliRunner
from vlft.cli import app
for arguments in json.loads(sys.argv[1]):
    done = CliRunner().invoke(app, arguments)
    assert done.exit_code == 0, done.output
print(json.dumps(sorted(sys.modules)))
"""


def test_looking_things_up_imports_nothing_heavy():
    calls = [
        ["--help"], ["train", "--help"], ["show", "tiny/lora_scenes", "seed=1"], ["list"],
        ["list", "recipes"], ["list", "adapters"],
    ]  # fmt: skip
    done = subprocess.run(
        [sys.executable, "-c", LIGHT, json.dumps(calls)],
        capture_output=True, text=True, check=True, timeout=60,
    )  # fmt: skip
    modules = set(json.loads(done.stdout.splitlines()[-1]))
    assert not modules & {"torch", "transformers", "peft", "accelerate", "datasets", "numpy"}


def test_list_knows_every_component(vlft):
    from vlft.adapters import ADAPTERS
    from vlft.backbones import BACKBONES
    from vlft.data import DATASETS
    from vlft.data.scenes import QUESTIONS
    from vlft.objectives import OBJECTIVES
    from vlft.recipe.data import DatasetSection
    from vlft.recipe.fields import sections_in

    tables = {
        "adapters": ADAPTERS, "backbones": BACKBONES,
        "datasets": {*DATASETS, "mixture"} & {*sections_in(DatasetSection)},
        "objectives": OBJECTIVES, "questions": QUESTIONS,
    }  # fmt: skip
    for kind, table in tables.items():
        assert vlft("list", kind).out.split() == sorted(table)
    assert "tiny/lora_scenes" in vlft("list", "recipes").out.split()
    assert "scenes/retrieval" in vlft("list", "benchmarks").out.split()
    assert "cpu_ddp" in vlft("list", "launches").out.split()
    assert "tiny_llava" in vlft("list", "configs").out.split()


def test_env_names_versions_and_devices(vlft):
    facts = json.loads(vlft("env", "--json").out)
    assert {"torch", "transformers", "peft"} <= facts["packages"].keys()
    assert f"torch            {facts['packages']['torch']}" in vlft("env").out


# mistakes


def one_line(called) -> str:
    assert called.status == 2, called
    assert "Traceback" not in called.err
    lines = [line for line in called.err.splitlines() if line.startswith("vlft: ")]
    assert len(lines) == 1, called.err
    assert called.err.rstrip().endswith(lines[0])
    return lines[0]


MISTAKES = {
    "unknown recipe": (["tiny/lora_scene"], "Did you mean 'tiny/lora_scenes'?"),
    "unknown key": (["training.learning_rat=1"], "Did you mean 'learning_rate'?"),
    "wrong type": (["training.max_steps=many"], "expected a whole number"),
    "unknown host": (["backbone.config=tiny_lava"], "Did you mean 'tiny_llava'?"),
    "missing data file": (["data.train={type: messages, path: gone.jsonl}"], "does not exist"),
    "site of another host": (
        ["adapter.sites=[text.attention]"],
        "'text.attention' is in no tower of host type assembled",
    ),
    "unknown site": (
        ["adapter.sites=[language.attentions]"],
        "unknown site 'language.attentions'. Did you mean 'language.attention'?",
    ),
    "pattern that matches nothing": (
        ["adapter={type: lora, target_modules: q_prj}"],
        "'q_prj' matches no full module name; near it is 'q_proj'",
    ),
    "adapter that cannot wrap": (
        ["adapter.sites=[language.block]"],
        "lora cannot wrap 'model.language_model.layers.0'",
    ),
    "adapter that has no place": (
        ["adapter={type: peft, peft_type: PROMPT_TUNING, sites: [language.mlp]}"],
        "is not placed on modules",
    ),
    "objective of another host": (
        ["objective.type=contrastive"],
        "host type assembled is generative: use type: language_modeling",
    ),
    "unknown suite": (
        ["evaluation.suite=scenes/retrival", "training.eval_strategy=epoch"],
        "Did you mean 'scenes/retrieval'?",
    ),
    "start from nothing": (["init_from=runs/gone/far"], "'runs/gone/far' is no folder"),
    "start from another host": (["init_from=CLIP"], "is a clip host, but backbone.type"),
}


@pytest.mark.parametrize(("overrides", "message"), MISTAKES.values(), ids=MISTAKES)
def test_mistake_in_a_recipe(overrides, message, vlft, tiny_recipe, tmp_path, request):
    if overrides == ["init_from=CLIP"]:
        overrides = [f"init_from={request.getfixturevalue('clip_run')}"]
    recipe = tiny_recipe["generative"]
    if "=" not in overrides[0]:
        recipe, overrides = overrides[0], []
    run_dir = tmp_path / "run"
    called = vlft("train", recipe, f"training.output_dir={run_dir}", *overrides)
    assert message in one_line(called)
    assert not run_dir.exists()


def test_cyclic_extends(vlft, tmp_path):
    (tmp_path / "a.yaml").write_text("extends: b.yaml\n")
    (tmp_path / "b.yaml").write_text("extends: a.yaml\n")
    assert "a.yaml -> " in one_line(vlft("show", str(tmp_path / "a.yaml")))


def test_existing_run_directory(vlft, tiny_recipe, lora_run):
    before = {path: path.stat().st_mtime_ns for path in lora_run.rglob("*")}
    called = vlft("train", tiny_recipe["generative"], f"training.output_dir={lora_run}")
    assert "exists already: continue it with --resume" in one_line(called)
    assert {path: path.stat().st_mtime_ns for path in lora_run.rglob("*")} == before


def test_nothing_to_resume(vlft, tiny_recipe, tmp_path):
    where = f"training.output_dir={tmp_path / 'run'}"
    called = vlft("train", tiny_recipe["generative"], where, "--resume")
    assert "there is no run in" in one_line(called)


# bad records


def png_header(width, height):
    """A PNG that promises many pixels and holds none."""

    def chunk(kind, data):
        body = kind + data
        return struct.pack(">I", len(data)) + body + struct.pack(">I", zlib.crc32(body))

    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    parts = (chunk(b"IHDR", header), chunk(b"IDAT", zlib.compress(b"")), chunk(b"IEND", b""))
    return b"\x89PNG\r\n\x1a\n" + b"".join(parts)


def jpeg(*, cut: bool) -> bytes:
    buffer = io.BytesIO()
    Image.effect_noise((96, 96), 80).convert("RGB").save(buffer, "JPEG")
    return buffer.getvalue()[: 2000 if cut else None]


BAD_IMAGES = {
    "missing": ("gone.jpg", None, "image not found: 'gone.jpg'"),
    "cut off": ("bad.jpg", jpeg(cut=True), "cannot be decoded: image file is truncated"),
    "bomb": ("bad.png", png_header(20_000, 20_000), "is too large"),
    "no image": ("bad.jpg", b"just text", "is not an image"),
    "outside": ("../secret.jpg", None, "leaves the data root"),
}


def conversations(folder, images: list[str]) -> str:
    turns = [
        {"role": "user", "content": "<image>what is it?"},
        {"role": "assistant", "content": "red"},
    ]
    lines = [
        json.dumps({"id": f"r{number}", "messages": turns, "images": [image]})
        for number, image in enumerate(images)
    ]
    (folder / "data.jsonl").write_text("".join(f"{line}\n" for line in lines))
    return f"data={{train: {{type: messages, path: {folder / 'data.jsonl'}}}}}"


@pytest.mark.parametrize(("name", "content", "message"), BAD_IMAGES.values(), ids=BAD_IMAGES)
def test_bad_image(name, content, message, vlft, tiny_recipe, tmp_path):
    data = conversations(tmp_path, [name])
    if content is not None:
        (tmp_path / name).write_bytes(content)
    run_dir = tmp_path / "run"
    called = vlft("train", tiny_recipe["generative"], data, f"training.output_dir={run_dir}")
    line = one_line(called)
    assert message in line
    assert "data.jsonl, record r0: " in line
    assert not run_dir.exists()


@pytest.mark.parametrize("workers", [0, 1])
def test_bad_image_met_while_training(workers, vlft, tiny_recipe, tmp_path):
    (tmp_path / "good.jpg").write_bytes(jpeg(cut=False))
    (tmp_path / "bad.jpg").write_bytes(jpeg(cut=True))
    data = conversations(tmp_path, ["good.jpg"] * 8 + ["bad.jpg"] * 4)
    called = vlft(
        "train", tiny_recipe["generative"], data, f"training.output_dir={tmp_path / 'run'}",
        f"training.dataloader_num_workers={workers}",
    )  # fmt: skip
    assert "bad.jpg' cannot be decoded: image file is truncated" in one_line(called)


def test_empty_data_set(vlft, tiny_recipe, tmp_path):
    (tmp_path / "data.jsonl").write_text("\n")
    data = f"data.train={{type: messages, path: {tmp_path / 'data.jsonl'}}}"
    run_dir = tmp_path / "run"
    called = vlft("train", tiny_recipe["generative"], data, f"training.output_dir={run_dir}")
    assert "has no records" in one_line(called)
    assert not run_dir.exists()


# what was launched


MISFITS = {
    "several GPUs, one process": (
        Launch(device="cuda", num_visible_gpus=4),
        "4 GPUs are visible, but there is one process",
    ),
    "world size that does not divide": (
        Launch(world_size=3, through_launcher=True),
        "global_batch_size = 4 does not divide among 3 processes",
    ),
}


@pytest.mark.parametrize(("launch", "message"), MISFITS.values(), ids=MISFITS)
def test_launch_that_does_not_fit(launch, message, vlft, tiny_recipe, monkeypatch, tmp_path):
    from vlft.training import launch as launching

    with pytest.raises(LaunchError, match=message):
        validate(load_recipe(tiny_recipe["generative"]).recipe, launch)
    monkeypatch.setattr(launching, "read_launch", lambda: launch)
    run_dir = tmp_path / "run"
    called = vlft("train", tiny_recipe["generative"], f"training.output_dir={run_dir}")
    assert message in one_line(called)
    assert not run_dir.exists()


# through a real shell


def test_unknown_option_in_a_process():
    done = subprocess.run(
        [sys.executable, "-m", "vlft", "train", "tiny/lora_scenes", "--resum"],
        capture_output=True, text=True, timeout=60,
    )  # fmt: skip
    assert (done.returncode, done.stdout) == (2, "")
    assert "No such option: --resum" in done.stderr
    assert "Traceback" not in done.stderr


def test_mistake_in_a_process():
    done = subprocess.run(
        [sys.executable, "-m", "vlft", "show", "tiny/lora_scenes", "seed=x"],
        capture_output=True, text=True, timeout=60,
    )  # fmt: skip
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.startswith("vlft: command line: seed = x: expected a whole number")
    assert done.stderr.count("\n") == 1
