"""Each policy reads what its harness reads, and nothing else."""

from collections import Counter

import pytest

from vlft.evaluation.scienceqa.extraction import EXTRACTIONS, drawn_index, index_of

NOTHING = (None, None, None)

CASES = {
    # output: what official, llava and lmms-eval read of it
    "The answer is B.": ("B", "B", None),
    "The answer is B": NOTHING,  # something must follow the letter
    "The answer is B\n": NOTHING,  # a line break is no character of the pattern
    "The answer is B!": ("B", "B", None),
    "The answer is B BECAUSE: it is.": ("B", "B", None),
    "Look. The answer is C. BECAUSE: so.": ("C", "C", None),
    "The answer is B. The answer is C.": NOTHING,
    "The answer is B. The answer is B.": NOTHING,  # two statements, though of one letter
    "The answer is F.": ("F", "F", None),  # beyond all options: no index, see below
    "the answer is B.": NOTHING,
    "The answer is b.": NOTHING,
    "The answer is (B).": NOTHING,
    "The answer is Boston.": ("B", "B", None),  # the pattern does not ask for the word's end
    "": NOTHING,
    " ": NOTHING,
    "B": (None, "B", "B"),
    "b": (None, None, "B"),
    " B ": (None, None, "B"),
    "E": (None, "E", "E"),
    "F": (None, None, "F"),
    "B.": (None, None, "B"),
    "B. ": (None, "B", "B"),
    "B. a box": (None, "B", "B"),
    "b. a box": NOTHING,
    "B.a box": (None, None, "B"),
    "B) a box": NOTHING,
    "(B) a box": NOTHING,
    "a box": NOTHING,
    "A box": NOTHING,
    "C. no, The answer is B.": ("B", "C", "C"),
}


@pytest.mark.parametrize("output", CASES)
def test_outputs_are_read_as_the_harness_reads_them(output):
    assert tuple(read(output) for read in EXTRACTIONS.values()) == CASES[output]
    assert list(EXTRACTIONS) == ["official", "llava", "lmms-eval"]


def test_a_letter_beyond_the_options_is_none():
    assert [index_of(letter, 3) for letter in "ABCDEF"] == [0, 1, 2, None, None, None]
    assert index_of("E", 5) == 4
    assert index_of(None, 5) is None
    assert index_of("", 5) is None


def test_what_is_drawn_depends_on_seed_and_id_alone():
    ids = [str(number) for number in range(3000)]
    drawn = [drawn_index(name, 3, seed=0) for name in ids]
    assert drawn == [drawn_index(name, 3, seed=0) for name in ids]
    assert drawn != [drawn_index(name, 3, seed=1) for name in ids]
    counts = Counter(drawn)
    assert set(counts) == {0, 1, 2}
    assert all(900 < count < 1100 for count in counts.values())


def test_two_letters_are_no_option():
    assert index_of("AB", 4) is None
    assert index_of("BC", 4) is None
