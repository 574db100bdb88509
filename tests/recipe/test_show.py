import json

from vlft.recipe import load_recipe
from vlft.recipe.show import as_dict, as_text, as_yaml


def test_every_value_is_listed_with_its_origin(write, generative):
    loaded = load_recipe(write(generative), ["training.learning_rate=1e-4"])
    lines = [line.split() for line in as_text(loaded).splitlines()]
    assert ["learning_rate", "0.0001", "command", "line"] in lines
    assert ["config", "tiny_llava", "recipe.yaml:1"] in lines
    assert ["weight_decay", "0.0", "default"] in lines
    values = [line for line in lines[1:] if len(line) > 1]
    assert len(values) == len(loaded.origins)


def test_columns_are_aligned_and_sections_indented(write, generative):
    text = as_text(load_recipe(write(generative)))
    rows = [line for line in text.splitlines() if line.endswith("default")]
    columns = {line.rindex("default") for line in rows}
    assert len(columns) == 1
    assert "\ntraining\n  output_dir" in text
    assert text.count("\ndata\n") == 1


def test_the_type_of_a_section_comes_first(write, generative):
    assert "\nadapter\n  type" in as_text(load_recipe(write(generative)))


def test_the_dict_is_json_and_matches_the_recipe(write, generative):
    loaded = load_recipe(write(generative, "mine.yaml"))
    shown = json.loads(json.dumps(as_dict(loaded)))
    assert shown["recipe"] == json.loads(loaded.recipe.model_dump_json())
    assert shown["origins"]["backbone.config"] == "mine.yaml:1"
    assert shown["name"] == "mine"


def test_yaml_quotes_text_that_looks_like_a_number(write, generative):
    loaded = load_recipe(write(generative), ["init_from='1e-4'"])
    assert "init_from: '1e-4'" in as_yaml(loaded.recipe)
