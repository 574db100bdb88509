"""Which of several options an output names."""

import re
from collections.abc import Callable, Sequence

from vlft.data.readers.choices import LETTERS
from vlft.evaluation.metrics import NORMALIZATIONS


def letter_or_option(output: str, options: Sequence[str]) -> int | None:
    """Return the index of the option that an output names, or None when it cannot be told.

    The first rule that gives exactly one option decides: the output is the text of an option; it
    begins with a letter, as in ``B``, ``(B)`` or ``B. a cat``; it says ``the answer is B`` (as in
    the evaluation of ScienceQA, arXiv 2209.09513); the text of just one option stands in it.
    """
    rules = (_is_an_option, _begins_with_a_letter, _says_the_letter, _holds_an_option)
    return next((found for rule in rules if (found := rule(output, options)) is not None), None)


def option_text(output: str, options: Sequence[str]) -> int | None:
    """Return the index of the option whose text the output is; letters are not read."""
    return _is_an_option(output, options)


EXTRACTIONS: dict[str, Callable[[str, Sequence[str]], int | None]] = {
    "letter_or_option": letter_or_option,
    "option": option_text,
}
"""How an output becomes an option. ``letter_or_option``: by its letter or its text; ``option``: by
its text alone, compared without letter case and end marks."""


def _is_an_option(output: str, options: Sequence[str]) -> int | None:
    plain = NORMALIZATIONS["plain"]
    return _only([number for number, text in enumerate(options) if plain(text) == plain(output)])


def _begins_with_a_letter(output: str, options: Sequence[str]) -> int | None:
    # A letter in brackets, or one with a mark or nothing behind it: "A cat" does not say "A".
    found = re.match(
        r"\s*(?:\(([A-Za-z])\)|\[([A-Za-z])\]|([A-Za-z])(?=\s*(?:[.:),\n]|$)))", output
    )
    return None if found is None else _by_letter("".join(filter(None, found.groups())), options)


def _says_the_letter(output: str, options: Sequence[str]) -> int | None:
    found = re.findall(r"(?i:answer)(?:\s+(?i:is)|\s*:)\s*\(?([A-Z])\b", output)
    return _by_letter(found[-1], options) if found else None


def _holds_an_option(output: str, options: Sequence[str]) -> int | None:
    held = [
        number
        for number, text in enumerate(options)
        if re.search(rf"(?<!\w){re.escape(text.strip().casefold())}(?!\w)", output.casefold())
    ]
    return _only(held)


def _by_letter(letter: str, options: Sequence[str]) -> int | None:
    place = LETTERS.index(letter.upper())
    return place if place < len(options) else None


def _only(found: list[int]) -> int | None:
    return found[0] if len(found) == 1 else None
