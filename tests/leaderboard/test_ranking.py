import random

import pytest

from vlft.leaderboard import leaderboard
from vlft.leaderboard.ranking import newest, ranked, tables_of


def names(rows):
    return [row.entry.model.name for row in rows]


def test_equal_values_share_a_rank_and_the_next_counts_them_all(entry):
    values = {"a": 0.5, "b": 0.9, "c": 0.7, "d": 0.7}
    rows = ranked([entry(name, value) for name, value in values.items()])
    assert names(rows) == ["b", "c", "d", "a"]
    assert [row.rank for row in rows] == [1, 2, 2, 4]
    assert [row.tied for row in rows] == [False, True, True, False]


def test_nearly_equal_values_are_no_tie(entry):
    rows = ranked([entry("a", 0.1 + 0.2), entry("b", 0.3)])
    assert [(row.entry.model.name, row.rank) for row in rows] == [("a", 1), ("b", 2)]


def test_where_lower_is_better_the_lowest_leads(entry):
    rows = ranked([entry(n, v, direction="lower") for n, v in (("a", 3.0), ("b", 1.5), ("c", 2.0))])
    assert names(rows) == ["b", "c", "a"]
    assert [row.rank for row in rows] == [1, 2, 3]


def test_where_no_direction_is_known_nothing_ranks(entry):
    (table,) = tables_of([entry("a", 1.0, direction=None), entry("b", 2.0, direction=None)])
    assert [row.rank for row in table.rows] == [None, None]
    assert table.note is not None
    assert "direction" in table.note


def test_the_order_of_files_changes_nothing(entry):
    entries = [entry(f"m{number}", value) for number, value in enumerate((0.5, 0.5, 0.9, 0.1, 0.9))]
    expected = tables_of(entries)
    for seed in range(5):
        shuffled = list(entries)
        random.Random(seed).shuffle(shuffled)
        assert tables_of(shuffled) == expected


def test_limited_entries_never_enter_the_table_of_the_full_ones_and_do_not_rank(entry):
    parts = [entry(name, 0.9, status="limited", low=0.4, high=0.95) for name in ("part", "half")]
    full, limited = tables_of([parts[0], entry("full", 0.5, low=0.3, high=0.7), parts[1]])
    assert [(table.limited, names(table.rows)) for table in (full, limited)] == [
        (False, ["full"]),
        (True, ["half", "part"]),
    ]
    assert full.key == limited.key
    assert full.differs == limited.differs == ()
    assert [(row.rank, row.near_leader) for row in limited.rows] == [(None, False), (None, False)]
    assert limited.note is not None
    assert "part of the data" in limited.note


def test_of_two_parts_none_supersedes_the_other(entry):
    day = "2026-11-02T00:00:00+00:00"
    parts = [dated(entry, day, status="limited", n=n) for n in (20, 200)]
    (table,) = tables_of(parts)
    assert len(table.rows) == 2
    assert table.superseded == ()


@pytest.mark.parametrize(
    ("low", "high", "near"), [(0.5, 0.79, False), (0.5, 0.8, True), (0.85, 0.86, True)]
)
def test_an_interval_that_meets_the_leaders_is_marked(entry, low, high, near):
    leader = entry("leader", 0.9, low=0.8, high=0.95)
    rows = ranked([leader, entry("other", 0.7, low=low, high=high), entry("without", 0.6)])
    assert [row.near_leader for row in rows] == [False, near, False]


@pytest.mark.parametrize(
    "change",
    [
        {"benchmark": "other"},
        {"made_by": "lmms-eval"},
        {"metric": "f1"},
        {"dataset_revision": "b"},
        {"tie_rule": None},
    ],
)
def test_entries_whose_keys_differ_are_never_ranked_together(entry, change):
    base = {"dataset_revision": "a", "tie_rule": "for_model"}
    tables = tables_of([entry("a", 0.9, key=base), entry("b", 0.8, key=base | change)])
    assert [[row.rank for row in table.rows] for table in tables] == [[1], [1]]


def test_a_table_says_in_what_it_differs_from_the_others_of_its_benchmark(entry):
    base = {"prompt_format": "x", "decoding": "greedy"}
    tables = tables_of(
        [entry("a", key=base), entry("b", key=base | {"decoding": "logits"}), entry("c", key=base)]
    )
    assert [table.differs for table in tables] == [("decoding",), ("decoding",)]
    assert [len(table.rows) for table in tables] == [2, 1]
    (alone,) = tables_of([entry("a", key=base)])
    assert alone.differs == ()


def test_the_generated_world_comes_last(entry):
    found = tables_of([entry(key={"benchmark": name}) for name in ("scenes/a", "zoo", "aro")])
    assert [table.benchmark for table in found] == ["aro", "zoo", "scenes/a"]


def dated(entry, day, value=0.5, *, weights="w", **changes):
    return entry("m", value, weights=weights, date=day, file=f"{day}-{value}.json", **changes)


def test_the_newest_result_of_a_model_counts(entry):
    old = dated(entry, "2026-11-02T00:00:00+00:00", 0.9)
    new = dated(entry, "2026-11-03T00:00:00+00:00", 0.4)
    (table,) = tables_of([old, new])
    assert [row.entry for row in table.rows] == [new]
    assert table.superseded == (old,)


def test_dates_are_compared_as_times_and_not_as_texts(entry):
    # 23:00 at UTC-2 is later than 00:30 UTC of the next day
    late = dated(entry, "2026-11-02T23:00:00-02:00")
    early = dated(entry, "2026-11-03T00:30:00+00:00")
    kept, old = newest([early, late])
    assert (kept, old) == ([late], [early])


def test_a_result_without_a_date_is_older_than_any_other(entry):
    dateless, nonsense = dated(entry, None), dated(entry, "soon")
    new = dated(entry, "2026-11-03T00:00:00+00:00")
    assert newest([dateless, new, nonsense])[0] == [new]


@pytest.mark.parametrize(
    "change",
    [
        {"weights": "other"},
        {"adapter": {"lora_alpha": 16}},
        {"recorded": {"resolution": {"height": 336}}},
        {"recorded": {"visual_tokens_per_image": 144}},
    ],
)
def test_models_that_differ_do_not_supersede_each_other(entry, change):
    day = "2026-11-02T00:00:00+00:00"
    kept, old = newest([dated(entry, day), dated(entry, day, **change)])
    assert len(kept) == 2
    assert not old


def test_facts_of_the_machine_do_not_make_another_model(entry):
    one = dated(entry, "2026-11-02T00:00:00+00:00", recorded={"device": "cpu", "batch_size": 1})
    two = dated(entry, "2026-11-03T00:00:00+00:00", recorded={"device": "cuda", "batch_size": 8})
    assert newest([one, two])[0] == [two]


def test_without_a_checksum_only_the_very_same_result_is_superseded(entry):
    day = "2026-11-02T00:00:00+00:00"
    one = dated(entry, day, weights=None)
    copy = one.model_copy(update={"file": "elsewhere/copy.json"})
    other = dated(entry, "2026-11-03T00:00:00+00:00", 0.6, weights=None)
    kept, old = newest([one, copy, other])
    assert kept == [one, other]
    assert old == [copy]


def test_what_is_not_applicable_is_listed_once_and_has_no_rank(entry):
    lacking = entry("a", status="not_applicable", reason="no Embeds").model_copy(
        update={"numbers": ()}
    )
    board = leaderboard([lacking, lacking.model_copy(update={"file": "x"}), entry("b")])
    assert [one.model.name for one in board.not_applicable] == ["a"]
    assert [names(table.rows) for table in board.tables] == [["b"]]
