"""Tables of the command line."""

from typing import TYPE_CHECKING, Any

from rich.console import Console
from rich.markup import escape
from rich.table import Table

if TYPE_CHECKING:
    from vlft.types import Backbone


def tower_table(backbone: "Backbone") -> str:
    """Return a text table of what is trained, tower by tower."""
    from vlft.backbones.towers import count_towers

    rows = []
    for tower in count_towers(backbone):
        share = 100 * tower.trainable / tower.total if tower.total else 0.0
        rows.append((tower.name, f"{tower.total:,}", f"{tower.trainable:,}", f"{share:.2f} %"))
    total = sum(tower.total for tower in count_towers(backbone))
    trained = sum(tower.trainable for tower in count_towers(backbone))
    rows.append(("all", f"{total:,}", f"{trained:,}", f"{100 * trained / total:.2f} %"))
    return text_table(("tower", "parameters", "trained", "share"), rows)


def text_table(header: tuple[str, ...], rows: list[tuple[Any, ...]]) -> str:
    """Return rows as plain text, first column to the left, the others to the right.

    Nothing is cut or broken, however long. A row of one cell is a heading: it has a line of its
    own, and no part in how wide the columns are.
    """
    table = Table(box=None, pad_edge=False)
    for index, name in enumerate(header):
        table.add_column(name, justify="left" if index == 0 else "right", no_wrap=True)
    for row in rows:
        table.add_row(*(escape(_one_line(cell)) for cell in row if len(row) > 1))
    console = Console(width=ANY_WIDTH, color_system=None)
    with console.capture() as capture:
        console.print(table)
    lines = [line.rstrip() for line in capture.get().splitlines()]
    for number, row in enumerate(rows, start=1):
        if len(row) == 1:
            lines[number] = _one_line(row[0])
    return "\n".join(lines)


def _one_line(cell: object) -> str:
    return " ".join(str(cell).split("\n"))


ANY_WIDTH = 10_000
"""Characters of a line that is never reached, so that no cell is cut."""


def gigabytes(count: int | None) -> str:
    """Return bytes in the unit that reads best."""
    if count is None:
        return "unknown"
    value = float(count)
    for unit in ("B", "kB", "MB"):
        if value < 1000:
            return f"{value:.0f} {unit}" if unit == "B" else f"{value:.1f} {unit}"
        value /= 1000
    return f"{value:.2f} GB"
