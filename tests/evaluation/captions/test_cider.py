"""CIDEr-D: cases worked out by hand, and what holds for all corpora."""

from math import exp, sqrt

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vlft.evaluation.captions.cider import cider_d

CAPTION = st.lists(st.sampled_from("abcd"), max_size=7)
IMAGE = st.tuples(CAPTION, st.lists(CAPTION, min_size=1, max_size=3))


def score(*images):
    return cider_d(
        [said.split() for said, _ in images],
        [[text.split() for text in right] for _, right in images],
    )


OTHER = ("c", ["a d"])
"""Shares the word a with the first image, which then weighs nothing."""


def test_two_images_by_hand():
    """b and the pair a-b are in one of two images: cosines 1, 1, 0, 0 for lengths 1 to 4."""
    assert score(("a b", ["a b"]), OTHER) == pytest.approx([10 * (1 + 1) / 4, 0])


def test_counts_are_clipped_and_a_difference_of_length_costs():
    """The second b counts in the norm and not in the product; the lengths differ by one."""
    cosines = [1 / 2, 1 / sqrt(2)]
    penalty = exp(-1 / (2 * 6**2))
    first, _ = score(("a b b", ["a b"]), OTHER)
    assert first == pytest.approx(10 * penalty * sum(cosines) / 4)


def test_length_is_counted_in_pairs_of_words():
    """An empty caption and one of a single word have no pair; one of two words has one."""
    (first, _), (second, _) = score(("b", ["b"]), OTHER), score(("b", ["b c"]), OTHER)
    assert first == pytest.approx(10 / 4)
    assert second == pytest.approx(10 / 4 * exp(-1 / 72) / sqrt(2))


def test_references_are_averaged():
    first, _ = score(("a b", ["a b", "a e f g"]), OTHER)
    assert first == pytest.approx(10 * (1 + 1) / 4 / 2)


def test_with_one_image_there_is_nothing_rare():
    assert score(("a b c d", ["a b c d"])) == [0]


def test_an_empty_caption_or_reference_is_nothing():
    assert score(("", ["a b"]), ("x", [""]), OTHER) == [0, 0, 0]
    assert cider_d([], []) == []


def test_right_captions_of_different_words_get_the_most():
    assert score(("a b c d", ["a b c d"]), ("e f g h", ["e f g h"])) == pytest.approx([10, 10])


@given(st.lists(IMAGE, min_size=1, max_size=6), st.data())
def test_the_order_of_images_means_nothing(images, data):
    found = cider_d(*zip(*images, strict=True))
    assert all(0 <= value <= 10 + 1e-9 for value in found)
    order = data.draw(st.permutations(range(len(images))))
    again = cider_d(*zip(*(images[place] for place in order), strict=True))
    assert again == [found[place] for place in order]
