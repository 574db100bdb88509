"""The nine columns, the topics, and the official print-out."""

import pytest

from vlft.errors import EvaluationError
from vlft.evaluation.benchmark import load_benchmark
from vlft.evaluation.metrics import share
from vlft.evaluation.scienceqa.breakdown import (
    BINS,
    TOPICS,
    Traits,
    columns,
    grade_number,
    official_line,
    official_scores,
    size_notes,
)

NAT, SOC, LAN = "natural science", "social science", "language science"

QUESTIONS = [
    Traits(NAT, "biology", 1, has_hint=True, has_image=True),
    Traits(NAT, "physics", 6, has_hint=True, has_image=False),
    Traits(SOC, "geography", 7, has_hint=False, has_image=True),
    Traits(LAN, "verbs", 10, has_hint=False, has_image=False),
    Traits(LAN, "verbs", 12, has_hint=True, has_image=True),
]


def test_columns_hold_the_questions_that_they_say():
    assert columns(QUESTIONS) == {
        "bin/NAT": [0, 1],
        "bin/SOC": [2],
        "bin/LAN": [3, 4],
        "bin/TXT": [0, 1, 4],
        "bin/IMG": [0, 2, 4],
        "bin/NO": [3],
        "bin/G1-6": [0, 1],
        "bin/G7-12": [2, 3, 4],
        "bin/Avg": [0, 1, 2, 3, 4],
        "topic/verbs": [3, 4],
        "topic/physics": [1],
        "topic/biology": [0],
        "topic/geography": [2],
    }


def test_text_and_image_overlap_by_the_questions_that_have_both():
    found = columns(QUESTIONS)
    both = sum(one.has_hint and one.has_image for one in QUESTIONS)
    sizes = [len(found[f"bin/{name}"]) for name in ("TXT", "IMG", "NO")]
    assert sum(sizes) == len(QUESTIONS) + both


def test_every_question_has_a_subject_a_context_a_grade_and_a_topic():
    found = columns(QUESTIONS)
    everyone = set(range(len(QUESTIONS)))
    for names in (("NAT", "SOC", "LAN"), ("TXT", "IMG", "NO"), ("G1-6", "G7-12")):
        assert set().union(*(found[f"bin/{name}"] for name in names)) == everyone
    topics = [row for name, rows in found.items() if name.startswith("topic/") for row in rows]
    assert sorted(topics) == sorted(everyone)


def test_grades_are_compared_as_numbers():
    assert [grade_number(f"grade{n}", "here") for n in (1, 2, 9, 10, 12)] == [1, 2, 9, 10, 12]


@pytest.mark.parametrize("grade", ["grade0", "grade13", "grade", "7", "Grade7", "grade01"])
def test_what_is_no_grade_is_named(grade):
    with pytest.raises(EvaluationError, match=f"here: found grade '{grade}', expected grade1 to"):
        grade_number(grade, "here")


def groups(scores):
    return {
        name: (share("accuracy", [scores[row] for row in rows]),)
        for name, rows in columns(QUESTIONS).items()
    }


def test_the_official_table_has_two_decimals_and_minus_one_for_an_empty_column():
    found = official_scores(groups([1.0, 0.0, 1.0, 1.0, 0.0]))
    assert list(found) == [*BINS, *TOPICS]
    assert found["TXT"] == "33.33"
    assert found["IMG"] == "66.67"
    assert found["Avg"] == "60.00"  # not the mean of the others
    assert found["verbs"] == "50.00"
    assert found["chemistry"] == "-1"
    without = official_scores(
        {key: value for key, value in groups([1.0] * 5).items() if "N" not in key}
    )
    assert (without["NAT"], without["LAN"], without["NO"], without["SOC"]) == (
        "-1",
        "-1",
        "-1",
        "100.00",
    )


def test_the_official_line_is_a_row_of_the_table():
    line = official_line(groups([1.0, 0.0, 1.0, 1.0, 0.0]))
    shown = "& 50.00 & 100.00 & 50.00 & 33.33 & 66.67 & 100.00 & 50.00 & 66.67 & 60.00 \\\\"
    assert line == shown
    assert official_line(groups([1.0] * 5), topics=True).count("&") == 9 + 26


def test_a_topic_that_is_not_official_comes_last():
    found = columns([QUESTIONS[0]._replace(topic="aardvarks"), *QUESTIONS])
    assert list(found)[-1] == "topic/aardvarks"


def test_other_sizes_are_told_and_a_part_is_not():
    found = columns(QUESTIONS)
    right = {"NAT": 2, "IMG": 3, "Avg": 5}
    assert size_notes(found, right, 4) == ()
    (note,) = size_notes(found, {**right, "IMG": 4, "NO": 0}, 26)
    assert (
        "IMG has 3 questions, not 4; NO has 1 questions, not 0; there are 4 topics, not 26" in note
    )
    assert size_notes(found, {"IMG": 2017, "Avg": 4241}, 26) == ()  # marked as limited anyhow


def test_the_declared_sizes_of_the_test_split_fit_each_other():
    spec = load_benchmark("scienceqa/test")
    sizes = spec.settings["sizes"]
    assert list(sizes) == list(BINS)
    assert sizes["NAT"] + sizes["SOC"] + sizes["LAN"] == spec.expected_n == sizes["Avg"] == 4241
    assert sizes["G1-6"] + sizes["G7-12"] == 4241
    assert spec.settings["topics"] == len(TOPICS) == 26


PUBLISHED = """
68.16 69.18 74.91 63.78 61.38 77.84 72.98 65.00 70.12
71.00 76.04 78.91 66.42 66.53 81.81 77.06 68.82 74.11
74.64 69.74 76.00 74.44 67.28 77.42 76.80 68.89 73.97
76.60 65.92 77.55 75.51 66.09 79.58 78.49 67.63 74.61
75.44 70.87 78.09 74.68 67.43 79.93 78.23 69.68 75.17
84.37 88.30 84.36 83.72 80.32 86.90 85.83 84.05 85.19
90.36 95.95 88.00 89.49 88.00 90.66 90.93 90.90 90.92
"""
"""Rows of the official leaderboard: UnifiedQA without and with chains of thought, GPT-3 with two
examples, AE, ALE, LLaMA-Adapter, LLaVA-13B."""


def test_published_percentages_are_whole_numbers_of_the_declared_sizes():
    sizes = list(load_benchmark("scienceqa/test").settings["sizes"].values())
    for row in PUBLISHED.split("\n"):
        right = []
        for shown, size in zip(row.split(), sizes, strict=False):
            near = round(float(shown) / 100 * size)
            fitting = [k for k in (near - 1, near, near + 1) if f"{k / size * 100:.2f}" == shown]
            assert fitting, (shown, size)
            right.append(fitting)
        if right:
            by_subject = {a + b + c for a in right[0] for b in right[1] for c in right[2]}
            by_grade = {a + b for a in right[6] for b in right[7]}
            assert by_subject & by_grade & set(right[8])
