import pytest

from vlft.leaderboard import leaderboard
from vlft.leaderboard.entries import Skipped
from vlft.leaderboard.render_markdown import escape, link, render_markdown


def test_a_small_leaderboard_reads_as_written_here(entry):
    key = {"benchmark": "scenes/made_up", "decoding": "greedy"}
    day = "2026-11-20T10:00:00+00:00"
    entries = [
        entry("best", 0.9, low=0.85, high=0.93, key=key, weights="0123456789", date=day),
        entry("next", 0.88, low=0.83, high=0.91, key=key, samples="samples/next.jsonl"),
        entry("last", 0.5, low=0.4, high=0.6, key=key, recorded={"trained_parameters": 9216}),
    ]
    bad = Skipped(file="results/x.json", reason="is cut off", damaged=True)
    assert render_markdown(leaderboard(entries, [bad])) == (
        "# Leaderboard\n\n"
        "Only rows of one table are ranked together: they share every field of the protocol. "
        "Equal values share a rank. ≈ marks an interval that overlaps the leader's.\n\n"
        "## scenes/made_up\n\n"
        "Drawn by vlft itself: these numbers say that training works, and nothing about real "
        "images.\n\n"
        "### accuracy, higher is better (measured by vlft)\n\n"
        "Protocol: decoding greedy.\n\n"
        "| rank | model | value | 95 % interval | n | trained parameters | date | adapter | source "
        "| samples |\n"
        "|--:|---|--:|---|--:|--:|---|---|---|---|\n"
        "| 1 | best | 0.9000 | 0.8500 \N{EN DASH} 0.9300 | 100 | \N{EN DASH} | 2026-11-20 | none "
        "| vlft | \N{EN DASH} |\n"
        "| 2 | next | 0.8800 | 0.8300 \N{EN DASH} 0.9100 ≈ | 100 | \N{EN DASH} | \N{EN DASH} "
        "| \N{EN DASH} | vlft | [samples](samples/next.jsonl) |\n"
        "| 3 | last | 0.5000 | 0.4000 \N{EN DASH} 0.6000 | 100 | 9.22 k | \N{EN DASH} "
        "| \N{EN DASH} | vlft | \N{EN DASH} |\n\n"
        "## Files that could not be used\n\n"
        "- results/x.json: is cut off\n"
    )


def test_tables_say_in_what_they_differ_and_what_was_superseded(entry):
    day = "2026-11-0{}T00:00:00+00:00"
    entries = [
        entry("m", 0.5, weights="w", date=day.format(1), file="old.json", key={"decoding": "a"}),
        entry("m", 0.6, weights="w", date=day.format(2), file="new.json", key={"decoding": "a"}),
        entry("n", 0.7, key={"decoding": "b"}),
    ]
    shown = render_markdown(leaderboard(entries))
    assert shown.count("it differs in decoding.") == 2
    assert "decoding **a**" in shown
    assert "- m: 0.5000 (2026-11-01, old.json)" in shown


def test_models_of_one_name_are_told_apart(entry):
    entries = [entry("m", 0.5, weights="aaaaaaaaaaaa"), entry("m", 0.6, weights="bbbbbbbbbbbb")]
    shown = render_markdown(leaderboard(entries))
    assert "| m (aaaaaaaa) |" in shown
    assert "| m (bbbbbbbb) |" in shown


@pytest.mark.parametrize(
    ("words", "shown"),
    [
        ("a|b", r"a\|b"),
        ("<script>alert(1)</script>", "&lt;script&gt;alert(1)&lt;/script&gt;"),
        ("[x](javascript:1)", r"\[x\](javascript:1)"),
        ("two\nlines", "two lines"),
        ("`code` *bold*", r"\`code\` \*bold\*"),
        ("snake_case", "snake_case"),
        ("_emphasis_", r"\_emphasis\_"),
        ("a\\|b", r"a\\\|b"),
    ],
)
def test_names_are_shown_as_they_are(words, shown):
    assert escape(words) == shown


def test_a_link_holds_any_path():
    assert link("x", "a b/(1)#2.jsonl") == "[x](a%20b/%281%29%232.jsonl)"
