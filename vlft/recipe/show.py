"""A resolved recipe as text and as plain data: every value with where it was written."""

from typing import Any

from vlft.recipe.extends import shown
from vlft.recipe.load import LoadedRecipe
from vlft.recipe.origins import leaves
from vlft.recipe.schema import Recipe
from vlft.recipe.yaml_file import flow, write_yaml

WIDEST = 48  # characters of a value before its origin goes out of line


def as_text(loaded: LoadedRecipe) -> str:
    """Return an aligned listing, one value per line, grouped by section."""
    lines = [f"recipe {loaded.name} ({shown(loaded.path)})"]
    rows: list[tuple[str, str, str]] = []
    section: tuple[str, ...] = ()
    for keys, value in leaves(_plain(loaded.recipe)):
        common = 0
        while common < len(keys) - 1 and keys[: common + 1] == section[: common + 1]:
            common += 1
        rows += [(f"{'  ' * depth}{keys[depth]}", "", "") for depth in range(common, len(keys) - 1)]
        section = keys[:-1]
        name = f"{'  ' * len(section)}{keys[-1]}"
        rows.append((name, flow(value), str(loaded.origins[".".join(keys)])))
    names = max(len(name) for name, _, _ in rows)
    values = min(WIDEST, max(len(value) for _, value, _ in rows))
    for name, value, origin in rows:
        lines.append(f"{name:<{names}}  {value:<{values}}  {origin}".rstrip())
    return "\n".join(lines)


def as_dict(loaded: LoadedRecipe) -> dict[str, Any]:
    """Return name, path, the resolved recipe and its origins as values that fit into JSON."""
    return {
        "name": loaded.name,
        "path": str(loaded.path),
        "recipe": _plain(loaded.recipe),
        "origins": {name: str(origin) for name, origin in loaded.origins.items()},
    }


def as_yaml(recipe: Recipe) -> str:
    """Return the resolved recipe as a file that loads to an equal one (a run's ``recipe.yaml``)."""
    return write_yaml(_plain(recipe))


def _plain(recipe: Recipe) -> dict[str, Any]:
    return _type_first(recipe.model_dump(mode="json"))


def _type_first(values: dict[str, Any]) -> dict[str, Any]:
    """Put the ``type`` of a section ahead of its other keys, also below it."""
    ordered = {"type": values["type"]} | values if "type" in values else values
    return {key: _ordered(value) for key, value in ordered.items()}


def _ordered(value: Any) -> Any:
    if isinstance(value, list):
        return [_ordered(item) for item in value]
    return _type_first(value) if isinstance(value, dict) else value
