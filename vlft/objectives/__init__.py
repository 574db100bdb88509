"""Objectives: one file per loss family."""

from collections.abc import Callable
from typing import Any

from vlft.errors import pick
from vlft.objectives.classification import Classification
from vlft.objectives.contrastive import Contrastive
from vlft.objectives.language_modeling import LanguageModeling
from vlft.recipe.objective import ObjectiveSection
from vlft.types import Objective

OBJECTIVES: dict[str, Callable[[Any], Objective]] = {
    "language_modeling": lambda section: LanguageModeling(),
    "classification": lambda section: Classification(label_smoothing=section.label_smoothing),
    "contrastive": lambda section: Contrastive(section.loss, logit_bias=section.logit_bias),
}


def build_objective(section: ObjectiveSection) -> Objective:
    """Return the objective of a recipe."""
    return pick(OBJECTIVES, section.type, kind="objective")(section)


__all__ = ["OBJECTIVES", "build_objective"]
