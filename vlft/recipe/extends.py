"""``extends:``: the base first, the file over it."""

import os
from pathlib import Path

from vlft.errors import RecipeError, UnknownNameError
from vlft.recipe.origins import Node, merge, plain
from vlft.recipe.shipped import Kind, find_shipped
from vlft.recipe.yaml_file import flow, read_yaml


def read_layers(path: Path, kind: Kind = "recipes") -> Node:
    """Read a file and everything that it extends into one tree, without ``extends``.

    Args:
        path: A recipe or a benchmark.
        kind: Which it is: shipped files of this kind may be extended by their names.

    Raises:
        RecipeError: A file cannot be read, a base does not exist, or a file extends itself.
    """
    return _read(path.resolve(), (), kind)


def shown(path: Path) -> str:
    """Return a path as it is best shown: relative where it lies below the working directory."""
    here = Path.cwd()
    return os.path.relpath(path, here) if path.is_relative_to(here) else str(path)


def _read(path: Path, chain: tuple[Path, ...], kind: Kind) -> Node:
    node = read_yaml(path, shown=shown(path))
    extends = node.value.get("extends")
    own = Node({key: child for key, child in node.value.items() if key != "extends"}, node.origin)
    if extends is None:
        return own
    chain = (*chain, path)
    merged: Node | None = None
    for name in _base_names(extends):
        base = _base_path(name, extends, path, kind)
        if base in chain:
            cycle = " -> ".join(shown(link) for link in (*chain[chain.index(base) :], base))
            raise RecipeError(f"{extends.origin}: extends in a circle: {cycle}; remove one of them")
        layer = _read(base, chain, kind)
        merged = layer if merged is None else merge(merged, layer)
    if merged is None or not own.value:
        return merged or own
    return merge(merged, own)


def _base_names(extends: Node) -> list[str]:
    names = plain(extends)
    names = [names] if isinstance(names, str) else names
    if not isinstance(names, list) or not all(isinstance(name, str) for name in names):
        raise RecipeError(
            f"{extends.origin}: extends = {flow(names)}: expected a file or shipped recipe, or a "
            "list of them, such as ../_base/generative.yaml"
        )
    return names


def _base_path(name: str, extends: Node, path: Path, kind: Kind) -> Path:
    """A file relative to the one that names it; else a shipped one."""
    beside = (path.parent / name).resolve()
    if beside.is_file():
        return beside
    try:
        return find_shipped(kind, name).resolve()
    except UnknownNameError as error:
        raise RecipeError(
            f"{extends.origin}: extends = {name}: there is no file {shown(beside)}, and: {error}"
        ) from None
