"""The section models: every field is described, defaults hold, and fields do not contradict."""

import pytest
from pydantic import ValidationError

from vlft.recipe.adapter import LoraAdapter
from vlft.recipe.fields import every_section
from vlft.recipe.schema import Recipe
from vlft.recipe.training import TrainingSection

SECTIONS = {section.__name__: section for _, section in every_section()}


@pytest.mark.parametrize("name", sorted(SECTIONS))
def test_every_field_is_described(name):
    for field, info in SECTIONS[name].model_fields.items():
        assert info.description, f"{name}.{field}"
        assert info.description.rstrip().endswith("."), f"{name}.{field}"


@pytest.mark.parametrize("name", sorted(SECTIONS))
def test_sections_are_frozen_and_closed(name):
    config = SECTIONS[name].model_config
    assert config["frozen"]
    assert config["extra"] == "forbid"


def test_a_section_is_frozen():
    with pytest.raises(ValidationError, match="frozen"):
        TrainingSection().bf16 = True


def test_sections_can_be_built_in_python():
    section = LoraAdapter(type="lora", sites=["language.attention"])
    assert section.sites == ("language.attention",)
    recipe = Recipe(
        backbone={"type": "clip", "config": "tiny_clip"},
        adapter=section,
        objective={"type": "contrastive"},
    )
    assert recipe.backbone.family == "contrastive"


def test_the_schema_is_walked_down_to_the_data_sets():
    places = {place for place, _ in every_section()}
    assert {"", "backbone", "adapter", "towers.<name>", "data.train", "data.validation"} <= places
