import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from vlft.errors import EvaluationError, UnknownNameError
from vlft.evaluation.metrics import (
    exact_match,
    rank_of_positive,
    recall_at,
    share,
    share_per_group,
    wilson,
)


@pytest.mark.parametrize(
    ("successes", "n", "low", "high"),
    [  # Newcombe, "Two-sided confidence intervals for the single proportion", 1998, method 3
        (81, 263, 0.2553, 0.3662),
        (15, 148, 0.0624, 0.1605),
        (0, 20, 0.0000, 0.1611),
        (1, 29, 0.0061, 0.1718),
    ],
)
def test_wilson_gives_the_published_intervals(successes, n, low, high):
    interval = wilson(successes, n)
    assert (round(interval.low, 4), round(interval.high, 4)) == (low, high)


@given(st.integers(1, 10_000).flatmap(lambda n: st.tuples(st.integers(0, n), st.just(n))))
def test_wilson_holds_the_share_and_mirrors(case):
    successes, n = case
    interval, mirrored = wilson(successes, n), wilson(n - successes, n)
    assert 0 <= interval.low <= successes / n <= interval.high <= 1
    assert interval.low < interval.high
    assert interval.low == pytest.approx(1 - mirrored.high, abs=1e-12)


def test_wilson_narrows_with_n_and_widens_with_the_level():
    def width(*args, **kwargs):
        interval = wilson(*args, **kwargs)
        return interval.high - interval.low

    assert width(300, 1000) < width(30, 100) < width(30, 100, level=0.99)


@pytest.mark.parametrize(
    ("prediction", "answer", "normalization", "equal"),
    [
        ("red", "red", "verbatim", True),
        (" red\n", "red", "verbatim", True),
        ("Red", "red", "verbatim", False),
        ("Red.", "red", "plain", True),
        ("the  red\tone", "The red one!", "plain", True),
        ("red one", "red", "plain", False),
        ("", "red", "plain", False),
        ("3.5", "3.", "plain", False),
        ("Straße", "STRASSE", "plain", True),
    ],
)
def test_exact_match(prediction, answer, normalization, equal):
    assert exact_match(prediction, answer, normalization=normalization) is equal


def test_an_unknown_normalization_names_the_nearest():
    with pytest.raises(UnknownNameError, match="Did you mean 'plain'"):
        exact_match("a", "a", normalization="plane")


def test_share_counts_and_averages_chance():
    metric = share("accuracy", [1.0, 0.0, 0.0, 1.0], chances=[0.5, 0.5, 0.25, 0.25])
    assert (metric.value, metric.n, metric.chance) == (0.5, 4, 0.375)
    assert metric.interval == wilson(2, 4)
    assert share("accuracy", [1.0]).chance is None


def test_share_of_nothing_is_an_error_and_not_zero():
    with pytest.raises(EvaluationError, match="accuracy: no samples"):
        share("accuracy", [])


def test_groups_add_up_to_the_whole():
    scores, groups = [1.0, 0.0, 1.0, 1.0, 0.0], ["b", "a", "b", "a", "c"]
    table = share_per_group("accuracy", scores, groups, chances=[0.1, 0.2, 0.3, 0.4, 0.5])
    assert list(table) == ["a", "b", "c"]
    assert [table[group][0].value for group in table] == [0.5, 1.0, 0.0]
    assert [table[group][0].chance for group in table] == pytest.approx([0.3, 0.2, 0.5])
    whole = sum(metric.value * metric.n for (metric,) in table.values()) / 5
    assert whole == pytest.approx(share("accuracy", scores).value)


@st.composite
def rankings(draw):
    """A few levels of similarity, so that ties are common; one right candidate at least."""
    queries, candidates = draw(st.integers(1, 6)), draw(st.integers(1, 8))
    level = st.lists(st.integers(-1, 2), min_size=candidates, max_size=candidates)
    rows = draw(st.lists(level, min_size=queries, max_size=queries))
    right = st.lists(st.booleans(), min_size=candidates, max_size=candidates).filter(any)
    positive = draw(st.lists(right, min_size=queries, max_size=queries))
    order = draw(st.permutations(range(candidates)))
    return torch.tensor(rows).float(), torch.tensor(positive), torch.tensor(order)


@given(rankings(), st.sampled_from(["for_model", "against_model"]))
def test_rank_agrees_with_sorting_and_not_with_the_order_of_candidates(case, tie_rule):
    similarity, positive, order = case
    ranks = rank_of_positive(similarity, positive, tie_rule=tie_rule)
    permuted = rank_of_positive(similarity[:, order], positive[:, order], tie_rule=tie_rule)
    assert ranks.tolist() == permuted.tolist()
    right_first = tie_rule == "for_model"
    for row, rank in enumerate(ranks.tolist()):
        pairs = zip(similarity[row].tolist(), positive[row].tolist(), strict=True)
        ordered = sorted(pairs, key=lambda pair: (-pair[0], pair[1] != right_first))
        # wrong candidates in front of the first right one
        assert rank == 1 + [is_right for _, is_right in ordered].index(True)


@given(rankings(), st.sampled_from(["for_model", "against_model"]), st.data())
def test_a_candidate_may_stand_for_several_equal_ones(case, tie_rule, data):
    similarity, positive, _ = case
    size = similarity.shape[1]
    copies = torch.tensor(data.draw(st.lists(st.integers(1, 3), min_size=size, max_size=size)))
    ranks = rank_of_positive(similarity, positive, tie_rule=tie_rule, copies=copies)
    written_out = [one.repeat_interleave(copies, dim=1) for one in (similarity, positive)]
    assert ranks.tolist() == rank_of_positive(*written_out, tie_rule=tie_rule).tolist()


def test_a_perfect_similarity_is_found_at_once():
    ranks = rank_of_positive(torch.eye(5), torch.eye(5).bool(), tie_rule="against_model")
    assert recall_at(1, ranks).mean() == 1


@pytest.mark.parametrize(("tie_rule", "recall"), [("for_model", 1.0), ("against_model", 0.0)])
def test_a_collapsed_model_gets_what_the_tie_rule_says(tie_rule, recall):
    ranks = rank_of_positive(torch.ones(20, 20), torch.eye(20).bool(), tie_rule=tie_rule)
    assert recall_at(10, ranks).mean() == recall


def test_random_similarity_gets_chance():
    generator = torch.Generator().manual_seed(0)
    similarity = torch.rand(2000, 100, generator=generator)
    positive = torch.zeros(2000, 100, dtype=torch.bool)
    positive[:, 7] = True
    ranks = rank_of_positive(similarity, positive, tie_rule="against_model")
    interval = wilson(float(recall_at(10, ranks).sum()), 2000, level=0.999)
    assert interval.low < 0.1 < interval.high


@pytest.mark.parametrize("bad", [float("nan"), float("inf")])
def test_a_similarity_that_is_no_number_is_refused(bad):
    similarity = torch.eye(3)
    similarity[1, 2] = bad
    with pytest.raises(EvaluationError, match="query 1"):
        rank_of_positive(similarity, torch.eye(3).bool(), tie_rule="for_model")
