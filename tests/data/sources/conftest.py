"""One table in every container."""

import csv
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

Rows = list[dict[str, Any]]


def _jsonl(rows: Rows, path: Path) -> None:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")


def _json(rows: Rows, path: Path) -> None:
    path.write_text(json.dumps(rows, indent=1), encoding="utf-8")


def _delimited(rows: Rows, path: Path) -> None:
    with path.open("w", encoding="utf-8", newline="") as file:
        dialect = "excel-tab" if path.suffix == ".tsv" else "excel"
        writer = csv.DictWriter(file, list(rows[0]), dialect=dialect)
        writer.writeheader()
        for row in rows:
            flat = {k: json.dumps(v) if isinstance(v, list) else v for k, v in row.items()}
            writer.writerow(flat)


def _parquet(rows: Rows, path: Path) -> None:
    import pyarrow as pa
    import pyarrow.parquet as pq

    pq.write_table(pa.Table.from_pylist(rows), path, row_group_size=2)


def _arrow_stream(rows: Rows, path: Path) -> None:
    import pyarrow as pa

    table = pa.Table.from_pylist(rows)
    with pa.ipc.new_stream(str(path), table.schema) as writer:
        writer.write_table(table, max_chunksize=2)


def _arrow_file(rows: Rows, path: Path) -> None:
    import pyarrow as pa

    table = pa.Table.from_pylist(rows)
    with pa.ipc.new_file(str(path), table.schema) as writer:
        writer.write_table(table, max_chunksize=2)


def _saved(rows: Rows, path: Path) -> None:
    import datasets

    datasets.Dataset.from_list(rows).save_to_disk(str(path))


CONTAINERS = {
    "jsonl": ("data.jsonl", _jsonl),
    "json list": ("data.json", _json),
    "json lines": ("lines.json", _jsonl),
    "csv": ("data.csv", _delimited),
    "tsv": ("data.tsv", _delimited),
    "parquet": ("data.parquet", _parquet),
    "arrow stream": ("stream.arrow", _arrow_stream),
    "arrow file": ("file.arrow", _arrow_file),
    "save_to_disk": ("saved", _saved),
}


@pytest.fixture(autouse=True, scope="session")
def datasets_cache(tmp_path_factory: pytest.TempPathFactory) -> None:
    """Keep what the datasets library turns into Arrow out of the user's cache."""
    import datasets

    datasets.config.HF_DATASETS_CACHE = tmp_path_factory.mktemp("datasets")
    datasets.disable_progress_bars()


@pytest.fixture
def write_rows(tmp_path: Path) -> Callable[..., Path]:
    """Write rows in a container by its name; give the path."""

    def write(container: str, rows: Rows, *, name: str | None = None) -> Path:
        usual, writer = CONTAINERS[container]
        path = tmp_path / (name or usual)
        path.parent.mkdir(parents=True, exist_ok=True)
        writer(rows, path)
        return path

    return write
