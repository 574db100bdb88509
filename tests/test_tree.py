"""docs/tree.md names every module. Else run: python scripts/tree.py"""

import importlib.util
from pathlib import Path

ROOT = Path(__file__).parents[1]


def script():
    path = ROOT / "scripts" / "tree.py"
    spec = importlib.util.spec_from_file_location(path.stem, path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_the_page_is_up_to_date():
    assert (ROOT / "docs" / "tree.md").read_text(encoding="utf-8") == script().page()


def test_every_module_says_what_it_is():
    for path in (ROOT / "vlft").rglob("*.py"):
        assert script().first_sentence(path), path
