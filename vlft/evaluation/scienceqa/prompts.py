"""ScienceQA's prompts: the 23 formats of the official GPT-3 builder, LLaVA's and lmms-eval's.

An official format reads INPUT-OUTPUT. Letters: Q question, C context, M options, L lecture,
E explanation (the field ``solution``), A answer. Source: lupantech/ScienceQA (commit 2cbf831),
models/base_prompt.py, reproduced to the byte.

Two names are crossed upstream, and stay so: an example of ``AL`` shows the *solution* after the
answer, and one of ``AE`` the *lecture*. ``ALE``, ``AEL``, ``LA``, ``EA``, ``LEA`` and ``ELA`` show
what they say.
"""

import re
from collections.abc import Callable, Sequence
from functools import partial
from typing import NamedTuple

from vlft.data.readers.choices import INSTRUCTION, LETTERS, with_choices

OFFICIAL = (
    "CQM-A", "CQM-LA", "CQM-EA", "CQM-LEA", "CQM-ELA", "CQM-AL", "CQM-AE", "CQM-ALE",
    "QCM-A", "QCM-LA", "QCM-EA", "QCM-LEA", "QCM-ELA", "QCM-AL", "QCM-AE", "QCM-ALE",
    "QCML-A", "QCME-A", "QCMLE-A", "QCLM-A", "QCEM-A", "QCLEM-A", "QCML-AE",
)  # fmt: skip
"""Formats that the official script offers."""

CROSSED = {"AL": "E", "AE": "L"}
"""Output to the letter of what it really shows after the answer."""

_BECAUSE = "BECAUSE:"


class Problem(NamedTuple):
    """What a prompt is made of.

    Attributes:
        question: The question.
        choices: Its options, two to five.
        answer: Index of the right one.
        hint: Text that belongs to the question; empty: none.
        caption: Caption of its image; empty: there is no image, or captions are off.
        lecture: Background of the question.
        solution: Why the answer is right.
    """

    question: str
    choices: Sequence[str]
    answer: int
    hint: str = ""
    caption: str = ""
    lecture: str = ""
    solution: str = ""

    @property
    def context(self) -> str:
        """Hint and caption, or an empty text."""
        return f"{self.hint} {self.caption}".strip()


def block(problem: Problem, prompt_format: str, *, solved: bool) -> str:
    """Write a problem in an official format.

    Args:
        problem: The problem.
        prompt_format: One of ``OFFICIAL``.
        solved: Whether the answer is shown, as in training and in examples; else the block ends
            with ``Answer:``.
    """
    asked, _, said = prompt_format.partition("-")
    lines = [_line(part, problem) for part in re.findall("[QCM]|[LE]+", asked)]
    lines.append(f"Answer: {_answer(said, problem)}" if solved else "Answer:")
    text = "\n".join(lines).replace("  ", " ").strip()  # one pass: four blanks become two
    if text.endswith(_BECAUSE):  # nothing was to be shown
        text = text.replace(_BECAUSE, "").strip()
    return text


def official(problem: Problem, shots: Sequence[Problem], prompt_format: str) -> str:
    """Write a prompt in an official format: solved examples, then the problem that is asked."""
    examples = [block(shot, prompt_format, solved=True) for shot in shots]
    return "\n\n".join([*examples, block(problem, prompt_format, solved=False)])


def lettered(problem: Problem) -> str:
    """Write a prompt as LLaVA-1.5 and lmms-eval ask: hint, question, a line per option, the letter.

    Sources: haotian-liu/LLaVA, ``llava_test_CQM-A.json`` as released for LLaVA-1.5 (in its
    ``eval.zip``), asked by llava/eval/model_vqa_science.py (commit c121f04) with
    ``--single-pred-prompt``; EvolvingLMMs-Lab/lmms-eval (commit 75571cf),
    lmms_eval/tasks/scienceqa.
    """
    context = problem.context if problem.caption else problem.hint
    shown = [f"Context: {context}"] if context else []
    return with_choices([*shown, problem.question], problem.choices)


def llava_converted(problem: Problem) -> str:
    """Write a prompt as LLaVA's converter does: the input of ``CQM``, and for the letter.

    The file that it writes has the name of the released one, and another layout. Source:
    haotian-liu/LLaVA (commit c121f04), scripts/convert_sqa_to_llava.py.
    """
    asked = block(problem, "CQM-A", solved=False).removesuffix("Answer:").rstrip()
    return f"{asked}\n{INSTRUCTION}"


def _without_examples(
    write: Callable[[Problem], str], problem: Problem, shots: Sequence[Problem]
) -> str:
    assert not shots, "this format shows no examples"
    return write(problem)


PLAIN: dict[str, Callable[[Problem], str]] = {
    "llava": lettered,
    "lmms-eval": lettered,
    "llava-converted": llava_converted,
}
"""Formats without examples. ``llava`` and ``lmms-eval`` are one text under the names of both."""

PROMPT_FORMATS: dict[str, Callable[[Problem, Sequence[Problem]], str]] = {
    **{name: partial(official, prompt_format=name) for name in OFFICIAL},
    **{name: partial(_without_examples, write) for name, write in PLAIN.items()},
}
"""Name of a format to what writes a problem, and examples before it."""


def needs_of(prompt_format: str, *, solved: bool) -> set[str]:
    """Return which of ``lecture`` and ``solution`` a format shows."""
    if prompt_format in PLAIN:
        return set()
    asked, _, said = prompt_format.partition("-")
    shown = asked + (CROSSED.get(said, said) if solved else "")
    return {field for letter, field in _FIELDS.items() if letter in shown}


_FIELDS = {"L": "lecture", "E": "solution"}


def _line(part: str, problem: Problem) -> str:
    if part == "Q":
        return f"Question: {problem.question}"
    if part == "C":
        return f"Context: {problem.context or 'N/A'}"
    if part == "M":
        lettered = zip(LETTERS, problem.choices, strict=False)
        return "Options: " + " ".join(f"({letter}) {choice}" for letter, choice in lettered)
    return f"{_BECAUSE} {_reasons(part, problem)}"


def _answer(said: str, problem: Problem) -> str:
    sentence = f"The answer is {LETTERS[problem.answer]}."
    if said == "A":
        return sentence
    if said.startswith("A"):
        return f"{sentence} {_BECAUSE} {_reasons(CROSSED.get(said, said[1:]), problem)}"
    return f"{_reasons(said[:-1], problem)} {sentence}"


def _reasons(letters: str, problem: Problem) -> str:
    """Return lecture and solution; a newline in them becomes the two characters of its escape."""
    texts = {"L": problem.lecture, "E": problem.solution}
    return " ".join(texts[letter] for letter in letters).replace("\n", "\\n")
