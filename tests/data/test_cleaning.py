import pytest
from hypothesis import given
from hypothesis import strategies as st

from vlft.data.cleaning import MOST_WORDS, clean_caption


@pytest.mark.parametrize(
    ("text", "cleaned"),
    [
        ("A man (left) riding a horse.", "a man left riding a horse"),
        ('Stop! "Now"; #1: *go* ~ done', "stop now 1 go done"),
        ("red, green and blue.\n", "red, green and blue"),
        ("two  blanks\t\tand tabs ", "two blanks and tabs"),
        ("don't cut-up words", "don't cut-up words"),
    ],
)
def test_marks_become_blanks_and_commas_stay(text, cleaned):
    assert clean_caption(text) == cleaned


def test_thirty_words_are_kept():
    words = [f"w{n}" for n in range(40)]
    assert clean_caption(" ".join(words)).split(" ") == words[:MOST_WORDS]


@given(st.text(alphabet=' .,!"()*#:;~aBé\t\n', max_size=120) | st.text())
def test_a_cleaned_caption_stays_as_it_is(text):
    assert clean_caption(clean_caption(text)) == clean_caption(text)
