import csv
import io
import json

import pytest

from vlft.leaderboard import Leaderboard, leaderboard
from vlft.leaderboard.render_csv import COLUMNS, render_csv


def read(board):
    return list(csv.DictReader(io.StringIO(render_csv(board))))


def test_every_entry_is_a_line_with_all_its_digits(entry):
    day = "2026-11-0{}T00:00:00+00:00"
    old, new = (
        entry("m", value, weights="w", date=day.format(n), file=f"{n}")
        for n, value in ((1, 0.2), (2, 1 / 3))
    )
    facts = {"trained_parameters": 412_672, "visual_tokens_per_image": 16.5}
    first = entry("first", 0.1 + 0.7, low=0.7, high=0.9, recorded=facts)
    part = entry("part", 0.9, status="limited", reason="20 samples")
    lacking = entry("lacking", status="not_applicable", reason="no Embeds")
    lacking = lacking.model_copy(update={"numbers": ()})
    rows = read(leaderboard([old, new, first, part, lacking]))
    assert [(row["status"], row["rank"], row["model"]) for row in rows] == [
        ("ranked", "1", "first"),
        ("ranked", "2", "m"),
        ("superseded", "", "m"),
        ("limited", "", "part"),
        ("not_applicable", "", "lacking"),
    ]
    assert float(rows[0]["value"]) == 0.1 + 0.7
    assert float(rows[1]["value"]) == 1 / 3
    assert (float(rows[0]["low"]), float(rows[0]["high"])) == (0.7, 0.9)
    assert (rows[0]["trained_parameters"], rows[0]["visual_tokens_per_image"]) == ("412672", "16.5")
    assert json.loads(rows[0]["protocol"]) == first.key
    assert tuple(rows[0]) == COLUMNS


@pytest.mark.parametrize("name", ['a,"b"', "two\nlines", "naïve 模型"])
def test_names_come_back_as_they_were(entry, name):
    assert read(leaderboard([entry(name)]))[0]["model"] == name


@pytest.mark.parametrize("name", ["=1+1", "@SUM(A1)", "-2", "+3"])
def test_a_name_is_never_a_formula(entry, name):
    assert read(leaderboard([entry(name)]))[0]["model"] == f"'{name}"


def test_json_comes_back_as_it_was(entry, references):
    from vlft.leaderboard.published import references_in

    board = leaderboard([entry("a", 1 / 3, low=0.3, high=0.4), *references_in(references)])
    assert Leaderboard.model_validate_json(board.model_dump_json()) == board
