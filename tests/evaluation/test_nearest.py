"""Who is nearest: exact ties, any order, any block size."""

import numpy as np
import pytest

from vlft.evaluation import nearest
from vlft.evaluation.nearest import Outcome, outcome_of, outcomes


def unit(rows):
    rows = np.asarray(rows, dtype=np.float32)
    return rows / np.linalg.norm(rows, axis=1, keepdims=True)


def run(queries, targets, candidates, tie_rule="for_model"):
    own = [np.array(one) for one in candidates]
    return list(outcomes(queries, targets, own, tie_rule=tie_rule))


@pytest.mark.parametrize(
    ("values", "for_model", "against_model"),
    [
        ([3, 1, 2], (0, 0, 0), (0, 0, 0)),
        ([2, 1, 3, 2], (2, 1, 1), (2, 1, 1)),
        ([3, 1, 3, 3], (0, 0, 2), (2, 0, 2)),
        ([3], (0, 0, 0), (0, 0, 0)),
    ],
)
def test_the_tie_rule_decides_equal_values(values, for_model, against_model):
    values = np.array(values, dtype=float)
    assert outcome_of(values, tie_rule="for_model") == Outcome(*for_model)
    assert outcome_of(values, tie_rule="against_model") == Outcome(*against_model)


def test_queries_are_ranked_among_their_own_candidates():
    targets = unit([[1, 0], [0, 1], [1, 1]])
    queries = unit([[1, 0], [1, 0]])
    assert run(queries, targets, [[0, 1, 2], [1, 2]]) == [Outcome(0, 0, 0), Outcome(1, 1, 0)]


def test_equal_vectors_tie_wherever_they_stand():
    generator = np.random.default_rng(0)
    vector = unit(generator.standard_normal((1, 33)))
    queries = unit(generator.standard_normal((5, 33)))
    targets = np.repeat(vector, 101, axis=0)
    own = [generator.permutation(101) for _ in queries]
    assert run(queries, targets, own) == [Outcome(0, 0, 100)] * 5
    assert [one.best for one in run(queries, targets, own, "against_model")] == [1] * 5


def test_blocks_and_the_order_of_candidates_change_nothing(monkeypatch):
    generator = np.random.default_rng(1)
    queries = unit(generator.standard_normal((7, 19)))
    targets = unit(generator.standard_normal((60, 19)))
    own = [generator.choice(60, 20, replace=False) for _ in queries]
    whole = run(queries, targets, own)
    monkeypatch.setattr(nearest, "SIMILARITIES", 61)
    monkeypatch.setattr(nearest, "NUMBERS", 19 * 7)
    assert run(queries, targets, own) == whole
    others = [np.array([one[0], *generator.permutation(one[1:])]) for one in own]
    moved = run(queries, targets, others)
    assert [one.ahead for one in moved] == [one.ahead for one in whole]
    for row, (one, other) in enumerate(zip(whole, moved, strict=True)):
        assert own[row][one.best] == others[row][other.best]
