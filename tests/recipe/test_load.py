import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from vlft.errors import RecipeError
from vlft.recipe import load_recipe
from vlft.recipe.fields import every_section
from vlft.recipe.origins import leaves
from vlft.recipe.show import as_dict, as_yaml


def test_files_overrides_and_defaults_are_told_apart(write, generative):
    path = write(generative + "training:\n  learning_rate: 3e-4\n  bf16: true\n")
    loaded = load_recipe(path, ["training.bf16=false", "training.max_steps=1e3"])
    training = loaded.recipe.training
    assert (training.learning_rate, training.bf16, training.max_steps) == (3e-4, False, 1000)
    assert str(loaded.origins["training.learning_rate"]) == "recipe.yaml:5"
    assert str(loaded.origins["training.bf16"]) == "command line"
    assert str(loaded.origins["training.max_steps"]) == "command line"
    assert str(loaded.origins["training.weight_decay"]) == "default"
    assert str(loaded.origins["adapter.sites"]) == "recipe.yaml:2"
    assert loaded.values["training"] == {"learning_rate": 3e-4, "bf16": False, "max_steps": 1000}


def test_every_leaf_has_an_origin(write, generative):
    loaded = load_recipe(write(generative))
    names = {".".join(keys) for keys, _ in leaves(loaded.recipe.model_dump(mode="json"))}
    assert set(loaded.origins) == names


def test_names(write, generative, tmp_path):
    assert load_recipe("tiny/lora_scenes").name == "tiny/lora_scenes"
    assert load_recipe(load_recipe("tiny/lora_scenes").path).name == "tiny/lora_scenes"
    assert load_recipe(write(generative, "mine.yaml")).name == "mine"
    write(generative, "runs/first/recipe.yaml")
    loaded = load_recipe("runs/first")
    assert loaded.name == "first"
    assert loaded.path == tmp_path / "runs" / "first" / "recipe.yaml"


def test_another_adapter_on_the_command_line_replaces_the_section(write, generative):
    path = write(generative)
    assert load_recipe(path, ["adapter.type=full"]).recipe.adapter.type == "full"
    loaded = load_recipe(path, ["adapter.r=4"])
    assert (loaded.recipe.adapter.r, loaded.recipe.adapter.sites) == (4, ("language.attention",))


def test_text_and_booleans_are_not_mixed_up(write, generative):
    path = write(generative + "training: {eval_strategy: no}\n")
    assert load_recipe(path).recipe.training.eval_strategy == "no"
    with pytest.raises(RecipeError, match="expected true or false, not text; write true"):
        load_recipe(path, ["training.bf16=yes"])


def test_a_boolean_is_no_number(write, generative):
    with pytest.raises(RecipeError, match="expected a whole number, not a boolean"):
        load_recipe(write(generative), ["training.global_batch_size=true"])


def test_a_free_mapping_keeps_what_was_written(write, generative):
    path = write(generative + "training:\n  extra:\n    label_smoothing_factor: 1e-1\n")
    loaded = load_recipe(path)
    assert loaded.recipe.training.extra == {"label_smoothing_factor": 0.1}
    assert str(loaded.origins["training.extra.label_smoothing_factor"]) == "recipe.yaml:6"


def test_no_overrides_is_not_an_empty_recipe(write, generative):
    assert load_recipe(write(generative), []).recipe.backbone.config == "tiny_llava"


def test_the_resolved_recipe_loads_to_an_equal_one(write):
    loaded = load_recipe("tiny/lora_scenes", ["init_from='1e-4'", "training.adam_epsilon=1e-8"])
    again = load_recipe(write(as_yaml(loaded.recipe), "run/recipe.yaml").parent)
    assert again.recipe == loaded.recipe
    assert json.loads(again.recipe.model_dump_json()) == json.loads(loaded.recipe.model_dump_json())


def test_an_unknown_recipe_gets_the_near_one():
    with pytest.raises(
        RecipeError, match=r"^tiny/lora_scene: there is no such file.*tiny/lora_scenes"
    ):
        load_recipe("tiny/lora_scene")


def test_a_folder_without_a_recipe_is_no_recipe(tmp_path):
    with pytest.raises(RecipeError, match="there is no such file"):
        load_recipe(tmp_path)


FIELDS = sorted(
    f"{place}.{name}".lstrip(".").replace("<name>", "vision")
    for place, section in every_section()
    for name in section.model_fields
)
VALUES = ["x", "''", "'1'", "-1", "0", "1.5", "1e400", ".nan", "true", "null", "[]", "[1, [x]]"]
VALUES += ["{}", "{a: {b: 1}}", "{type: lora}", "{type: [1]}", "{type: scenes, r: {}}", "9" * 400]


@given(st.lists(st.tuples(st.sampled_from(FIELDS), st.sampled_from(VALUES)), max_size=3))
@settings(deadline=None, max_examples=50)
def test_whatever_is_written_the_answer_is_a_recipe_or_a_recipe_error(written):
    overrides = [f"{field}={value}" for field, value in written]
    try:
        loaded = load_recipe("tiny/lora_scenes", overrides)
    except RecipeError as error:
        lines = str(error).splitlines()
        assert len(lines) <= 6
        places = ("command line: ", "recipes/", "... ", "/")
        assert all(line.startswith(places) or "(default)" in line for line in lines)
    else:
        assert set(loaded.origins) == {
            ".".join(keys) for keys, _ in leaves(as_dict(loaded)["recipe"])
        }
