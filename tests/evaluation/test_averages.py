"""Averages over groups: some groups do not count, and that is said."""

import re

import pytest

from vlft.evaluation.averages import GroupRule, kept_groups, macro_shares, macro_weights

NAMES = ["a"] * 3 + ["b"] + ["c"] * 2
SCORES = [1.0, 1.0, 0.0, 0.0, 1.0, 1.0]


def test_groups_are_left_out_by_name_and_by_size():
    assert kept_groups(NAMES, GroupRule()) == ({"a", "b", "c"}, 0, 0, "")
    assert kept_groups(NAMES, GroupRule(frozenset(["a", "z"]))) == ({"b", "c"}, 1, 0, "")
    assert kept_groups(NAMES, GroupRule(min_cases=2)) == ({"a", "c"}, 0, 1, "")
    rule = GroupRule(frozenset(["a"]), 2)
    assert kept_groups(NAMES, rule) == ({"c"}, 1, 1, "")


def test_macro_averages_count_groups_alike():
    kept = kept_groups(NAMES, GroupRule(min_cases=2))
    some, every = macro_shares("_x", SCORES, NAMES, kept, chances=[0.5] * 6)
    assert (some.name, some.n, some.value) == (
        "macro_accuracy_x",
        5,
        pytest.approx((2 / 3 + 1) / 2),
    )
    assert (every.name, every.n) == ("macro_accuracy_all_x", 6)
    assert every.value == pytest.approx((2 / 3 + 0 + 1) / 3)
    assert some.interval.method == every.interval.method == "bootstrap"
    assert some.chance == every.chance == 0.5


@pytest.mark.parametrize(
    ("rule", "message"),
    [
        (GroupRule(frozenset("abc")), r"3 are excluded by name, .* \(no other\); measure more"),
        (
            GroupRule(frozenset("a"), 4),
            r"1 are excluded .* fewer than 4 cases \(the largest one, 'c'",
        ),
    ],
)
def test_nothing_left_gives_no_average_and_says_why(rule, message):
    kept = kept_groups(NAMES, rule)
    assert re.search(f"no group is left .*: of 3 groups in 6 .*{message}", kept.lacking)
    (every,) = macro_shares("", SCORES, NAMES, kept)
    assert every.name == "macro_accuracy_all"


def test_weights_make_the_macro_average_of_the_scores():
    kept = kept_groups(NAMES, GroupRule(min_cases=2))
    weights = macro_weights(NAMES, kept)
    some, _ = macro_shares("", SCORES, NAMES, kept)
    assert sum(w * s for w, s in zip(weights, SCORES, strict=True)) == pytest.approx(some.value)
    assert sum(weights) == pytest.approx(1)
    assert weights[3] == 0
