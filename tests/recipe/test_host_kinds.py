"""Which data and objectives go with which family of hosts, and what each kind of host refuses."""

import pytest

from vlft.errors import RecipeError
from vlft.recipe import load_recipe, validate

HOSTS = {
    "contrastive": "{type: siglip, config: tiny_siglip}",
    "vision": "{type: vision, config: tiny_vit}",
    "generative": "{type: image_text_to_text, config: tiny_llava}",
}
DATA = {
    "contrastive": "{type: scenes, task: pairs}",
    "vision": "{type: scenes, task: classification}",
    "generative": "{type: scenes, task: captioning}",
}
OBJECTIVES = {
    "contrastive": "contrastive", "vision": "classification", "generative": "language_modeling",
}  # fmt: skip


@pytest.fixture
def load(tmp_path):
    def loaded(family, *, data=None, objective=None, backbone=None, more=""):
        path = tmp_path / "recipe.yaml"
        path.write_text(
            f"backbone: {backbone or HOSTS[family]}\nadapter: {{type: full}}\n"
            f"data: {{train: {data or DATA[family]}{more}}}\n"
            f"objective: {{type: {objective or OBJECTIVES[family]}}}\n"
            "training: {global_batch_size: 4, max_steps: 2, learning_rate: 1e-3}\n"
        )
        recipe = load_recipe(path).recipe
        validate(recipe)
        return recipe

    return loaded


@pytest.mark.parametrize("family", HOSTS)
def test_each_family_trains_on_its_own_data_and_loss(family, load):
    assert load(family).backbone.family == family


@pytest.mark.parametrize("family", HOSTS)
@pytest.mark.parametrize("other", HOSTS)
def test_data_and_losses_of_other_families_are_refused(family, other, load):
    if family == other:
        return
    with pytest.raises(RecipeError, match=rf"data.train.task.*a {family} host trains on .*use"):
        load(family, data=DATA[other])
    with pytest.raises(RecipeError, match=rf"use type: {OBJECTIVES[family]}"):
        load(family, objective=OBJECTIVES[other])


def test_members_of_a_mixture_are_looked_at_one_by_one(load):
    mixture = f"{{type: mixture, datasets: [{DATA['vision']}, {DATA['contrastive']}]}}"
    with pytest.raises(
        RecipeError, match=r"datasets.1.task.*trains on labeled images, not on pairs"
    ):
        load("vision", data=mixture)


@pytest.mark.parametrize("family", ["contrastive", "vision"])
def test_image_tokens_are_for_generative_hosts(family, load):
    with pytest.raises(RecipeError, match=r"image_tokens_per_sample.*leave it out"):
        load(family, more=", image_tokens_per_sample: 64")


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ("config: tiny_open_clip, pretrained: openai", "`pretrained` goes with `model`"),
        ("model: ViT-B-32, attn_implementation: sdpa", "open_clip brings its own"),
        ("model: ViT-B-32, processor: a/b", "open_clip brings its own"),
        ("pretrained: openai", "nothing says what to build"),
    ],
)
def test_what_open_clip_has_no_use_for_is_refused(fields, message, load):
    with pytest.raises(RecipeError, match=message):
        load("contrastive", backbone=f"{{type: open_clip, {fields}}}")


def test_a_site_in_no_tower_of_a_vision_host_is_refused(load, tmp_path):
    path = tmp_path / "recipe.yaml"
    load("vision")
    path.write_text(
        path.read_text().replace("{type: full}", "{type: lora, sites: [text.attention]}")
    )
    with pytest.raises(RecipeError, match=r"'text.attention' is in no tower.*vision, head"):
        validate(load_recipe(path).recipe)
