"""Recipes and data in the style of neighboring frameworks: every key maps or is refused by name."""

import json
from pathlib import Path

import pytest
import yaml
from PIL import Image
from pydantic import TypeAdapter

from vlft.data import open_dataset
from vlft.errors import DataError, RecipeError
from vlft.recipe import load_recipe
from vlft.recipe.data import DatasetSection

HERE = Path(__file__).parent
RECIPES = sorted(HERE.glob("*/*.yaml"))
OURS = """\
backbone: {type: assembled, config: tiny_llava}
adapter: {type: lora, sites: [language.mlp]}
data: {train: {type: sharegpt, path: "hub:me/receipts"}}
objective: {type: language_modeling}
"""


def keys_of(path: Path) -> list[tuple[str, object]]:
    """Keys of a snippet as overrides, with ``data.train.`` before those of a data set's entry."""
    values = yaml.safe_load(path.read_text())
    entry = values.pop("data.train", {})
    return [*values.items(), *((f"data.train.{key}", value) for key, value in entry.items())]


def answer(recipe: Path, key: str, value: object) -> str | None:
    """Return what a recipe with a foreign key is told; None where the key is ours."""
    try:
        load_recipe(recipe, [f"{key}={json.dumps(value)}"])
    except RecipeError as error:
        return str(error)
    return None


def test_there_are_twenty_of_them():
    snippets = [path for path in HERE.glob("*/*") if path.suffix in (".yaml", ".json", ".jsonl")]
    assert len(snippets) >= 20
    assert {path.parent.name for path in snippets} == {
        "llama_factory",
        "ms_swift",
        "trl",
        "axolotl",
    }


@pytest.mark.parametrize("path", RECIPES, ids=lambda path: f"{path.parent.name}/{path.stem}")
def test_every_key_maps_or_is_refused_by_name(path, tmp_path):
    recipe = tmp_path / "ours.yaml"
    recipe.write_text(OURS)
    for key, value in keys_of(path):
        said = answer(recipe, key, value)
        if said is None:
            continue  # ours, such as `seed` or `data.train.split`
        told = ("Here: ", "It belongs in ", "As a field of TrainingArguments it is training.extra.")
        assert any(way in said for way in told), said


# data


READ = {
    "llama_factory/alpaca.json": (
        {"type": "question_answer", "question_column": "instruction", "answer_column": "output",
         "image_column": "images"},
        [("What does the sign say?", "Stop.", 1), ("Name a color.", "Red.", 0)],
    ),
    "llama_factory/sharegpt.json": ({"type": "sharegpt"}, [("Answer briefly.", "Red.", 1)]),
    "ms_swift/messages.jsonl": (
        {"type": "messages"}, [("Answer briefly.", "Stop.", 1), ("Name a color.", "Red.", 0)]
    ),
    "ms_swift/query_response.jsonl": (
        {"type": "question_answer", "question_column": "query", "answer_column": "response",
         "image_column": "images"},
        [("What does the sign say?", "Stop.", 1), ("Which one is a sign?", "The first.", 2)],
    ),
    "trl/prompt_completion.jsonl": (
        {"type": "question_answer", "question_column": "prompt", "answer_column": "completion",
         "image_column": "images"},
        [("What does the sign say?", "Stop.", 1)],
    ),
    "trl/conversational.jsonl": ({"type": "messages"}, [("What does the sign say?", "Stop.", 1)]),
    "axolotl/messages.jsonl": ({"type": "messages"}, [("What does the sign say?", "Stop.", 1)]),
}  # fmt: skip
"""Snippet to our section, and per record the first text, the last answer and the images."""

REFUSED = {
    "axolotl/url.jsonl": ({"type": "messages"}, "https://example.com/sign.png"),
}
"""Snippet to our section, and what the refusal names."""


@pytest.fixture
def copied(tmp_path):
    """Give a data snippet in a folder with its images."""

    def copy(name):
        for image in ("sign.png", "sky.png"):
            Image.new("RGB", (8, 8)).save(tmp_path / image)
        target = tmp_path / Path(name).name
        target.write_text((HERE / name).read_text())
        return target

    return copy


def test_every_data_snippet_is_in_a_table():
    found = {
        f"{p.parent.name}/{p.name}" for p in HERE.glob("*/*") if p.suffix in (".json", ".jsonl")
    }
    assert found == READ.keys() | REFUSED.keys()


@pytest.mark.parametrize("name", READ)
def test_data_are_read(name, copied):
    fields, expected = READ[name]
    fields = {"path": str(copied(name)), **fields}
    records = open_dataset(TypeAdapter(DatasetSection).validate_python(fields))
    found = []
    for index in range(len(records)):
        record = records[index]
        texts = [
            "".join(piece for piece in turn.content if isinstance(piece, str))
            for turn in record.messages
        ]
        found.append((texts[0], texts[-1], len(record.images)))
    assert found == expected


@pytest.mark.parametrize("name", REFUSED)
def test_data_that_cannot_be_read_are_refused_by_name(name, copied):
    fields, named = REFUSED[name]
    fields = {"path": str(copied(name)), **fields}
    with pytest.raises(DataError) as error:
        open_dataset(TypeAdapter(DatasetSection).validate_python(fields))[0]
    assert named in str(error.value)
