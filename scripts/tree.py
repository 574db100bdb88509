"""Write docs/tree.md: every module with the first sentence of its docstring.

python scripts/tree.py
"""

import ast
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
PAGE = ROOT / "docs" / "tree.md"
WIDTH = 140

HEAD = """\
# Every module, in one line

Written by `python scripts/tree.py` from the docstrings; a test keeps it up to date.

```
"""


def page() -> str:
    """Return the page."""
    return "\n".join(
        [HEAD.rstrip("\n"), *lines(ROOT / "vlft"), *lines(ROOT / "scripts"), "```", ""]
    )


def lines(folder: Path, depth: int = 0) -> Iterator[str]:
    """Yield a line for a folder and for everything in it, files first."""
    init = folder / "__init__.py"
    yield line(f"{folder.name}/", first_sentence(init) if init.is_file() else "", depth)
    for path in sorted(folder.glob("*.py")):
        if path.name != "__init__.py":
            yield line(path.name, first_sentence(path), depth + 1)
    for path in sorted(folder.iterdir()):
        if path.is_dir() and any(path.glob("*.py")):
            yield from lines(path, depth + 1)


def line(name: str, words: str, depth: int) -> str:
    """Return a line of the tree, cut to the width of the page."""
    start = f"{'  ' * depth}{name}"
    text = f"{start:<35}{words}".rstrip()
    return text if len(text) <= WIDTH else f"{text[: WIDTH - 4].rsplit(' ', 1)[0]} ..."


def first_sentence(path: Path) -> str:
    """Return the first line of a module's docstring, without its full stop."""
    found = ast.get_docstring(ast.parse(path.read_text(encoding="utf-8"))) or ""
    return found.split("\n", 1)[0].replace("``", "`").rstrip(".")


if __name__ == "__main__":
    PAGE.write_text(page(), encoding="utf-8")
