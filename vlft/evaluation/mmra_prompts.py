"""Prompts for questions of MMRA: our own wording, or that of the user's copy of the official ones.

The official texts have no license and do not come with vlft. Whoever has them writes them to a YAML
or JSON file with three texts, in which ``{question}`` and ``{A}`` to ``{D}`` stand for the parts of
a question:

    four_options: "... {question} ... A: {A}  B: {B}  C: {C}  D: {D} ..."
    three_options: "... {question} ... A: {A}  B: {B}  C: {C} ..."
    yes_no: "... {question} ..."

Every other character, blanks at the end included, is taken as it stands.
"""

import json
import re
from collections.abc import Callable, Sequence
from hashlib import sha256
from pathlib import Path
from typing import Any, NamedTuple

from vlft.errors import EvaluationError, pick
from vlft.evaluation.benchmark import BenchmarkSpec
from vlft.evaluation.mmra_parse import LETTERS
from vlft.recipe.origins import Origin, plain
from vlft.recipe.yaml_file import parse_yaml

FIELDS: dict[str, tuple[str, ...]] = {
    "four_options": ("question", "A", "B", "C", "D"),
    "three_options": ("question", "A", "B", "C"),
    "yes_no": ("question",),
}
"""Name of a template to the fields that must stand in it."""

_FIELD = re.compile(r"\{(\w+)\}")


class Prompts(NamedTuple):
    """How questions are written.

    Attributes:
        write: Takes the question and its options, none for yes and no; gives the text that follows
            the images.
        digest: Hash of the user's templates; None: the wording is our own.
    """

    write: Callable[[str, Sequence[str]], str]
    digest: str | None = None


def prompts_of(spec: BenchmarkSpec, template: str | None) -> Prompts:
    """Return the way in which a benchmark writes questions.

    Args:
        spec: Its ``prompt_format`` is a key of ``PROMPT_FORMATS``.
        template: The user's file of templates.

    Raises:
        UnknownNameError: There is no such format.
        EvaluationError: The format needs templates and there are none, or the reverse; or the file
            does not hold three templates.
    """
    make = pick(PROMPT_FORMATS, spec.prompt_format, kind="prompt_format")
    if (template is not None) != (make is _of_file):
        raise EvaluationError(
            f"{spec.name}: prompt_format = {spec.prompt_format} with settings.template = "
            f"{template}: `prompt_format: template` and a file in settings.template belong together"
        )
    return make(template)


def _own(template: None) -> Prompts:
    return Prompts(_letters)


def _letters(question: str, options: Sequence[str]) -> str:
    if not options:
        return f"{question}\nAnswer with Yes or No only."
    lines = (f"{letter}. {option}" for letter, option in zip(LETTERS, options, strict=False))
    return "\n".join([question, *lines, "Answer with the letter of the right option only."])


def _of_file(template: str) -> Prompts:
    templates = _read(Path(template).expanduser())

    def write(question: str, options: Sequence[str]) -> str:
        name = {0: "yes_no", 3: "three_options", 4: "four_options"}[len(options)]
        fields = ("question", *LETTERS)
        values: dict[str, str] = dict(zip(fields, (question, *options), strict=False))
        return _FIELD.sub(lambda found: values[found[1]], templates[name])

    digest = sha256(json.dumps([templates[name] for name in FIELDS]).encode()).hexdigest()
    return Prompts(write, digest[:12])


PROMPT_FORMATS: dict[str, Callable[[Any], Prompts]] = {"letters": _own, "template": _of_file}
"""``letters``: the question, the options as lines ``A. ...``, and a line that asks for the letter,
or for Yes or No; ``template``: the texts in the file that ``settings.template`` names. Images stand
before the text in both."""


def _read(path: Path) -> dict[str, str]:
    """Return the three templates of a file.

    Raises:
        EvaluationError: It cannot be read, or one of them is missing or lacks a field.
        RecipeError: It is no YAML.
    """
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise EvaluationError(
            f"settings.template: {path} cannot be read ({type(error).__name__})"
        ) from None
    found = plain(parse_yaml(text, locate=lambda line: Origin("file", str(path), line)))
    if not isinstance(found, dict) or set(found) != set(FIELDS):
        keys = ", ".join(map(str, found)) if isinstance(found, dict) else "no keys"
        raise EvaluationError(
            f"settings.template: {path}: found {keys}, expected {', '.join(FIELDS)}"
        )
    for name, fields in FIELDS.items():
        there = _FIELD.findall(found[name]) if isinstance(found[name], str) else []
        if sorted(there) != sorted(fields):
            wanted = ", ".join(f"{{{field}}}" for field in fields)
            stands = ", ".join(f"{{{field}}}" for field in there) or "none"
            raise EvaluationError(
                f"settings.template: {path}: {name}: expected a text with the fields {wanted}, "
                f"each once; there is: {stands}"
            )
    return found
