import json
import re

import pytest

from vlft.recipe import load_recipe
from vlft.recipe.extends import read_layers
from vlft.recipe.json_schema import json_schema, write_json_schema
from vlft.recipe.origins import plain
from vlft.recipe.shipped import find_shipped, list_shipped, shipped_root
from vlft.recipe.show import as_dict
from vlft.recipe.yaml_file import read_yaml

SCHEMA = json_schema()
FILES = sorted(shipped_root("recipes").rglob("*.yaml"))
TYPES = {
    "object": dict,
    "array": list,
    "string": str,
    "boolean": bool,
    "null": type(None),
    "integer": int,
    "number": (int, float),
}
BOUNDS = {
    "minimum": lambda value, bound: value >= bound,
    "maximum": lambda value, bound: value <= bound,
    "exclusiveMinimum": lambda value, bound: value > bound,
    "exclusiveMaximum": lambda value, bound: value < bound,
}
NOTES = {"description", "title", "default", "$defs", "$schema"}


def problems(value, schema, at="recipe"):
    """Yield where a value breaks a schema: the part of JSON Schema that ours uses, and no more."""
    for word, rule in schema.items():
        if word == "$ref":
            yield from problems(value, SCHEMA["$defs"][rule.removeprefix("#/$defs/")], at)
        elif word == "type":
            is_boolean = isinstance(value, bool) and rule in ("integer", "number")
            if not isinstance(value, TYPES[rule]) or is_boolean:
                yield f"{at}: not {rule}"
        elif word == "anyOf":
            if not any(not list(problems(value, option, at)) for option in rule):
                yield f"{at}: fits none"
        elif word == "const":
            if value != rule:
                yield f"{at}: not {rule}"
        elif word == "enum":
            if value not in rule:
                yield f"{at}: not among {rule}"
        elif word == "required":
            yield from (f"{at}: no {name}" for name in rule if name not in value)
        elif word == "properties":
            if isinstance(value, dict):
                for name in value.keys() & rule.keys():
                    yield from problems(value[name], rule[name], f"{at}.{name}")
        elif word == "additionalProperties":
            if isinstance(value, dict):
                for name in value.keys() - schema.get("properties", {}).keys():
                    if rule is False:
                        yield f"{at}: unknown {name}"
                    elif rule is not True:
                        yield from problems(value[name], rule, f"{at}.{name}")
        elif word == "propertyNames":
            for name in value:
                yield from problems(name, rule, f"{at}.{name}")
        elif word == "items":
            if isinstance(value, list):
                for item in value:
                    yield from problems(item, rule, f"{at}[]")
        elif word in BOUNDS:
            if isinstance(value, int | float) and not BOUNDS[word](value, rule):
                yield f"{at}: {word} {rule}"
        else:
            assert word in NOTES, f"the schema uses {word!r}, which this check does not know"


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_every_shipped_file_fits(path):
    values = plain(read_yaml(path, shown=path.name))
    schema = SCHEMA if path.parent.name != "_base" else SCHEMA | {"anyOf": [{}]}
    assert list(problems(values, schema)) == []


@pytest.mark.parametrize("name", list_shipped("recipes"))
def test_every_resolved_recipe_fits(name):
    assert list(problems(plain(read_layers(find_shipped("recipes", name))), SCHEMA)) == []
    assert list(problems(as_dict(load_recipe(name))["recipe"], SCHEMA)) == []


@pytest.mark.parametrize(
    "values",
    [
        {"extends": 3},
        {"extends": "a", "trainingg": {}},
        {"extends": "a", "training": {"learning_rat": 1e-4}},
        {"extends": "a", "training": {"bf16": "yes"}},
        {"extends": "a", "training": {"global_batch_size": 0}},
        {"extends": "a", "training": {"global_batch_size": True}},
        {"extends": "a", "adapter": {"type": "full", "r": 8}},
        {"extends": "a", "adapter": {"type": "loraa"}},
        {"extends": "a", "towers": {"visoin": {}}},
        {"extends": "a", "data": {"train": {"type": "scenes", "path": "x"}}},
        {"extends": "a", "data": {"train": {"type": "scenes", "questions": ["colr"]}}},
        {"adapter": {"type": "full"}},
    ],
)
def test_mistakes_do_not_fit(values):
    assert list(problems(values, SCHEMA))


@pytest.mark.parametrize(
    "values",
    [
        {"extends": ["a", "b"], "training": {"learning_rate": 1e-4}},
        {"extends": "a", "adapter": {"r": 8}},
        {"extends": "a", "data": {"validation": None}},
    ],
)
def test_a_file_that_extends_gives_only_what_differs(values):
    assert list(problems(values, SCHEMA)) == []


def test_editors_are_told_what_a_field_means():
    training = SCHEMA["$defs"]["TrainingSection"]["properties"]
    assert "over all processes" in training["global_batch_size"]["description"]
    assert training["warmup_steps"]["description"].startswith("Optimizer steps")
    assert "description" in SCHEMA["properties"]["extends"]


def test_no_dangling_reference():
    references = re.findall(r'"#/\$defs/(\w+)"', json.dumps(SCHEMA))
    assert references
    assert set(references) <= set(SCHEMA["$defs"])


def test_the_file_holds_the_schema(tmp_path):
    path = tmp_path / "schema.json"
    write_json_schema(path)
    assert json.loads(path.read_text()) == SCHEMA
