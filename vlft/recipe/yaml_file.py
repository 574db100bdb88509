"""YAML in, with line numbers; YAML out, such that it reads back as it was.

PyYAML follows YAML 1.1, in which ``1e-4`` is text, ``on`` and ``no`` are booleans, ``010`` is
eight and ``12:30`` is a number. Recipes follow the core schema of YAML 1.2 instead: ``true`` and
``false`` are booleans, ``null`` and ``~`` are null, numbers are numbers in every usual spelling,
all else is text. One addition: a number without a point that is whole is an integer, so ``1e3`` is
1000. Dates, tags and merge keys (``<<``) are not part of recipes.

The same reader serves files and values on the command line.
"""

import math
import re
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import yaml

from vlft.errors import RecipeError
from vlft.recipe.origins import Node, Origin

Locate = Callable[[int], Origin]
"""Line (from 1) to origin."""

NULL, BOOL, INT, FLOAT, TEXT = (
    f"tag:yaml.org,2002:{name}" for name in ("null", "bool", "int", "float", "str")
)
MAX_WHOLE = 2**53  # beyond it a float no longer holds every integer


class _Reader(yaml.SafeLoader):
    """SafeLoader up to the node graph, with the scalar rules of this module."""

    yaml_implicit_resolvers: dict = {}  # noqa: RUF012  PyYAML's own way of holding the rules


class _Writer(yaml.SafeDumper):
    """SafeDumper that quotes whatever the reader would not read as text."""

    yaml_implicit_resolvers: dict = {}  # noqa: RUF012  as above


for _class in (_Reader, _Writer):
    for _tag, _pattern, _first in (
        (NULL, r"~|null|Null|NULL|", ["~", "n", "N", ""]),
        (BOOL, r"true|True|TRUE|false|False|FALSE", list("tTfF")),
        (INT, r"[-+]?[0-9]+|0o[0-7]+|0x[0-9a-fA-F]+", list("-+0123456789")),
        (
            FLOAT,
            r"[-+]?(?:\.[0-9]+|[0-9]+(?:\.[0-9]*)?)(?:[eE][-+]?[0-9]+)?"
            r"|[-+]?\.(?:inf|Inf|INF)|\.(?:nan|NaN|NAN)",
            list("-+.0123456789"),
        ),
    ):
        _class.add_implicit_resolver(_tag, re.compile(rf"^(?:{_pattern})$"), _first)

# The reader refuses a bare None, so the text has to be written in quotes.
_Writer.add_implicit_resolver(NULL, re.compile("^None$"), ["N"])


def read_yaml(path: Path, *, shown: str) -> Node:
    """Read a YAML file whose top is a mapping.

    Args:
        path: The file.
        shown: Its name in messages and origins.

    Raises:
        RecipeError: It cannot be read, is not YAML, is empty, or gives a key twice.
    """
    try:
        text = path.read_text(encoding="utf-8")
    except UnicodeDecodeError as error:
        raise RecipeError(f"{shown}: not UTF-8 text ({error.reason})") from None
    except OSError as error:
        raise RecipeError(f"{shown}: cannot be read: {error.strerror}") from None
    node = parse_yaml(text, locate=lambda line: Origin("file", shown, line))
    if not isinstance(node.value, dict):
        found = "is empty" if node.value is None else f"holds {kind_of(node.value)}"
        raise RecipeError(f"{shown}: {found}; expected sections such as `backbone:`")
    return node


def parse_yaml(text: str, *, locate: Locate) -> Node:
    """Read one YAML value.

    Args:
        text: The document.
        locate: Gives the origin of a line.

    Raises:
        RecipeError: Not YAML, a key given twice, or something that recipes do not have.
    """
    try:
        graph = yaml.compose(text, Loader=_Reader)
        if graph is None:
            return Node(None, locate(1))
        return _convert(graph, locate(1), (), locate, frozenset())
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        where = locate(mark.line + 1 if mark else 1)
        raise RecipeError(f"{where}: not valid YAML: {_problem(error)}") from None
    except yaml.YAMLError as error:  # a character that YAML does not allow
        raise RecipeError(f"{locate(1)}: not valid YAML: {' '.join(str(error).split())}") from None
    except RecursionError:
        raise RecipeError(f"{locate(1)}: not valid YAML: nested too deeply") from None


def write_yaml(values: Mapping[str, Any]) -> str:
    """Write plain values as YAML that ``parse_yaml`` reads back unchanged, in the given order."""
    return yaml.dump(
        values, Dumper=_Writer, sort_keys=False, allow_unicode=True, default_flow_style=None
    )


def flow(value: Any) -> str:
    """Write one plain value on one line, as it could stand in a recipe or on the command line."""
    text = yaml.dump(
        value, Dumper=_Writer, default_flow_style=True, allow_unicode=True, width=math.inf
    )
    return text.removesuffix("\n").removesuffix("\n...")


def kind_of(value: Any) -> str:
    """Say in words what kind of value it is."""
    match value:
        case None:
            return "null"
        case bool():
            return "a boolean"
        case int():
            return "a whole number"
        case float():
            return "a number"
        case str():
            return "text"
        case dict():
            return "a mapping"
    return "a list"


def _convert(
    graph: yaml.Node, origin: Origin, keys: tuple[str, ...], locate: Locate, above: frozenset[int]
) -> Node:
    """Turn PyYAML's node into ours; ``above`` holds the nodes that this one stands in."""
    line = locate(graph.start_mark.line + 1)
    if id(graph) in above:
        raise RecipeError(f"{line}: {_name(keys)}: an alias refers to the value it stands in")
    above |= {id(graph)}
    if isinstance(graph, yaml.MappingNode):
        return Node(_mapping(graph, keys, locate, above), origin)
    if isinstance(graph, yaml.SequenceNode):
        items = [
            _convert(item, locate(item.start_mark.line + 1), keys, locate, above)
            for item in graph.value
        ]
        return Node(items, origin)
    assert isinstance(graph, yaml.ScalarNode)
    try:
        return Node(_scalar(graph, line, keys), origin, graph.value)
    except ValueError as error:  # an explicit tag (!!int abc), or more digits than Python takes
        raise RecipeError(f"{line}: {_name(keys)}: {error}") from None


def _mapping(
    graph: yaml.MappingNode, keys: tuple[str, ...], locate: Locate, above: frozenset[int]
) -> dict[str, Node]:
    children: dict[str, Node] = {}
    for key, value in graph.value:
        origin = locate(key.start_mark.line + 1)
        if not isinstance(key, yaml.ScalarNode) or key.tag != TEXT:
            raise RecipeError(f"{origin}: {_name(keys)}: keys are text; put this one in quotes")
        name = key.value
        if name == "<<":
            raise RecipeError(f"{origin}: merge keys (<<) are not part of recipes; use `extends`")
        if name in children:
            first = children[name].origin
            at = f" (first on line {first.line})" if first.line else ""
            raise RecipeError(f"{origin}: {_name((*keys, name))} is given twice{at}; remove one")
        children[name] = _convert(value, origin, (*keys, name), locate, above)
    return children


def _scalar(node: yaml.ScalarNode, line: Origin, keys: tuple[str, ...]) -> Any:
    text = node.value
    if node.tag == TEXT:
        if text == "None" and node.style is None:
            raise RecipeError(f"{line}: {_name(keys)} = None: write null (or 'None' for the text)")
        return text
    if node.tag == NULL:
        return None
    if node.tag == BOOL:
        return text.lower() == "true"
    if node.tag == INT:
        return int(text, 0) if text.startswith(("0o", "0x")) else int(text)
    if node.tag == FLOAT:
        number = float(re.sub(r"\.(?=inf|nan)", "", text.lower()))
        whole = "." not in text and abs(number) <= MAX_WHOLE and number.is_integer()
        return int(number) if whole else number
    raise RecipeError(f"{line}: {_name(keys)}: tags such as {node.tag} are not part of recipes")


def _name(keys: tuple[str, ...]) -> str:
    return ".".join(keys) or "the file"


def _problem(error: yaml.MarkedYAMLError) -> str:
    """Say in one line what is wrong and what usually helps."""
    problem = error.problem or error.context or "cannot be read"
    if "'\\t'" in problem:
        return "a tab where spaces are expected; indent with spaces"
    if "cannot start any token" in problem or "alias" in problem or "directive" in problem:
        return f"{problem}; put a value with special characters in quotes"
    return problem
