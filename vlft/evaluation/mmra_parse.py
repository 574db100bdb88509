"""What an output answers to a question of MMRA: a letter, or yes or no.

The rules are those of MMRA's evaluation script (arXiv 2407.17379; ``evaluate_demo.py``), in our own
code. Votes are counted; of answers with equally many votes the one that first appears last is
taken. That tie rule is theirs: "A and B" is B, and "B A" is A.
"""

import re
from collections import Counter
from collections.abc import Callable, Iterable, Sequence

LETTERS = "ABCD"

_IN_BRACKETS = re.compile(r"\(([A-D])\)")
_ALONE = re.compile(r"\b([A-D])\b")
_YES_NO = re.compile(r"\b(?:yes|no)\b", re.IGNORECASE)


def parse_choice(text: str, options: Sequence[str] = ()) -> str | None:
    """Return the letter that an output says, A to D, or None.

    Letters in brackets vote; where there is none, capital letters that stand alone do (the article
    of "A dog" is one of them). Where there is none either, every option votes that stands in the
    output, or that the output stands in; an empty output stands in all of them.

    Args:
        text: The output.
        options: Texts of the options in order; the script never gives them.
    """
    votes = _IN_BRACKETS.findall(text) or _ALONE.findall(text)
    if not votes:
        lettered = zip(LETTERS, options, strict=False)
        votes = [letter for letter, option in lettered if option in text or text in option]
    return _most_frequent(votes)


def parse_yes_no(text: str) -> str | None:
    """Return the "yes" or "no" that an output says, spelled as there, or None.

    Whole words vote, in any letter case; different spellings are counted apart.
    """
    return _most_frequent(_YES_NO.findall(text))


def _most_frequent(votes: Iterable[str]) -> str | None:
    counts = Counter(votes)  # in the order in which they first appear
    return max(reversed(counts), key=counts.__getitem__, default=None)


def _by_text(text: str, kind: str, options: Sequence[str]) -> str | None:
    return parse_yes_no(text) if kind == "yes_no" else parse_choice(text)


def _by_text_or_option(text: str, kind: str, options: Sequence[str]) -> str | None:
    return parse_yes_no(text) if kind == "yes_no" else parse_choice(text, options)


POLICIES: dict[str, Callable[[str, str, Sequence[str]], str | None]] = {
    "mmra": _by_text,
    "mmra_options": _by_text_or_option,
}
"""How an output becomes an answer; takes the output, the kind of question (``choice`` or
``yes_no``) and the options. ``mmra``: as the script does it; ``mmra_options``: texts of options
count too where no letter is found, which the script knows and does not use."""
