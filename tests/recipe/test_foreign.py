import re

import pytest

from vlft.errors import RecipeError
from vlft.recipe import load_recipe
from vlft.recipe.fields import every_section, homes_of
from vlft.recipe.foreign import HOMONYMS, KEYS, TYPES
from vlft.recipe.schema import Recipe
from vlft.recipe.upstream import training_arguments


@pytest.mark.parametrize("key", sorted(KEYS))
def test_no_key_of_our_own_is_called_foreign(key):
    assert homes_of(key) == []


@pytest.mark.parametrize("key", sorted(KEYS))
def test_every_field_that_an_answer_names_exists(key):
    fields = {
        f"{place}.{name}".lstrip(".")
        for place, section in every_section()
        for name in section.model_fields
    }
    for name in re.findall(r"`((?:\w+|<tower>)(?:\.(?:\w+|<tower>))*)", KEYS[key]):
        named = re.sub(r"^towers\.(?:<tower>|\w+)", "towers.<name>", name)
        if named.startswith("training.extra"):
            assert KEYS[key].split("{")[1].split(":")[0] in training_arguments()
        else:
            assert named in fields or named.split(".")[0] == "towers", name


@pytest.mark.parametrize(
    ("section", "foreign"), [(section, name) for section in TYPES for name in TYPES[section]]
)
def test_every_type_that_an_answer_names_exists(section, foreign):
    place = "data.train" if section == "data" else section
    types = {
        name
        for at, model in every_section()
        if at == place
        for name in [model.model_fields["type"].annotation.__args__[0]]
    }
    answer = re.match(r"type: (\w+)", TYPES[section][foreign])
    assert answer
    assert answer[1] in types
    assert foreign not in types


@pytest.mark.parametrize(
    ("line", "answer"),
    [
        ("lora_rank: 16", "lora_rank = 16: unknown key. Here: `adapter.r`"),
        (
            "training: {cutoff_len: 2048}",
            "training.cutoff_len = 2048: unknown key. Here: `data.max_length`",
        ),
        ("image_max_pixels: 589824", "`data.image_tokens_per_sample` bounds the image tokens"),
        ("freeze_vit: true", "`towers.vision.train: frozen | full`"),
        ("max_pixels: 1003520", "`data.image_tokens_per_sample` bounds the image tokens"),
        (
            "training: {gradient_accumulation_steps: 8}",
            "follows after launch from `training.global_batch_size`",
        ),
        (
            "training: {deepspeed: zero3.json}",
            "accelerate launch --config_file accelerate_configs/",
        ),
        ("model_name_or_path: a/b", "`backbone.model`"),
        ("training: {warmup_ratio: 0.1}", "`training.warmup_steps`"),
        ("stage: sft", "follows from `objective.type`"),
        ("image_size: 512", "`data.image_tokens_per_sample` bounds the image tokens"),
        ("training: {image_size: 512}", "the size that the host's processor makes"),
        ("load_in_4bit: true", "`backbone.quantization: nf4`"),
    ],
)
def test_a_neighbors_key_is_answered_with_ours(write, generative, line, answer):
    with pytest.raises(RecipeError) as error:
        load_recipe(write(generative + line + "\n"))
    assert answer in str(error.value)
    assert str(error.value).startswith("recipe.yaml:4: ")


def test_a_key_of_ours_that_others_mean_differently_stays_ours_among_data_sets(write, generative):
    with pytest.raises(RecipeError) as error:
        load_recipe(write(generative), ["data.train={type: messages, path: a, image_size: 48}"])
    assert "data.train.image_size = 48: unknown key. It goes with type scenes" in str(error.value)


@pytest.mark.parametrize("key", sorted(HOMONYMS))
def test_a_homonym_is_a_key_of_ours(key):
    assert homes_of(key)
    assert key not in KEYS


def test_the_sections_with_types_are_all_answered_for():
    assert set(TYPES) <= set(Recipe.model_fields)
