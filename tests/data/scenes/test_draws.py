"""Draws are uniform, independent of each other, and the same everywhere."""

from collections import Counter

from vlft.data.scenes.draws import Draws


def test_a_draw_is_a_fixed_function_of_key_and_purpose():
    # Golden: a change here changes every scene that anyone has trained or been measured on.
    golden = [245, 269, 619, 474, 427]
    assert [Draws((0, index)).below(1000, "a", 1) for index in range(5)] == golden


def test_several_draws_at_once_are_independent():
    pairs = Counter(Draws((index,)).each((2, 3), "both") for index in range(3000))
    assert len(pairs) == 6
    assert min(pairs.values()) > 420


def test_values_are_equally_frequent():
    counts = Counter(Draws((7, index)).below(10, "digit") for index in range(5000))
    assert min(counts.values()) > 420
    assert max(counts.values()) < 580


def test_purposes_do_not_share_values():
    draws = Draws((3,))
    same = sum(draws.below(100, "a", i) == draws.below(100, "b", i) for i in range(2000))
    assert same < 50


def test_a_shuffle_is_a_permutation_and_reaches_every_one():
    orders = Counter(Draws((index,)).shuffled("abc", "order") for index in range(1200))
    assert all(sorted(order) == list("abc") for order in orders)
    assert len(orders) == 6
    assert min(orders.values()) > 140


def test_a_longer_key_gives_other_draws():
    draws = Draws((1,))
    assert draws.within("x").key == (1, "x")
    assert draws.within("x").below(10**9, "a") != draws.below(10**9, "a")
