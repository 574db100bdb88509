"""Values given on the command line as ``section.key=value``."""

from collections.abc import Iterable

from vlft.errors import RecipeError
from vlft.recipe.origins import COMMAND_LINE, Keys, Node, merge
from vlft.recipe.yaml_file import parse_yaml


def parse_override(text: str) -> tuple[Keys, Node]:
    """Read one ``a.b=value``; the value is read as it would be in a file.

    Raises:
        RecipeError: No ``=``, no value, or a key that cannot be one.
    """
    name, separator, value = text.partition("=")
    keys = tuple(name.strip().split("."))
    if not separator:
        raise RecipeError(f"command line: {text!r}: expected key=value, such as training.bf16=true")
    if name.startswith("-"):
        raise RecipeError(f"command line: {text!r}: write {text.lstrip('-')}, without dashes")
    if not all(keys) or any(character.isspace() for character in name.strip()):
        raise RecipeError(f"command line: {text!r}: {name!r} is not a key such as training.bf16")
    if keys[0] == "extends":
        raise RecipeError(
            "command line: `extends` belongs in the file; copy the recipe and edit it"
        )
    if not value.strip():
        raise RecipeError(
            f"command line: {text!r} has no value; write {name}=null, or {name}=\"''\" for empty "
            "text"
        )
    try:
        node = parse_yaml(value, locate=lambda line: COMMAND_LINE)
    except RecipeError as error:
        raise RecipeError(f"{error} (in {text!r})") from None
    return keys, node


def override_layer(overrides: Iterable[str]) -> Node:
    """Read overrides into one tree that goes over the file; of two for one key the later holds.

    They become one layer first, so that ``adapter.r=8 adapter.type=lora`` means the same in any
    order.

    Raises:
        RecipeError: One of them cannot be read.
    """
    layer = Node({}, COMMAND_LINE)
    for text in overrides:
        keys, node = parse_override(text)
        for key in reversed(keys):
            node = Node({key: node}, COMMAND_LINE)
        layer = merge(layer, node)
    return layer
