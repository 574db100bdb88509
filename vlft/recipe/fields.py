"""The schema, walked: which section a location lies in, and where else a key exists."""

from collections.abc import Iterator, Mapping
from types import UnionType
from typing import Annotated, Any, NamedTuple, Union, get_args, get_origin

from vlft.recipe.schema import Recipe
from vlft.recipe.section import Section

Location = tuple[str | int, ...]


class Place(NamedTuple):
    """Where in a recipe a location of pydantic's is.

    Attributes:
        keys: The way to it as it is written.
        section: The section that its last key should belong to; None in a free mapping.
        siblings: The sections, by ``type``, that this one was chosen from.
        choices: The sections, by ``type``, that may stand at the place itself.
    """

    keys: Location
    section: type[Section] | None = None
    siblings: Mapping[str, type[Section]] = {}
    choices: Mapping[str, type[Section]] = {}


def locate(location: Location) -> Place:
    """Turn a location, in which the types of sections are steps, into a place."""
    place = Place(())
    annotation: Any = Recipe
    siblings: Mapping[str, type[Section]] = {}
    for step in location:
        choices = sections_in(annotation)
        if len(choices) > 1 and step in choices:
            annotation, siblings = choices[step], choices
        elif step != "[key]":  # that one says: the key is wrong, not its value
            section = next(iter(choices.values())) if len(choices) == 1 else None
            annotation = _below(annotation, section, str(step))
            place = Place((*place.keys, step), section, siblings, sections_in(annotation))
            siblings = {}
    return place


def sections_in(annotation: Any) -> dict[str, type[Section]]:
    """Return the sections that an annotation allows, by their ``type`` (or name, without one)."""
    if isinstance(annotation, type) and issubclass(annotation, Section):
        field = annotation.model_fields.get("type")
        return {get_args(field.annotation)[0] if field else annotation.__name__: annotation}
    if get_origin(annotation) is Annotated:
        return sections_in(get_args(annotation)[0])
    found: dict[str, type[Section]] = {}
    if get_origin(annotation) in (Union, UnionType):
        for argument in get_args(annotation):
            found |= sections_in(argument)
    return found


def every_section(
    section: type[Section] = Recipe, prefix: str = ""
) -> Iterator[tuple[str, type[Section]]]:
    """Yield every section of the schema with the way to it, such as ``data.train``."""
    yield prefix, section
    for name, field in section.model_fields.items():
        here = f"{prefix}.{name}" if prefix else name
        annotation = field.annotation
        if get_origin(annotation) is dict:
            annotation, here = get_args(annotation)[1], f"{here}.<name>"
        elif get_origin(annotation) is tuple:
            annotation, here = get_args(annotation)[0], f"{here}.<number>"
        for child in sections_in(annotation).values():
            yield from every_section(child, here)


def homes_of(key: str) -> list[str]:
    """Return where the schema has a key, the shortest ways first: ``["adapter.lora_alpha"]``."""
    homes = (
        f"{at}.{key}".lstrip(".") for at, section in every_section() if key in section.model_fields
    )
    return sorted(dict.fromkeys(homes), key=lambda home: home.count("."))


def _below(annotation: Any, section: type[Section] | None, key: str) -> Any:
    if section is not None:
        field = section.model_fields.get(key)
        return field.annotation if field else None
    return _items(annotation)


def _items(annotation: Any) -> Any:
    """What the values of a mapping, or the items of a list, are."""
    if get_origin(annotation) is dict:
        return get_args(annotation)[1]
    return get_args(annotation)[0] if get_origin(annotation) is tuple else None
