"""Questions with lettered options, as LLaVA and lmms-eval write them for ScienceQA."""

import string
from collections.abc import Sequence

INSTRUCTION = "Answer with the option's letter from the given choices directly."
"""The sentence that LLaVA and lmms-eval put after the choices."""

LETTERS = string.ascii_uppercase


def with_choices(question: Sequence[str], choices: Sequence[str]) -> str:
    """Return the question's lines, a line per choice (``A. ...``), and the instruction."""
    lettered = (f"{letter}. {choice}" for letter, choice in zip(LETTERS, choices, strict=False))
    return "\n".join([*question, *lettered, INSTRUCTION])
