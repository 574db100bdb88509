"""`vlft init`: from a model and a file to the first step; copies of shipped recipes load."""

import csv
import json
from pathlib import Path

import pytest
import yaml
from PIL import Image

from vlft.recipe import load_recipe
from vlft.recipe.shipped import list_shipped

PALETTE = {"red": (200, 0, 0), "green": (0, 200, 0), "blue": (0, 0, 200)}
NAMES = [list(PALETTE)[number % 3] for number in range(12)]


@pytest.fixture
def mine(tmp_path, monkeypatch) -> Path:
    """A working directory with images of one color each."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "images").mkdir()
    for number, name in enumerate(NAMES):
        Image.new("RGB", (40, 30), PALETTE[name]).save(f"images/{number}.png")
    return tmp_path


@pytest.fixture
def checkpoint(pristine_hosts, tmp_path):
    """Save a tiny host as anybody's checkpoint: weights, config and processor."""

    def save(name: str) -> str:
        backbone = pristine_hosts[name]
        folder = tmp_path / "model"
        backbone.model.save_pretrained(folder)
        backbone.processor.save_pretrained(folder)
        return str(folder)

    return save


def messages(path: Path, *, images: int = 1) -> None:
    """Write a question about each image; about more of them at once in the last record."""
    with path.open("w") as file:
        for number, name in enumerate(NAMES):
            count = images if number == len(NAMES) - 1 else 1
            turns = [
                {"role": "user", "content": "<image>\n" * count + "what color is it?"},
                {"role": "assistant", "content": name},
            ]
            row = {"messages": turns, "images": [f"images/{number}.png"] * count}
            file.write(json.dumps(row) + "\n")


def table(path: Path, columns: tuple[str, ...], *, delimiter: str = ",") -> None:
    with path.open("w", newline="") as file:
        writer = csv.writer(file, delimiter=delimiter)
        writer.writerow(columns)
        for number, name in enumerate(NAMES):
            texts = ["what color is it?", name] if len(columns) == 3 else [name]
            writer.writerow([f"images/{number}.png", *texts])


def lines_of(path: Path) -> list[str]:
    lines = path.read_text().splitlines()
    return [line for line in lines if line.strip() and not line.lstrip().startswith("#")]


def test_three_commands_from_a_model_and_a_file_to_the_first_step(vlft, mine, checkpoint):
    model = checkpoint("tiny_llava")
    messages(mine / "my.jsonl")
    init = vlft("init", "--model", model, "--data", "my.jsonl")
    assert init.status == 0, init.err
    assert "vlft train recipe.yaml" in init.out
    assert len(lines_of(mine / "recipe.yaml")) <= 12
    show = vlft("show", "recipe.yaml", "--samples", "1")
    assert show.status == 0, show.err
    assert "[[" in show.out
    train = vlft("train", "recipe.yaml", "training.max_steps=1", "training.output_dir=run")
    assert train.status == 0, train.err
    assert (mine / "run" / "adapter_model.safetensors").is_file()


@pytest.mark.parametrize(
    ("adapter", "expected"),
    [
        ("lora", {"type": "lora", "quantization": "none", "dtype": "bfloat16"}),
        ("qlora", {"type": "lora", "quantization": "nf4", "dtype": "bfloat16"}),
        ("full", {"type": "full", "quantization": "none", "dtype": "float32"}),
        ("corda", {"type": "corda", "quantization": "none", "dtype": "bfloat16"}),
        ("dehvf", {"type": "dehvf", "quantization": "none", "dtype": "bfloat16"}),
    ],
)
def test_each_way_of_training(vlft, mine, checkpoint, adapter, expected):
    messages(mine / "my.jsonl")
    called = vlft(
        "init", "--model", checkpoint("tiny_llava"), "--data", "my.jsonl", "--adapter", adapter,
        "--out", "sub/mine.yaml",
    )  # fmt: skip
    assert called.status == 0, called.err
    recipe = load_recipe("sub/mine.yaml").recipe
    assert recipe.adapter.type == expected["type"]
    assert recipe.backbone.quantization == expected["quantization"]
    assert recipe.backbone.dtype == expected["dtype"]
    assert recipe.training.global_batch_size == 8  # twelve records do not fill sixteen
    assert len(lines_of(mine / "sub" / "mine.yaml")) <= 12


@pytest.mark.parametrize("images", [1, 3])
def test_a_recipe_of_dehvf_fits_the_tower_and_the_data_and_trains(vlft, mine, checkpoint, images):
    messages(mine / "my.jsonl", images=images)
    model = checkpoint("tiny_llava")
    init = vlft("init", "--model", model, "--data", "my.jsonl", "--adapter", "dehvf")
    assert init.status == 0, init.err
    adapter = load_recipe("recipe.yaml").recipe.adapter
    assert (adapter.type, adapter.groups, adapter.num_patches) == ("dehvf", 2, None)
    assert adapter.max_images == images
    show = vlft("show", "recipe.yaml", "--model")
    assert show.status == 0, show.err
    assert "fuser" in show.out
    train = vlft("train", "recipe.yaml", "training.max_steps=1", "training.output_dir=run")
    assert train.status == 0, train.err
    assert (mine / "run" / "adapter_model.safetensors").is_file()


def test_a_recipe_of_dehvf_pools_images_of_any_size(vlft, mine, tmp_path):
    from vlft.backbones import build
    from vlft.recipe.backbone import ImageTextToText

    backbone = build(ImageTextToText(type="image_text_to_text", config="tiny_qwen2_5_vl"))
    backbone.model.save_pretrained("qwen")
    backbone.processor.save_pretrained("qwen")
    messages(mine / "my.jsonl")
    init = vlft("init", "--model", "qwen", "--data", "my.jsonl", "--adapter", "dehvf")
    assert init.status == 0, init.err
    assert load_recipe("recipe.yaml").recipe.adapter.num_patches == 256


def test_questions_in_a_table(vlft, mine, checkpoint):
    table(mine / "my.csv", ("image_path", "query", "response"))
    called = vlft("init", "--model", checkpoint("tiny_llava"), "--data", "my.csv")
    assert called.status == 0, called.err
    train = load_recipe("recipe.yaml").recipe.data.train
    assert (train.type, train.image_column) == ("question_answer", "image_path")
    assert (train.question_column, train.answer_column) == ("query", "response")


def test_pairs_for_a_contrastive_host(vlft, mine, checkpoint):
    table(mine / "my.tsv", ("filepath", "caption"), delimiter="\t")
    called = vlft("init", "--model", checkpoint("tiny_clip"), "--data", "my.tsv")
    assert called.status == 0, called.err
    recipe = load_recipe("recipe.yaml").recipe
    assert (recipe.data.train.type, recipe.data.train.text_column) == ("pairs", "caption")
    assert recipe.objective.type == "contrastive"
    assert recipe.adapter.sites == (
        "vision.attention", "vision.mlp", "text.attention", "text.mlp"
    )  # fmt: skip
    assert len(lines_of(mine / "recipe.yaml")) <= 12


def test_labeled_images_for_a_vision_host(vlft, mine, tmp_path):
    from vlft.backbones import build
    from vlft.recipe.backbone import Vision

    backbone = build(Vision(type="vision", config="tiny_vit"))
    backbone.model.save_pretrained("vit")
    backbone.processor.save_pretrained("vit")
    table(mine / "my.csv", ("image", "label"))
    called = vlft("init", "--model", "vit", "--data", "my.csv")
    assert called.status == 0, called.err
    recipe = load_recipe("recipe.yaml").recipe
    assert recipe.data.train.type == "classification"
    assert recipe.backbone.labels == ("blue", "green", "red")
    train = vlft("train", "recipe.yaml", "training.max_steps=1", "training.output_dir=run")
    assert train.status == 0, train.err


def test_a_list_of_classes_is_not_overwritten_either(vlft, mine):
    table(mine / "my.csv", ("image", "label"))
    (mine / "recipe.labels.txt").write_text("mine\n")
    called = vlft("init", "--model", "vit", "--data", "my.csv")
    assert called.status == 2
    assert "recipe.labels.txt: the file exists already" in called.err
    assert (mine / "recipe.labels.txt").read_text() == "mine\n"


def test_images_below_the_working_directory(vlft, mine, checkpoint):
    (mine / "data").mkdir()
    messages(mine / "data" / "my.jsonl")
    called = vlft("init", "--model", checkpoint("tiny_llava"), "--data", "data/my.jsonl")
    assert called.status == 0, called.err
    assert load_recipe("recipe.yaml").recipe.data.train.image_root == "."


@pytest.mark.parametrize("name", list_shipped("recipes"))
def test_a_shipped_recipe_is_copied_and_means_the_same(vlft, mine, name):
    called = vlft("init", "--recipe", name, "--out", "copy.yaml")
    assert called.status == 0, called.err
    assert load_recipe("copy.yaml").recipe == load_recipe(name).recipe


def test_nothing_is_overwritten_without_force(vlft, mine):
    (mine / "lora_sft.yaml").write_text("mine\n")
    called = vlft("init", "--recipe", "smolvlm/lora_sft")
    assert called.status == 2
    assert "lora_sft.yaml: the file exists already" in called.err
    assert (mine / "lora_sft.yaml").read_text() == "mine\n"
    assert vlft("init", "--recipe", "smolvlm/lora_sft", "--force").status == 0
    assert yaml.safe_load((mine / "lora_sft.yaml").read_text())["extends"] == "_base/generative"


MISTAKES = {
    "nothing": ([], "needs --model and --data"),
    "half": (["--model", "model"], "needs --model and --data"),
    "both": (
        ["--recipe", "smolvlm/lora_sft", "--data", "my.jsonl"],
        "leave --model and --data out",
    ),
    "unknown recipe": (["--recipe", "smolvlm/lora_sf"], "Did you mean 'smolvlm/lora_sft'?"),
    "unknown adapter": (
        ["--model", "model", "--data", "my.jsonl", "--adapter", "lor"],
        "unknown --adapter 'lor'. Did you mean 'lora'?",
    ),
    "no model": (
        ["--model", "gone/model", "--data", "my.jsonl"],
        "it is no folder here, and the Hub",
    ),
    "no data": (["--model", "model", "--data", "gone.jsonl"], "gone.jsonl"),
    "no format": (["--model", "model", "--data", "odd.csv"], "the columns are image, size"),
    "no language model": (
        ["--model", "clip", "--data", "my.tsv", "--adapter", "dehvf"],
        "and a clip host does not have both: use --adapter lora",
    ),
    "not quantized": (
        ["--model", "clip", "--data", "my.tsv", "--adapter", "qlora"],
        "a clip host has none: use --adapter lora",
    ),
}


@pytest.mark.parametrize(("arguments", "message"), MISTAKES.values(), ids=MISTAKES)
def test_mistakes_are_answered_on_one_line(arguments, message, vlft, mine, pristine_hosts):
    messages(mine / "my.jsonl")
    table(mine / "odd.csv", ("image", "size"))
    for name, folder in (("tiny_llava", "model"), ("tiny_clip", "clip")):
        if folder in arguments:
            pristine_hosts[name].model.save_pretrained(folder)
            pristine_hosts[name].processor.save_pretrained(folder)
    called = vlft("init", *arguments)
    assert called.status == 2, called
    assert message in called.err
    assert not (mine / "recipe.yaml").exists()
