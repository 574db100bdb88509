"""Outputs are read as MMRA's script reads them."""

import json

import pytest

from vlft.evaluation.mmra_parse import POLICIES, parse_choice, parse_yes_no


def test_the_golden_parses_are_matched(shared_data):
    golden = json.loads((shared_data / "mmra/extract_golden.json").read_text(encoding="utf-8"))
    options = golden["options_for_third_group"]
    found = {
        "option": [[text, parse_choice(text)] for text, _ in golden["option"]],
        "yes_no": [[text, parse_yes_no(text)] for text, _ in golden["yes_no"]],
        "option_with_options": [
            [text, parse_choice(text, options)] for text, _ in golden["option_with_options"]
        ],
    }
    assert found == {name: golden[name] for name in found}
    assert min(map(len, found.values())) >= 4


@pytest.mark.parametrize(
    ("text", "letter"),
    [
        ("C", "C"),
        ("(b)", None),
        ("A, A, B", "A"),
        ("B, C, C, B, A", "C"),  # two each: C appears later
        ("A or (D)", "D"),  # with brackets only those count
        ("ABC", None),
        ("The answer:D.", "D"),
        ("A_B", None),
    ],
)
def test_letters_vote(text, letter):
    assert parse_choice(text) == letter


@pytest.mark.parametrize(
    ("text", "letter"),
    [
        ("it is the dog", "B"),
        ("dog or cat", "B"),  # in the order of the options, not of the text
        ("a dog: (A)", "A"),  # letters come first
        ("", "C"),
    ],
)
def test_options_vote_where_there_is_no_letter(text, letter):
    assert parse_choice(text, ["cat", "dog", "bird"]) == letter


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("yes", "yes"),
        ("No. Yes. YES.", "YES"),  # one each, since they are spelled apart
        ("no no Yes", "no"),
        ("yesterday", None),
        ("", None),
    ],
)
def test_yes_and_no_vote(text, said):
    assert parse_yes_no(text) == said


def test_policies_read_by_the_kind_of_question():
    for policy in POLICIES.values():
        assert policy("Yes, B", "yes_no", ["Yes", "No"]) == "Yes"
        assert policy("Yes, B", "choice", ["a", "b", "c"]) == "B"
    assert POLICIES["mmra"]("dog", "choice", ["cat", "dog", "bird"]) is None
    assert POLICIES["mmra_options"]("dog", "choice", ["cat", "dog", "bird"]) == "B"
