"""ScienceQA's columns: three subjects, three kinds of context, two spans of grades, all; topics.

TXT and IMG overlap: a question with a hint and an image counts in both. NO has neither. Source:
lupantech/ScienceQA (commit 2cbf831), tools/evaluate_acc.py.
"""

import re
from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple

from vlft.errors import EvaluationError
from vlft.results import Metric

AVERAGE = "Avg"
"""The column over all questions; it is not the mean of the others."""

TOPICS = (
    "punctuation", "literacy-in-science", "verbs", "pronouns", "civics", "culture", "word-study",
    "economics", "physics", "units-and-measurement", "science-and-engineering-practices",
    "reading-comprehension", "global-studies", "grammar", "figurative-language", "us-history",
    "writing-strategies", "world-history", "reference-skills", "biology", "earth-science",
    "phonological-awareness", "capitalization", "chemistry", "vocabulary", "geography",
)  # fmt: skip
"""The 26 topics, in the order in which the official script prints them."""


class Traits(NamedTuple):
    """What decides in which columns a question counts.

    Attributes:
        subject: Such as ``natural science``.
        topic: Such as ``geography``.
        grade: 1 to 12.
        has_hint: Whether there is a hint.
        has_image: Whether there is an image, shown or not.
    """

    subject: str
    topic: str
    grade: int
    has_hint: bool
    has_image: bool


BINS: dict[str, Callable[[Traits], bool]] = {
    "NAT": lambda one: one.subject == "natural science",
    "SOC": lambda one: one.subject == "social science",
    "LAN": lambda one: one.subject == "language science",
    "TXT": lambda one: one.has_hint,
    "IMG": lambda one: one.has_image,
    "NO": lambda one: not one.has_hint and not one.has_image,
    "G1-6": lambda one: one.grade <= 6,
    "G7-12": lambda one: one.grade > 6,
    AVERAGE: lambda one: True,
}
"""Column to which questions it counts, in the order of the published tables."""


def grade_number(grade: str, where: str) -> int:
    """Return the number in ``grade1`` to ``grade12``.

    Numbers are compared, since ``grade1`` is how ``grade10`` begins.

    Args:
        grade: The field of a problem.
        where: Benchmark and question, for the message.

    Raises:
        EvaluationError: It is no such grade.
    """
    found = re.fullmatch(r"grade([1-9]|1[0-2])", grade)
    if found is None:
        raise EvaluationError(f"{where}: found grade {grade!r}, expected grade1 to grade12")
    return int(found[1])


def columns(traits: Sequence[Traits]) -> dict[str, list[int]]:
    """Return which questions count in each column, as row numbers.

    Columns that are empty are left out: ``bin/NAT`` ... ``bin/Avg``, then ``topic/...``.
    """
    rows = range(len(traits))
    found = {
        f"bin/{name}": [row for row in rows if is_in(traits[row])] for name, is_in in BINS.items()
    }
    for name in sorted({one.topic for one in traits}, key=_topic_order):
        found[f"topic/{name}"] = [row for row in rows if traits[row].topic == name]
    return {name: members for name, members in found.items() if members}


def size_notes(
    found: Mapping[str, Sequence[int]], sizes: Mapping[str, int], num_topics: int | None
) -> tuple[str, ...]:
    """Say that columns have other sizes than the full split, if so.

    A part of the split is not compared: it is marked as such anyhow.

    Args:
        found: What ``columns`` gave.
        sizes: Column to its expected size.
        num_topics: How many topics are expected; None: not checked.
    """
    there = {name: len(found.get(f"bin/{name}", ())) for name in BINS}
    topics = sum(name.startswith("topic/") for name in found)
    if there[AVERAGE] < sizes.get(AVERAGE, 0):
        return ()
    other = [
        f"{name} has {there[name]} questions, not {size}"
        for name, size in sizes.items()
        if there[name] != size
    ]
    if num_topics not in (None, topics):
        other.append(f"there are {topics} topics, not {num_topics}")
    if not other:
        return ()
    return (f"the data differ from the full official split: {'; '.join(other)}",)


def official_scores(groups: Mapping[str, Sequence[Metric]]) -> dict[str, str]:
    """Return what the official script prints: column to percentage, an empty one as ``-1``.

    Args:
        groups: ``groups`` of a result: the nine columns, then the topics.
    """
    names = [f"bin/{name}" for name in BINS] + [f"topic/{name}" for name in TOPICS]
    names += [name for name in groups if name.startswith("topic/") and name not in names]
    return {
        name.partition("/")[2]: f"{groups[name][0].value * 100:.2f}" if name in groups else "-1"
        for name in names
    }


def official_line(groups: Mapping[str, Sequence[Metric]], *, topics: bool = False) -> str:
    """Return the line of the official table, columns between ``&``.

    Args:
        groups: ``groups`` of a result.
        topics: Whether the topics follow the nine columns.
    """
    scores = official_scores(groups)
    shown = list(scores.values())[: None if topics else len(BINS)]
    return "".join(f"& {score} " for score in shown) + "\\\\"


def _topic_order(topic: str) -> tuple[int, str]:
    return (TOPICS.index(topic) if topic in TOPICS else len(TOPICS), topic)
