"""BLEU: counts by hand, and what tells a corpus from its captions."""

from math import exp, sqrt

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from vlft.evaluation.captions.bleu import bleu, bleu_counts

CAPTION = st.lists(st.sampled_from("abcd"), max_size=8)


def corpus(*pairs):
    counts = [bleu_counts(said.split(), [r.split() for r in right]) for said, right in pairs]
    return bleu(np.sum(counts, axis=0))


def test_the_counts_of_a_caption():
    """``a c c d``: one c too many; its pairs a-c and c-d are in the reference."""
    assert bleu_counts([*"accd"], [[*"acd"]]) == (3, 2, 0, 0, 4, 3, 2, 1, 4, 3)


def test_an_ngram_counts_as_often_as_in_the_reference_that_has_most_of_it():
    assert bleu_counts([*"aaa"], [[*"ab"], [*"aab"]])[0] == 2


def test_a_corpus_sums_counts_and_is_no_mean_of_its_captions():
    one, two = ("a b", ["a b"]), ("a c c d", ["a c d"])
    both = corpus(one, two)
    assert both[:2] == pytest.approx([5 / 6, sqrt(5 / 6 * 3 / 4)])
    assert (corpus(one)[0] + corpus(two)[0]) / 2 == pytest.approx(7 / 8)


@pytest.mark.parametrize(
    ("said", "lengths", "closest"),
    [
        (3, (2, 4), 2),
        (3, (4, 2), 2),
        (3, (4, 5), 4),
        (3, (1, 5), 1),
        (4, (9, 4), 4),
        (0, (2, 3), 2),
    ],
)
def test_of_two_equally_close_references_the_shorter_one_counts(said, lengths, closest):
    assert bleu_counts(["a"] * said, [["b"] * length for length in lengths])[-1] == closest


def test_a_caption_shorter_than_its_reference_pays():
    assert corpus(("a", ["a b"]))[0] == pytest.approx(exp(1 - 2 / 1))
    assert corpus(("a b c", ["a b"]))[0] == pytest.approx(2 / 3)


def test_the_same_caption_gets_one():
    assert corpus(("a b c d", ["a b c d"]), ("a b c d e", ["a b c d e"])) == pytest.approx([1] * 4)


def test_an_empty_caption_gets_next_to_nothing():
    assert corpus(("", ["a b"])) == pytest.approx([0] * 4)
    assert corpus(("", ["a b"]), ("a b", ["a b"]))[0] == pytest.approx(exp(1 - 4 / 2))


def test_one_axis_or_many_give_the_same():
    counts = np.array([bleu_counts(["a", "b"], [["a", "b", "c"]]), bleu_counts(["b"], [["a"]])])
    assert np.array_equal(bleu(counts), np.stack([bleu(row) for row in counts]))


@given(st.lists(st.tuples(CAPTION, st.lists(CAPTION, min_size=1, max_size=3)), min_size=1))
def test_bleu_is_a_share(pairs):
    found = bleu(np.sum([bleu_counts(*pair) for pair in pairs], axis=0))
    assert np.all((found >= 0) & (found <= 1 + 1e-9))
