import pytest

from vlft.evaluation.options import letter_or_option, option_text

ANIMALS = ("cat", "dog", "a cat and a dog")


@pytest.mark.parametrize(
    ("output", "place"),
    [
        ("B", 1),
        ("b", 1),
        ("(B)", 1),
        ("[c]", 2),
        ("B.", 1),
        ("B. dog", 1),
        ("A: because it purrs", 0),
        ("B\nIt barks.", 1),
        ("A cat\nand no dog, nor both", None),
        ("Dog.", 1),
        ("The answer is B.", 1),
        ("It purrs. So the answer is (A), not B. Answer: A", 0),
        ("It is a dog", 1),
        ("a cat and a dog", 2),
        ("D", None),
        ("It is a cat, not a dog", None),
        ("A cat", 0),
        ("bird", None),
        ("", None),
        ("dogma", None),
    ],
)
def test_which_option_an_output_names(output, place):
    assert letter_or_option(output, ANIMALS) == place


def test_the_text_of_an_option_goes_before_a_letter():
    assert letter_or_option("B", ("B", "A")) == 0


def test_by_text_alone_letters_are_not_read():
    assert option_text("B", ANIMALS) is None
    assert option_text("DOG!", ANIMALS) == 1


def test_options_with_marks_of_patterns_are_texts():
    assert letter_or_option("I would say 1+1 (two)", ("1+1", "2*")) == 0
