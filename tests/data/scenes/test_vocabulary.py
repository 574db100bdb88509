"""No sentence leaves the closed vocabulary, and the tiny hosts' word list covers it."""

import re
from importlib.resources import files

import pytest

from vlft.data.scenes.captions import captions
from vlft.data.scenes.pairs import draw_pair, pair_types
from vlft.data.scenes.questions import questions
from vlft.data.scenes.scene import World, draw_in
from vlft.data.scenes.swaps import hard_captions, swapped_captions
from vlft.data.scenes.vocabulary import vocabulary, words_of

pytestmark = pytest.mark.usefixtures("unchecked")


@pytest.fixture
def sentences():
    return set(all_sentences())


def all_sentences():
    world = World(max_objects=4, grid=9, image_size=72)
    for index in range(40):
        scene = draw_in(world, index)
        yield from captions(scene)
        yield from hard_captions(scene)
        yield from (swap.false for swap in swapped_captions(scene))
        for question in questions(scene):
            yield question.text
            yield from question.options
        for subtask in pair_types(world):
            question = draw_pair(world, index, subtask).question
            yield question.text
            yield from question.options


def test_every_word_of_every_sentence_is_in_the_vocabulary(sentences):
    used = {word for sentence in sentences for word in words_of(sentence)}
    assert used <= set(vocabulary())


def test_sentences_are_lower_case_with_single_blanks_and_attached_punctuation(sentences):
    for sentence in sentences:
        assert re.fullmatch(r"[a-z0-9]+[?.,]?( [a-z0-9]+[?.,]?)*", sentence), sentence


def test_the_word_list_of_the_tiny_hosts_covers_the_vocabulary():
    text = files("vlft.backbones").joinpath("configs/words.txt").read_text(encoding="utf-8")
    words = text.splitlines()
    assert set(vocabulary()) <= set(words)
    assert {*"0123456789ABCDE", "yes", "no"} <= set(words)
    assert len(set(words)) == len(words)
