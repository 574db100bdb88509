"""Prompts are the official ones to the byte."""

import json

import pytest

from vlft.evaluation.scienceqa.prompts import (
    CROSSED,
    OFFICIAL,
    PROMPT_FORMATS,
    Problem,
    block,
    needs_of,
    official,
)

LETTER = "Answer with the option's letter from the given choices directly."


def problem(**changes):
    fields = {
        "question": "Which is red?",
        "choices": ["a ball", "a box", "a hat", "a pen", "a cup"],
        "answer": 4,
        "lecture": "First.\nSecond.",
        "solution": "See the cup.",
    }
    return Problem(**{**fields, **changes})


@pytest.fixture(scope="module")
def golden(shared_data):
    return json.loads((shared_data / "scienceqa" / "prompt_golden_pid1.json").read_text())


def test_all_official_formats_are_there(golden):
    assert tuple(dict.fromkeys(case["format"] for case in golden["cases"])) == OFFICIAL
    assert len(OFFICIAL) == 23


def test_golden_prompts_are_met_to_the_byte(golden):
    asked = Problem(**{field: golden["problem"][field] for field in Problem._fields})
    cases = golden["cases"]
    assert len(cases) == 46
    for case in cases:
        text = block(asked, case["format"], solved=not case["test_example"])
        assert text == case["text"], case["format"]


def test_every_format_ends_a_question_the_same_way():
    for name in OFFICIAL:
        text = block(problem(), name, solved=False)
        assert text.endswith("\nAnswer:")
        assert "(A) a ball (B) a box (C) a hat (D) a pen (E) a cup" in text
        assert "The answer is E." in block(problem(), name, solved=True)


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("QCM-A", "The answer is E."),
        ("QCM-AL", "The answer is E. BECAUSE: See the cup."),  # crossed upstream
        ("QCM-AE", "The answer is E. BECAUSE: First.\\nSecond."),  # crossed upstream
        ("QCM-ALE", "The answer is E. BECAUSE: First.\\nSecond. See the cup."),
        ("QCM-LA", "First.\\nSecond. The answer is E."),
        ("QCM-EA", "See the cup. The answer is E."),
        ("QCM-LEA", "First.\\nSecond. See the cup. The answer is E."),
        ("QCM-ELA", "See the cup. First.\\nSecond. The answer is E."),
    ],
)
def test_solved_blocks_show_lecture_and_solution(name, said):
    assert block(problem(), name, solved=True).partition("\nAnswer: ")[2] == said


@pytest.mark.parametrize(
    ("name", "order"),
    [
        ("QCM-A", ["Question", "Context", "Options", "Answer"]),
        ("CQM-A", ["Context", "Question", "Options", "Answer"]),
        ("QCMLE-A", ["Question", "Context", "Options", "BECAUSE", "Answer"]),
        ("QCLEM-A", ["Question", "Context", "BECAUSE", "Options", "Answer"]),
    ],
)
def test_the_input_has_its_lines_in_order(name, order):
    lines = block(problem(), name, solved=False).split("\n")
    assert [line.partition(":")[0] for line in lines] == order


def test_context_is_hint_and_caption_or_none():
    def context(**changes):
        return block(problem(**changes), "CQM-A", solved=False).split("\n")[0]

    assert context() == "Context: N/A"
    assert context(hint="Look.") == "Context: Look."
    assert context(caption="a cup") == "Context: a cup"
    assert context(hint="Look.", caption="a cup") == "Context: Look. a cup"


def test_blanks_are_joined_in_one_pass():
    text = block(problem(question="a  b    c"), "QCM-A", solved=False)
    assert text.startswith("Question: a b  c\n")


def test_newlines_stay_in_question_and_hint_and_are_escaped_in_lecture_and_solution():
    asked = problem(question="one\ntwo", hint="three\nfour", solution="five\nsix")
    text = block(asked, "QCMLE-A", solved=False)
    assert "Question: one\ntwo\nContext: three\nfour\n" in text
    assert "BECAUSE: First.\\nSecond. five\\nsix\nAnswer:" in text


def test_a_trailing_because_goes_and_takes_the_others_with_it():
    nothing = problem(lecture="", solution="")
    assert block(nothing, "QCM-AL", solved=True).endswith("Answer: The answer is E.")
    said = problem(question="Why BECAUSE: so?", solution="")
    assert "Why  so?" in block(said, "QCM-AL", solved=True)
    # In a question it is not at the end, and stays.
    assert "BECAUSE:" in block(nothing, "QCML-A", solved=False)


def test_examples_are_joined_by_a_blank_line_and_the_question_is_last():
    shots = [problem(question="one?"), problem(question="two?")]
    blocks = official(problem(question="three?"), shots, "QCM-ALE").split("\n\n")
    assert blocks == [
        block(shots[0], "QCM-ALE", solved=True),
        block(shots[1], "QCM-ALE", solved=True),
        block(problem(question="three?"), "QCM-ALE", solved=False),
    ]


def test_llavas_converter_asks_for_the_letter_after_the_input_of_cqm():
    assert PROMPT_FORMATS["llava-converted"](problem(choices=["a  ball", "a box"]), ()) == (
        f"Context: N/A\nQuestion: Which is red?\nOptions: (A) a ball (B) a box\n{LETTER}"
    )


@pytest.mark.parametrize("name", ["llava", "lmms-eval"])
def test_llava_and_lmms_eval_write_an_option_per_line_and_a_context_only_where_there_is_one(name):
    write = PROMPT_FORMATS[name]
    asked = problem(choices=["a  ball", "a box"])
    shown = f"Which is red?\nA. a  ball\nB. a box\n{LETTER}"
    assert write(asked, ()) == shown
    assert write(asked._replace(hint="Look."), ()) == f"Context: Look.\n{shown}"
    assert write(asked._replace(hint="Look.", caption="red"), ()) == f"Context: Look. red\n{shown}"
    assert write(asked._replace(caption="red"), ()) == f"Context: red\n{shown}"


def test_llavas_prompt_on_the_sample_is_the_released_one(shared_data):
    # llava_test_CQM-A.json of LLaVA-1.5's eval.zip, questions 11 and 26
    sample = json.loads((shared_data / "scienceqa" / "problems_sample.json").read_text())
    fields = ("question", "choices", "answer", "hint")
    found = {
        key: PROMPT_FORMATS["llava"](Problem(*(sample[key][field] for field in fields)), ())
        for key in ("11", "26")
    }
    assert found["11"].splitlines()[1:] == [
        *("A. Maryland", "B. New Hampshire", "C. Rhode Island", "D. Vermont"),
        LETTER,
    ]
    first, second, *options = found["26"].splitlines()
    assert first == "Context: Select the better estimate."
    assert second == sample["26"]["question"]
    assert options == ["A. 33 minutes", "B. 33 hours", LETTER]


def test_what_a_format_needs_is_what_changes_it():
    for name in PROMPT_FORMATS:
        for solved in (False, True):
            if name not in OFFICIAL:
                assert needs_of(name, solved=solved) == set()
                continue
            shown = block(problem(), name, solved=solved)
            changed = {
                field
                for field in ("lecture", "solution")
                if block(problem(**{field: "other"}), name, solved=solved) != shown
            }
            assert needs_of(name, solved=solved) == changed
    assert CROSSED == {"AL": "E", "AE": "L"}
