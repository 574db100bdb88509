"""MMEB's texts: what a model reads of a query or candidate, and which candidates are one.

V1 rows (TIGER-Lab/MMEB-eval) hold whole texts, and these are taken as they are. V2 rows hold
instruction and text apart; they are put together as VLM2Vec does "to stay consistent with v1"
(TIGER-AI-Lab/VLM2Vec, ``src/data/eval_dataset/image_*.py`` and ``process_input_text`` in
``src/model/processor.py``). Blanks and line ends are part of the protocol, so each rule is exact.
"""

from typing import Literal, NamedTuple, TypeAlias

from vlft.data.records import Item
from vlft.errors import EvaluationError
from vlft.recipe.section import Section

MARKER = "<|image_1|>"
"""Stands in the texts of all rows where the image belongs (Phi-3.5-V's own mark)."""

Shape: TypeAlias = Literal["cls", "qa", "i2t", "t2i", "t2i_dialogue", "i2i"]
"""How the texts of a data set are put together, and what tells its candidates apart. ``i2i`` also
serves visual grounding, ``t2i_dialogue`` VisDial alone."""


class DatasetFacts(Section):
    """What the benchmark says of one data set."""

    task: str
    """Its meta-task."""
    domain: Literal["IND", "OOD"]
    """Whether VLM2Vec trains on a part of it."""
    shape: Shape
    """How its texts are put together."""


class Content(NamedTuple):
    """What a model is shown of one item: the text around the place of its image.

    Attributes:
        before: Text before the image; all of it where there is none.
        after: Text after the image.
        item: The item.
    """

    before: str
    after: str
    item: Item


def query_content(item: Item, shape: Shape, where: str) -> Content:
    """Return what a model is shown of a query.

    Args:
        item: The query.
        shape: The shape of its data set.
        where: Names the query in messages.

    Raises:
        EvaluationError: Its text has several marks.
    """
    if item.instruction is None:
        return _placed(item.text, item, where)
    if shape in ("t2i", "t2i_dialogue"):
        end = "\n\n" if shape == "t2i_dialogue" else "\n"
        return _placed(f"{item.instruction} {item.text}{end}", item, where)
    instruction = item.instruction.replace(MARKER, "")
    if shape in ("qa", "i2i"):
        instruction = f"\n{instruction.strip()}"
    whole = f"{instruction} {item.text}" if item.text else instruction
    return _placed(_joined(whole) + "\n", item, where)


def target_content(item: Item, shape: Shape, where: str, *, captioned: bool) -> Content:
    """Return what a model is shown of a candidate.

    Args:
        item: The candidate.
        shape: The shape of its data set.
        where: Names the candidate in messages.
        captioned: Whether candidates of the data set have a text beside the instruction (as in
            WebQA, EDIS and RefCOCO-Matching).

    Raises:
        EvaluationError: Its text has several marks.
    """
    if item.instruction is None or shape in ("cls", "qa", "i2t"):
        return _placed(item.text, item, where)
    instruction = item.instruction.replace(MARKER, "")
    if captioned:
        return _placed(_joined(f"{instruction} {item.text}") + "\n", item, where)
    end = "" if shape == "i2i" else "\n"
    return _placed(_joined(instruction) + end, item, where)


def identity(item: Item, shape: Shape) -> str:
    """Return what tells a candidate from the others of its data set.

    The text, the image's path, or both: in RefCOCO-Matching several objects of one image are
    candidates.
    """
    path = "" if item.image is None else str(item.image.path)
    if shape in ("cls", "qa", "i2t"):
        return item.text
    if shape == "i2i":
        return f"{path}:{item.text.strip(chr(34))}"
    return path


def plain_text(content: Content) -> str:
    """Return the text for a model that reads text and image apart: no mark, no outer blanks."""
    return f"{content.before}{content.after}".strip()


def _joined(text: str) -> str:
    """Put the mark before a text that lacks it, and drop blanks before line ends."""
    marked = text if MARKER in text else f"{MARKER} {text}"
    return marked.replace(" \n", "\n")


def _placed(text: str, item: Item, where: str) -> Content:
    if item.image is None:
        return Content(text.replace(MARKER, ""), "", item)
    if text.count(MARKER) > 1:
        raise EvaluationError(
            f"{where}: found {text.count(MARKER)} marks {MARKER} in its text, expected one, since "
            "it has one image"
        )
    if MARKER not in text:
        return Content("", f" {text}" if text else "", item)
    before, _, after = text.partition(MARKER)
    return Content(before, after, item)
