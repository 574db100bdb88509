"""JSON Schema of recipe files, for editors: completion, descriptions, errors while typing.

    python -m vlft.recipe.json_schema vlft.schema.json

A file that extends another one gives only what differs, so the schema asks for no key of a
section; what is missing after ``extends`` is found when the recipe is loaded.
"""

import json
import sys
from pathlib import Path
from typing import Any

from vlft.recipe.schema import Recipe

EXTENDS = {
    "description": "Recipes that this one goes over, the first at the bottom: files relative to "
    "this one, or shipped names such as _base/generative.",
    "anyOf": [{"type": "string"}, {"type": "array", "items": {"type": "string"}}],
}


def json_schema() -> dict[str, Any]:
    """Return the schema of a recipe file (JSON Schema 2020-12)."""
    schema = _relax(Recipe.model_json_schema())
    required = [name for name, field in Recipe.model_fields.items() if field.is_required()]
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        **schema,
        "title": "vlft recipe",
        "properties": {"extends": EXTENDS, **schema["properties"]},
        "anyOf": [{"required": ["extends"]}, {"required": required}],
    }


def write_json_schema(path: Path) -> None:
    """Write the schema to a file."""
    path.write_text(json.dumps(json_schema(), indent=2) + "\n", encoding="utf-8")


def _relax(schema: Any) -> Any:
    """Ask for no key, and let a section without its ``type`` fit any of its types."""
    if isinstance(schema, list):
        return [_relax(item) for item in schema]
    if not isinstance(schema, dict):
        return schema
    relaxed = {
        key: _relax(value)
        for key, value in schema.items()
        if key not in ("required", "discriminator", "oneOf")
    }
    if "oneOf" in schema:
        relaxed["anyOf"] = _relax(schema["oneOf"])
    return relaxed


if __name__ == "__main__":
    write_json_schema(Path(sys.argv[1]))
