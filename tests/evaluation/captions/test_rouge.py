"""ROUGE-L: published and hand-computed cases, and what holds for all captions."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vlft.evaluation.captions.ptb_like import ptb_like
from vlft.evaluation.captions.rouge import longest_common, rouge_l

CAPTION = st.lists(st.sampled_from("abcd"), max_size=9)


def score(said, *right):
    return rouge_l(ptb_like(said), [ptb_like(text) for text in right])


def test_the_published_example():
    """Lin 2004, section 3.1: S1 and S2 against R give 3/4 and 1/2."""
    reference = "police killed the gunman"
    # precision and recall are equal in both, so every beta gives the same F
    assert score("police kill the gunman", reference) == pytest.approx(3 / 4)
    assert score("the gunman kill police", reference) == pytest.approx(2 / 4)


def test_recall_is_weighted_by_beta():
    precision, recall, squared = 1.0, 2 / 4, 1.2**2
    value = (1 + squared) * precision * recall / (recall + squared * precision)
    assert score("x y", "x y z w") == pytest.approx(value)


def test_the_best_precision_and_the_best_recall_count():
    # precision 2/2 with both, recall 2/4 with the first and 2/2 with the second
    assert score("A cat.", "a big cat sits", "a cat") == pytest.approx(1.0)
    # precision 2/2 with the first one, recall 1/1 with the second one
    assert score("x y", "x z y z", "y") == pytest.approx(1.0)


@pytest.mark.parametrize(("said", "right"), [("", "a cat"), ("a cat", ""), ("", ""), ("x", "y")])
def test_nothing_in_common_is_nothing(said, right):
    assert score(said, right) == 0


@given(CAPTION, CAPTION)
def test_the_longest_common_subsequence_is_that_of_the_usual_table(one, other):
    table = [[0] * (len(other) + 1) for _ in range(len(one) + 1)]
    for row, word in enumerate(one):
        for column, another in enumerate(other):
            table[row + 1][column + 1] = (
                table[row][column] + 1
                if word == another
                else max(table[row][column + 1], table[row + 1][column])
            )
    assert longest_common(one, other) == table[-1][-1]


@given(CAPTION, st.lists(CAPTION, min_size=1, max_size=4), CAPTION, st.data())
def test_another_reference_never_lowers_it_and_their_order_means_nothing(said, right, more, data):
    value = rouge_l(said, right)
    assert 0 <= value <= 1 + 1e-12
    assert rouge_l(said, [*right, more]) >= value - 1e-12
    assert rouge_l(said, data.draw(st.permutations(right))) == value


@given(CAPTION.filter(bool))
def test_the_same_caption_gets_one(caption):
    assert rouge_l(caption, [caption]) == pytest.approx(1.0)
