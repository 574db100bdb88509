"""How an output becomes one of the options, as ScienceQA's harnesses do it.

Each policy gives the letter that it reads, or None; a letter beyond the options of the question is
none. What an unread output counts as is the policy's second half: ``official`` draws an option.
"""

import re
from collections.abc import Callable

from vlft.data.readers.choices import LETTERS
from vlft.data.scenes.draws import Draws

LETTER_LOGPROB = "letter-logprob"
"""The way of asking for the likelihoods of the letters instead of a text."""

_ALL = LETTERS[:5]  # A to E

_SAYS = re.compile(r"The answer is ([A-Z]).")
"""As upstream writes it: the full stop is any character, but a character must follow the letter,
and a line break is none."""


def official(output: str) -> str | None:
    """Read the letter of the one statement "The answer is X.".

    None where there is no such statement, or several, even of one letter. Source:
    lupantech/ScienceQA (commit 2cbf831), models/run_gpt3.py.
    """
    found = _SAYS.findall(output)
    return found[0] if len(found) == 1 else None


def llava(output: str) -> str | None:
    """Read a letter alone, ``X. ...``, or else what ``official`` reads.

    Source: haotian-liu/LLaVA (commit c121f04), llava/eval/eval_science_qa.py.
    """
    if len(output) == 1 and output in _ALL:
        return output
    if len(output) >= 3 and output[0] in _ALL and output[1:3] == ". ":
        return output[0]
    return official(output)


def lmms_eval(output: str) -> str | None:
    """Read a letter alone in any case, or a capital letter and a full stop at the beginning.

    Source: EvolvingLMMs-Lab/lmms-eval (commit 75571cf), lmms_eval/tasks/scienceqa/utils.py.
    """
    said = output.strip()
    if len(said) == 1:
        return said.upper()
    return said[0] if said[1:2] == "." and said[0].isupper() else None


EXTRACTIONS: dict[str, Callable[[str], str | None]] = {
    "official": official,
    "llava": llava,
    "lmms-eval": lmms_eval,
}
"""Name of a policy to what it reads."""

DRAWS = frozenset({"official"})
"""Policies that draw an option for an output that they cannot read; others count it as wrong."""


def index_of(letter: str | None, num_choices: int) -> int | None:
    """Return the option that a letter stands for, or None where there is no such option."""
    place = LETTERS[:num_choices].find(letter) if letter and len(letter) == 1 else -1
    return None if place < 0 else place


def drawn_index(record_id: str, num_choices: int, *, seed: int) -> int:
    """Draw an option for a record; it depends on the seed and the record's id alone."""
    return Draws(("scienceqa", seed, record_id)).below(num_choices)
