"""``vlft list``: the names that recipes and commands take.

They are read from the schema and the shipped files, so that no component is imported.
"""

from collections.abc import Callable, Mapping
from textwrap import fill
from typing import get_args

from vlft.errors import pick
from vlft.evaluation.benchmark import SUITES, benchmark_names, described, suite_names
from vlft.recipe.adapter import AdapterSection
from vlft.recipe.backbone import BackboneSection
from vlft.recipe.data import DatasetSection
from vlft.recipe.data.scenes import QuestionType
from vlft.recipe.fields import sections_in
from vlft.recipe.objective import ObjectiveSection
from vlft.recipe.shipped import Kind, list_shipped


def run(kind: str) -> None:
    """Print the names of one kind, or the kinds.

    Raises:
        UnknownNameError: There is no such kind.
    """
    if not kind:
        for name, names in KINDS.items():
            print(f"{name:<12} {len(names()):>3}   vlft list {name}")
        return
    names = pick(KINDS, kind, kind="kind of thing to list")()
    if kind not in DESCRIBED:
        print("\n".join(names))
        return
    found = {name: DESCRIBED[kind](name) for name in names}
    print("\n".join(_described(found)))


def _described(found: Mapping[str, str]) -> list[str]:
    """Return a line per name with its description, broken where it would be too long."""
    width = max(map(len, found)) + 2
    return [
        fill(f"{name:<{width}}{text}", WIDTH, subsequent_indent=" " * width)
        for name, text in found.items()
    ]


WIDTH = 120
"""Characters of a line."""


def _shipped(kind: Kind) -> Callable[[], list[str]]:
    return lambda: list_shipped(kind)


def _types(annotation: object) -> Callable[[], list[str]]:
    return lambda: sorted(sections_in(annotation))


KINDS: dict[str, Callable[[], list[str]]] = {
    "recipes": _shipped("recipes"),
    "configs": _shipped("configs"),
    "benchmarks": benchmark_names,
    "suites": suite_names,
    "launches": _shipped("accelerate_configs"),
    "adapters": _types(AdapterSection),
    "backbones": _types(BackboneSection),
    "datasets": _types(DatasetSection),
    "objectives": _types(ObjectiveSection),
    "questions": lambda: sorted(get_args(QuestionType)),
}

DESCRIBED: dict[str, Callable[[str], str]] = {
    "benchmarks": described,
    "suites": lambda name: described(f"{SUITES}{name}"),
}
"""Kinds whose files say what they are."""
