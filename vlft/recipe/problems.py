"""What pydantic found, said in one line per problem, with file, line, value and what exists."""

import re
from collections.abc import Mapping, Sequence
from typing import Any

from pydantic import ValidationError

from vlft.errors import RecipeError, near
from vlft.recipe.fields import Place, homes_of, locate
from vlft.recipe.foreign import HOMONYMS, KEYS, TYPES
from vlft.recipe.origins import Node, Origin, find, nearest, plain
from vlft.recipe.schema import Recipe
from vlft.recipe.section import Contradiction
from vlft.recipe.training import TrainingSection
from vlft.recipe.upstream import training_arguments
from vlft.recipe.yaml_file import flow, kind_of

MAX_PROBLEMS = 5
MAX_VALUE = 60  # characters of a value that a message shows

EXPECTED = {
    "int_type": "a whole number",
    "float_type": "a number",
    "finite_number": "a finite number",
    "bool_type": "true or false",
    "string_type": "text",
    "tuple_type": "a list, such as [a, b]",
    "dict_type": "a mapping",
    "model_type": "a section, that is a mapping of keys",
}
"""Kind of pydantic's error to what should have been written."""

BOUNDS = {
    "greater_than": ("gt", "greater than"),
    "greater_than_equal": ("ge", "at least"),
    "less_than": ("lt", "less than"),
    "less_than_equal": ("le", "at most"),
}


def recipe_error(lines: Sequence[str]) -> RecipeError:
    """Return one error of one line per problem; of many, the first few."""
    shown = list(dict.fromkeys(lines))
    more = len(shown) - MAX_PROBLEMS
    if more > 0:
        shown = [*shown[:MAX_PROBLEMS], f"... and {more} more"]
    return RecipeError("\n".join(shown))


def explain(error: ValidationError, root: Node, *, file: str) -> RecipeError:
    """Turn pydantic's error into ours.

    Args:
        error: What the schema refused.
        root: The tree that was checked.
        file: The recipe, for keys that stand nowhere.
    """
    found = [_explain_one(details, root, file) for details in error.errors(include_url=False)]
    found.sort(key=lambda item: (item[0].kind != "file", item[0].file or "", item[0].line or 0))
    return recipe_error([f"{origin}: {message}" for origin, message in found])


def spelled(name: str, node: Node | None) -> str:
    """Return ``name = value`` as it was written, shortened; of a section only the name."""
    if node is None or isinstance(node.value, dict):
        return name
    text = node.text or flow(plain(node))
    return f"{name} = {text if len(text) <= MAX_VALUE else text[: MAX_VALUE - 3] + '...'}"


def _explain_one(details: Mapping[str, Any], root: Node, file: str) -> tuple[Origin, str]:
    kind, context = details["type"], details.get("ctx", {})
    place = locate(details["loc"])
    keys = place.keys
    if isinstance(context.get("error"), Contradiction):
        keys = (*keys, context["error"].field)
    elif kind in ("union_tag_invalid", "union_tag_not_found"):
        keys = (*keys, "type")
    name, node = ".".join(map(str, keys)) or "the recipe", find(root, keys)
    origin = nearest(root, keys).origin if len(keys) > 1 or node else Origin("file", file)
    return origin, f"{spelled(name, node)}: {_reason(details, context, place)}"


def _reason(details: Mapping[str, Any], context: Mapping[str, Any], place: Place) -> str:
    kind, value = details["type"], details["input"]
    match kind:
        case "extra_forbidden":
            return _unknown_key(str(place.keys[-1]), place)
        case "missing":
            return _missing(place)
        case "union_tag_not_found":
            return f"missing key. Available: {', '.join(sorted(place.choices))}"
        case "union_tag_invalid":
            return _unknown_type(str(context["tag"]), place)
        case "literal_error":
            names = re.findall(r"'([^']*)'", context["expected"])
            guess = near(value, names) if isinstance(value, str) else None
            return f"unknown value.{_did_you_mean(guess)} Available: {', '.join(names)}"
        case "value_error":
            return str(context["error"])
    if kind in BOUNDS:
        limit, words = BOUNDS[kind]
        return f"expected a number {words} {context[limit]:g}"
    if kind in EXPECTED:
        return f"expected {EXPECTED[kind]}, not {kind_of(value)}{_hint(kind, value)}"
    return details["msg"][0].lower() + details["msg"][1:]


def _unknown_key(key: str, place: Place) -> str:
    """Answer, in this order: another type's key, another section's, a neighbor's, a typo."""
    types = [name for name, other in place.siblings.items() if key in other.model_fields]
    homes = homes_of(key)
    if key in HOMONYMS and not types:
        return f"unknown key. Here: {HOMONYMS[key]}"
    if types:
        return f"unknown key. It goes with type {' or '.join(types)}"
    if homes and key != "type":
        return f"unknown key. It belongs in {' or '.join(homes[:3])}"
    if key in KEYS:
        return f"unknown key. Here: {KEYS[key]}"
    names = sorted(place.section.model_fields) if place.section else []
    guess = near(key, names)
    takes = place.section in (Recipe, TrainingSection)  # at the top, as other frameworks write it
    if not guess and takes and key in training_arguments():
        return f"unknown key. As a field of TrainingArguments it is training.extra.{key}"
    return f"unknown key.{_did_you_mean(guess)} Available: {', '.join(names)}"


def _unknown_type(tag: str, place: Place) -> str:
    answer = TYPES.get(str(place.keys[0]), {}).get(tag.lower())
    if answer:
        return f"unknown type. Here: {answer}"
    guess = near(tag, place.choices)
    return f"unknown type.{_did_you_mean(guess)} Available: {', '.join(sorted(place.choices))}"


def _missing(place: Place) -> str:
    if len(place.choices) > 1:
        return f"missing section. Give it a type: {', '.join(sorted(place.choices))}"
    field = place.section.model_fields[str(place.keys[-1])] if place.section else None
    meaning = (field.description or "").partition(";")[0].rstrip(".") if field else ""
    return f"missing key ({meaning})"


def _did_you_mean(guess: str | None) -> str:
    return f" Did you mean {guess!r}?" if guess else ""


def _hint(kind: str, value: Any) -> str:
    """Say what usually is behind a value of the wrong kind."""
    if kind == "string_type":
        return "; put it in quotes" if isinstance(value, bool | int | float) else ""
    if not isinstance(value, str):
        return ""
    if kind == "bool_type" and value.lower() in ("yes", "on", "no", "off", "true", "false"):
        return f"; write {str(value.lower() in ('yes', 'on', 'true')).lower()}"
    if kind == "tuple_type":
        return f"; write [{value}]"
    return "; remove the quotes" if kind in ("int_type", "float_type") and _is_number(value) else ""


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True
