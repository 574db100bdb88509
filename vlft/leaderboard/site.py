"""From folders of results to a site: the whole of ``vlft leaderboard`` but for its printing."""

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Literal, NamedTuple

from vlft.disk import replace_text, tell_full_disk, writable
from vlft.errors import EvaluationError, RecipeError
from vlft.leaderboard.entries import Entry, Leaderboard, Skipped
from vlft.leaderboard.published import beside, noted, references_in
from vlft.leaderboard.ranking import tables_of
from vlft.leaderboard.readers import read_results
from vlft.leaderboard.render_csv import render_csv
from vlft.leaderboard.render_html import render_html
from vlft.leaderboard.render_markdown import render_markdown
from vlft.leaderboard.samples import How, linked
from vlft.recipe.extends import read_layers
from vlft.recipe.shipped import find_shipped, list_shipped, shipped_root

Published = Literal["matching", "all", "none"]
"""Published tables to show: of benchmarks that something was measured on, all, or none."""


class Site(NamedTuple):
    """What was written.

    Attributes:
        leaderboard: All tables.
        files: The four files.
        skipped: Every JSON file that gave no entry.
    """

    leaderboard: Leaderboard
    files: list[Path]
    skipped: list[Skipped]


def build(
    places: Sequence[Path],
    out: Path,
    *,
    published: Published = "matching",
    references: Path | None = None,
    samples: How = "copy",
) -> Site:
    """Write ``leaderboard.md``, ``.csv``, ``.json`` and ``index.html``.

    Args:
        places: Folders that are searched for results, or single files.
        out: Folder to write. Files of other names in it stay as they are.
        published: Which published tables to show.
        references: Folder of published tables; None: the shipped ones.
        samples: Whether files with samples are copied, linked to where they are, or left out.

    Raises:
        EvaluationError: A place does not exist, there is no result at all, or a published table
            does not fit.
        RunDirectoryError: The folder cannot be written to, or the disk is full.
    """
    found = read_results(places, out=out)
    if not found.entries:
        raise EvaluationError(_nothing(places, found.skipped))
    tables = [] if published == "none" else references_in(references or _shipped_references())
    if published == "matching":
        tables = beside(tables, found.entries)
    writable(out, what="the leaderboard")
    entries = [linked(entry, out, samples) for entry in found.entries]
    board = leaderboard([*entries, *tables], found.skipped)
    names = {one.benchmark for one in (*board.tables, *board.not_applicable)}
    contents = {
        "leaderboard.json": board.model_dump_json(indent=1) + "\n",
        "leaderboard.csv": render_csv(board),
        "leaderboard.md": render_markdown(board),
        "index.html": render_html(board, descriptions(names)),
    }
    with tell_full_disk(out, what="the leaderboard"):
        for name, content in contents.items():
            replace_text(out / name, content)
    return Site(board, [out / name for name in contents], found.skipped)


def leaderboard(entries: Sequence[Entry], skipped: Iterable[Skipped] = ()) -> Leaderboard:
    """Return all tables of some entries.

    Args:
        entries: From whatever source.
        skipped: Files that gave none; only damaged ones are kept.
    """
    apply = [entry for entry in entries if entry.status != "not_applicable"]
    lacking = {  # whoever was asked twice is listed once
        (entry.benchmark, entry.model.name, entry.model.weights or "", entry.reason or ""): entry
        for entry in entries
        if entry.status == "not_applicable"
    }
    return Leaderboard(
        tables=noted(tables_of(apply)),
        not_applicable=tuple(lacking[told] for told in sorted(lacking)),
        skipped=tuple(one for one in skipped if one.damaged),
    )


def descriptions(benchmarks: Iterable[str]) -> Mapping[str, str]:
    """Return what those benchmarks that come with vlft measure, in a sentence each.

    Args:
        benchmarks: Names of any benchmarks, with values that were changed or without.
    """
    found = {}
    for name in {one.partition(":")[0] for one in benchmarks} & set(list_shipped("eval")):
        try:
            description = read_layers(find_shipped("eval", name)).value.get("description")
        except RecipeError:  # a benchmark that cannot be read spoils no leaderboard
            continue
        if description is not None:
            found[name] = str(description.value)
    return found


def _shipped_references() -> Path:
    return shipped_root("eval") / "references"


def _nothing(places: Sequence[Path], skipped: Sequence[Skipped]) -> str:
    where = ", ".join(map(str, places))
    damaged = [one for one in skipped if one.damaged]
    if damaged:
        first = f"{damaged[0].file}: {damaged[0].reason}"
        return f"{where}: no result that can be used; the first of {len(damaged)} bad ones: {first}"
    return (
        f"{where}: no results ({len(skipped)} other JSON files): write some with "
        "`vlft eval RUN --benchmark NAME`, and name their folder"
    )
