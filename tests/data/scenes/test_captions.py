"""Captions are true, swapped ones are false, and the judge of both is itself right."""

from collections import Counter
from itertools import pairwise

import pytest

from vlft.data.scenes.captions import captions, dense_caption, listing
from vlft.data.scenes.scene import Scene, SceneObject, World, draw_scene
from vlft.data.scenes.swaps import SHUFFLES, hard_captions, swapped_captions
from vlft.data.scenes.truth import holds
from vlft.data.scenes.vocabulary import words_of

RING = SceneObject("ring", "red", "small", "solid", 0, 0)
OVAL = SceneObject("oval", "orange", "large", "striped", 0, 2)
BAR = SceneObject("bar", "blue", "large", "checked", 3, 2)
TWO = Scene(World(), 0, (RING, OVAL))
THREE = Scene(World(max_objects=3), 0, (RING, OVAL, BAR))
pytestmark = pytest.mark.usefixtures("unchecked")

MANY = [draw_scene(1, index, max_objects=1 + index % 4) for index in range(100)]


def test_the_dense_caption_names_every_object_and_relation():
    assert dense_caption(THREE) == (
        "a small solid red ring is left of a large striped orange oval which is above "
        "a large checked blue bar."
    )
    lone = Scene(World(), 0, (BAR,))
    assert dense_caption(lone) == "a large checked blue bar is in row 4 and column 3."
    assert listing(THREE) == "a red ring, an orange oval and a blue bar."


@pytest.mark.parametrize(
    ("sentence", "truth"),
    [
        ("the red ring is left of the orange oval.", True),
        ("the orange oval is left of the red ring.", False),
        ("the red ring is above the orange oval.", False),
        ("the orange oval is right of the red ring.", True),
        ("a red ring and an orange oval.", True),
        ("an orange oval and a red ring.", True),
        ("the orange ring and the red oval.", False),
        ("the striped oval and the solid ring.", True),
        ("the image shows a red ring.", True),
        ("there is a blue ring.", False),
        ("a red ring is in row 1 and column 1.", True),
        ("a red ring is in row 1 and column 2.", False),
        ("a red ring and a red ring.", False),  # one object cannot be named twice
        ("ring red a.", False),
        ("a red ring and.", False),
        ("", False),
    ],
)
def test_truth_of_single_sentences(sentence, truth):
    assert holds(TWO, sentence) is truth


def test_all_captions_are_true_of_their_scene_and_rarely_of_another():
    elsewhere = Counter()
    for scene, other in pairwise(MANY):
        for caption in captions(scene):
            assert holds(scene, caption), caption
            elsewhere[holds(other, caption)] += 1
    assert elsewhere[True] < 0.02 * elsewhere[False]


def test_swapped_captions_are_false_and_their_originals_true():
    for scene in MANY:
        for swap in swapped_captions(scene):
            assert holds(scene, swap.true), swap
            assert not holds(scene, swap.false), swap
            assert sorted(words_of(swap.true)) == sorted(words_of(swap.false))


def test_every_scene_has_its_four_order_swaps_and_two_objects_have_relation_swaps():
    for scene in MANY:
        kinds = Counter(swap.kind for swap in swapped_captions(scene))
        assert kinds["order"] == len(SHUFFLES)
        assert (kinds["relation"] >= 2) == (len(scene.objects) > 1)


def test_swapping_what_two_objects_share_is_no_swap():
    red_oval = SceneObject("oval", "red", "small", "solid", 0, 2)
    attributes = [
        swap
        for swap in swapped_captions(Scene(World(), 0, (RING, red_oval)))
        if swap.kind == "attribute"
    ]
    assert attributes == []


def test_a_swap_that_comes_out_true_is_left_out():
    red_oval = SceneObject("oval", "red", "small", "solid", 3, 0)
    orange_ring = SceneObject("ring", "orange", "small", "solid", 3, 3)
    scene = Scene(World(max_objects=4), 0, (RING, OVAL, orange_ring, red_oval))
    false = [swap.false for swap in swapped_captions(scene)]
    assert "the orange ring and the red oval." not in false


def test_hard_captions_are_false_distinct_and_reuse_the_words():
    plain = {"a", "an"}
    for scene in MANY:
        true = dense_caption(scene)
        hard = hard_captions(scene)
        assert bool(hard) == (len(scene.objects) > 1)
        assert len(set(hard)) == len(hard)
        for caption in hard:
            assert not holds(scene, caption)
            words, others = (
                sorted(word for word in words_of(text) if word not in plain)
                for text in (true, caption)
            )
            assert words == others


def test_relations_are_equally_frequent_in_captions():
    counts = Counter(
        swap.detail[0]
        for index in range(500)
        for swap in swapped_captions(draw_scene(0, index))
        if swap.kind == "relation"
    )
    assert max(counts.values()) < 1.2 * min(counts.values())
