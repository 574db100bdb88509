"""Write the tables of docs/from-other-frameworks.md from the keys that the test snippets use.

    python scripts/foreign_keys.py

Rows are the keys of ``tests/foreign/<framework>/*.yaml``; answers are those that ``vlft`` gives.
"""

from pathlib import Path

import yaml

from vlft.recipe.fields import homes_of
from vlft.recipe.foreign import HOMONYMS, KEYS

ROOT = Path(__file__).resolve().parents[1]
PAGE = ROOT / "docs" / "from-other-frameworks.md"
SNIPPETS = ROOT / "tests" / "foreign"
START, END = "<!-- keys: scripts/foreign_keys.py -->", "<!-- end of keys -->"

FRAMEWORKS = {
    "llama_factory": "LLaMA-Factory",
    "ms_swift": "ms-swift",
    "trl": "TRL",
    "axolotl": "Axolotl",
}


def keys_of(framework: str) -> list[str]:
    """Return the keys of a framework's snippets, in alphabetical order."""
    found: set[str] = set()
    for path in (SNIPPETS / framework).glob("*.yaml"):
        values = yaml.safe_load(path.read_text(encoding="utf-8"))
        found |= set(values.pop("data.train", {})) | set(values)
    return sorted(found)


def answer(key: str) -> str:
    """Return what stands for a key here."""
    given = KEYS | HOMONYMS
    if key in given:
        return given[key]
    homes = homes_of(key)
    return f"`{homes[0]}`" if homes else f"`training.extra: {{{key}: ...}}`"


def tables() -> str:
    """Return one table per framework, as Markdown."""
    parts = []
    for framework, name in FRAMEWORKS.items():
        rows = [
            f"| `{key}` | {answer(key).replace('|', chr(92) + '|')} |" for key in keys_of(framework)
        ]
        parts.append("\n".join([f"### {name}", "", "| there | here |", "|---|---|", *rows]))
    return "\n\n".join(parts)


def page() -> str:
    """Return the page with tables that are up to date."""
    text = PAGE.read_text(encoding="utf-8")
    before, rest = text.split(START)
    return f"{before}{START}\n\n{tables()}\n\n{END}{rest.split(END)[1]}"


if __name__ == "__main__":
    PAGE.write_text(page(), encoding="utf-8")
