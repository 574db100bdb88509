"""Write docs/support.md from the table that the contract tests run.

python scripts/support.py
"""

import importlib.util
import sys
from collections.abc import Callable, Iterable
from pathlib import Path
from types import ModuleType

ROOT = Path(__file__).resolve().parents[1]
PAGE = ROOT / "docs" / "support.md"

HEAD = """\
# What goes with what

Written by `python scripts/support.py` from `tests/support.py`; `tests/test_support.py` runs every
cell. A number in a cell points to what you are told instead, below the table.
"""

METHODS = """\
## Methods on hosts

`yes`: the tests make an optimizer step on the tiny twin of the model line. Other lines of
`AutoModelForImageTextToText` work with `sites: auto` where their parts can be told apart.
"""

LAUNCHES = """\
## Methods and launch files

`yes`: the check before a run accepts it. The tests train LoRA on two CPU processes, generative and
contrastive, and compare the loss curves with those of one process; launches on GPUs are not part
of them.
"""

BENCHMARKS = """\
## Hosts and benchmarks

`yes`: measured in the tests, benchmarks of published files on the generated world in the same
layout. Otherwise the result says *not applicable* with the reason, never 0. Benchmarks that are not
listed (`vlft list benchmarks`) are other splits, prompts and policies; they go with the same hosts.
"""


def _load_table() -> ModuleType:
    path = ROOT / "tests" / "support.py"
    spec = importlib.util.spec_from_file_location("support_table", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module  # dataclasses look their module up
    spec.loader.exec_module(module)
    return module


TABLE = _load_table()


def launch_rows() -> list[str]:
    """Return what has a row in the table of launches: methods, and the contrastive loss."""
    nowhere = {
        method
        for method in TABLE.METHODS
        if all((method, host) in TABLE.REFUSED_METHODS for host in TABLE.HOSTS)
    }
    return [*(method for method in TABLE.METHODS if method not in nowhere), "contrastive"]


def page() -> str:
    """Return the page."""
    methods = _matrix(
        [(name, f"{host.line} (`{name}`)") for name, host in TABLE.HOSTS.items()],
        [(name, method.words) for name, method in TABLE.METHODS.items()],
        lambda host, method: TABLE.REFUSED_METHODS.get((method, host)),
    )
    words = {name: method.words for name, method in TABLE.METHODS.items()}
    launches = _matrix(
        [(row, words.get(row, "contrastive loss")) for row in launch_rows()],
        [(name, f"`{name}`") for name in TABLE.LAUNCHES],
        lambda row, launch: TABLE.REFUSED_LAUNCHES.get((row, launch)),
    )
    benchmarks = _matrix(
        [(name, f"`{name}`") for name in TABLE.BENCHMARKS],
        [(name, host.line) for name, host in TABLE.HOSTS.items()],
        TABLE.refused_benchmark,
    )
    parts = (HEAD, METHODS, methods, LAUNCHES, launches, BENCHMARKS, benchmarks)
    return "\n".join(parts)


def _matrix(
    rows: Iterable[tuple[str, str]],
    columns: Iterable[tuple[str, str]],
    refusal: Callable[[str, str], str | None],
) -> str:
    """Return a Markdown table of cells, with its refusals numbered below."""
    columns = list(columns)
    notes: dict[str, int] = {}

    def cell(row: str, column: str) -> str:
        found = refusal(row, column)
        return "yes" if found is None else f"({notes.setdefault(found, len(notes) + 1)})"

    lines = [
        "| | " + " | ".join(words for _, words in columns) + " |",
        "|---|" + ":-:|" * len(columns),
    ]
    for row, words in rows:
        lines.append(f"| {words} | " + " | ".join(cell(row, name) for name, _ in columns) + " |")
    listed = [f"{number}. {text}" for text, number in notes.items()]
    return "\n".join([*lines, "", *listed, ""]) if listed else "\n".join([*lines, ""])


if __name__ == "__main__":
    PAGE.write_text(page(), encoding="utf-8")
