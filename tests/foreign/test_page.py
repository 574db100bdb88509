"""docs/from-other-frameworks.md: its tables are those of the code, and its examples are real."""

import importlib.util
import re
from pathlib import Path

import pytest
import yaml
from pydantic import TypeAdapter

from vlft.errors import RecipeError
from vlft.recipe import load_recipe
from vlft.recipe.data import DatasetSection

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "from-other-frameworks.md").read_text(encoding="utf-8")


@pytest.fixture(scope="module")
def script():
    path = ROOT / "scripts" / "foreign_keys.py"
    spec = importlib.util.spec_from_file_location("foreign_keys", path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_the_tables_are_up_to_date(script):
    """Else run: python scripts/foreign_keys.py"""
    assert script.page() == PAGE


@pytest.mark.parametrize(
    ("override", "message"), re.findall(r"^\$ vlft show mine\.yaml (.*)\n(.*)$", PAGE, re.MULTILINE)
)
def test_each_shown_answer_is_the_real_one(override, message, tmp_path):
    (tmp_path / "mine.yaml").write_text(
        "backbone: {type: assembled, config: tiny_llava}\n"
        "adapter: {type: full}\nobjective: {type: language_modeling}\n"
    )
    with pytest.raises(RecipeError) as error:
        load_recipe(tmp_path / "mine.yaml", [override])
    assert str(error.value) == message


def test_the_sections_of_the_data_table_are_valid():
    shown = re.findall(r"`(\{type: [^`]*\})`", PAGE)
    sections = [text for text in shown if "..." not in text]
    assert len(sections) >= 6
    for text in sections:
        TypeAdapter(DatasetSection).validate_python(yaml.safe_load(text))
