"""The generated world: scenes of objects on a grid, with all that can be said about them.

Everything is a function of a seed and an index, equal in every process and on every platform.
``docs/scenes.md`` describes the world, its sentences and its file layouts.
"""

from vlft.data.scenes.captions import captions, dense_caption
from vlft.data.scenes.dataset import SceneDataset
from vlft.data.scenes.maps import labels, masks, surface_normals
from vlft.data.scenes.pair_questions import PAIR_QUESTIONS, pair_relations
from vlft.data.scenes.pairs import ScenePair, draw_pair
from vlft.data.scenes.question_draws import chance, draw_question
from vlft.data.scenes.questions import QUESTIONS, Question, questions
from vlft.data.scenes.raster import render
from vlft.data.scenes.scene import Scene, SceneObject, World, draw_scene
from vlft.data.scenes.swaps import SwappedCaption, hard_captions, swapped_captions
from vlft.data.scenes.truth import holds
from vlft.data.scenes.vocabulary import vocabulary

__all__ = [
    "PAIR_QUESTIONS",
    "QUESTIONS",
    "Question",
    "Scene",
    "SceneDataset",
    "SceneObject",
    "ScenePair",
    "SwappedCaption",
    "World",
    "captions",
    "chance",
    "dense_caption",
    "draw_pair",
    "draw_question",
    "draw_scene",
    "hard_captions",
    "holds",
    "labels",
    "masks",
    "pair_relations",
    "questions",
    "render",
    "surface_normals",
    "swapped_captions",
    "vocabulary",
]
