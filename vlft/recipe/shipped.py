"""Files that come with vlft: recipes, benchmark declarations, launch files, host configurations.

In a clone they lie beside the package, in a wheel under ``vlft/_shipped/``; this is the one place
that knows. Names are paths below the kind's folder without ``.yaml``: ``tiny/lora_scenes``.
"""

from pathlib import Path
from typing import Literal

from vlft.errors import UnknownNameError, unknown

Kind = Literal["recipes", "eval", "accelerate_configs", "configs"]

PACKAGE = Path(__file__).resolve().parents[1]


def shipped_root(kind: Kind) -> Path:
    """Return the folder that holds the files of a kind."""
    if kind == "configs":
        return PACKAGE / "backbones" / "configs"
    packed = PACKAGE / "_shipped" / kind
    return packed if packed.is_dir() else PACKAGE.parent / kind


def list_shipped(kind: Kind) -> list[str]:
    """Return the names of a kind, sorted, without parts that are only extended (``_base/``)."""
    return [name for name in _names(kind) if not name.startswith("_")]


def find_shipped(kind: Kind, name: str) -> Path:
    """Return the file of a shipped name.

    Args:
        kind: What is looked for.
        name: ``tiny/lora_scenes``, ``tiny/lora_scenes.yaml`` or ``recipes/tiny/lora_scenes.yaml``.

    Raises:
        UnknownNameError: With the near match and all names.
    """
    wanted = name.removeprefix(f"{kind}/").removesuffix(".yaml")
    names = _names(kind)
    if wanted not in names:
        known = names if wanted.startswith("_") else list_shipped(kind)
        raise UnknownNameError(unknown(f"name in {kind}/", name, known))
    return shipped_root(kind) / f"{wanted}.yaml"


def shipped_name(kind: Kind, path: Path) -> str | None:
    """Return the name of a file when it is a shipped one."""
    root = shipped_root(kind).resolve()
    path = path.resolve()
    if not path.is_relative_to(root):
        return None
    return path.relative_to(root).as_posix().removesuffix(".yaml")


def _names(kind: Kind) -> list[str]:
    root = shipped_root(kind)
    return sorted(
        path.relative_to(root).as_posix().removesuffix(".yaml") for path in root.rglob("*.yaml")
    )
