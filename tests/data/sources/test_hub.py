"""Hub data sets by id, revision, subset and split, from a small server that speaks its interface.

What reads is a process of its own, since the Hub's address and the cache are fixed at import.
"""

import hashlib
import json
import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import unquote, urlsplit

import pytest

REVISIONS = {"main": "a" * 40, "v1": "b" * 40}

README = """---
configs:
- config_name: color
  data_files: [{split: train, path: color/train.parquet}, {split: test, path: color/test.parquet}]
- config_name: shape
  data_files: [{split: train, path: shape/train.parquet}]
---
"""


def parquet(*titles: str) -> bytes:
    import io

    import pyarrow as pa
    import pyarrow.parquet as pq

    rows = [{"image": {"bytes": b"\x89PNG", "path": "a.png"}, "title": title} for title in titles]
    buffer = io.BytesIO()
    pq.write_table(pa.Table.from_pylist(rows), buffer)
    return buffer.getvalue()


def files() -> dict[str, dict[str, bytes]]:
    """The repository's files by commit."""
    return {
        commit: {
            "README.md": README.encode(),
            "color/train.parquet": parquet(f"{name} red", f"{name} blue"),
            "color/test.parquet": parquet(f"{name} green"),
            "shape/train.parquet": parquet(f"{name} circle"),
        }
        for name, commit in REVISIONS.items()
    }


class Hub(BaseHTTPRequestHandler):
    """As much of the Hub as reading one public data set asks for."""

    repository = files()

    def answer(self, status: int, body: bytes, **headers: str) -> None:
        self.send_response(status)
        for name, value in {"Content-Length": str(len(body)), **headers}.items():
            self.send_header(name.replace("_", "-"), value)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    def as_json(self, value: object) -> None:
        self.answer(200, json.dumps(value).encode(), Content_Type="application/json")

    def missing(self, code: str) -> None:
        self.answer(404, b'{"error": "not found"}', X_Error_Code=code)

    def do_GET(self) -> None:
        length = int(self.headers.get("Content-Length") or 0)
        body = self.rfile.read(length)
        path = unquote(urlsplit(self.path).path)
        if not path.startswith(("/api/datasets/us/colors", "/datasets/us/colors")):
            return self.missing("RepoNotFound")
        parts = path.split("us/colors", 1)[1].strip("/").split("/")
        action, rest = parts[0], parts[1:]
        asked = rest[0] if rest else "main"
        commit = REVISIONS.get(asked, asked)
        if commit not in self.repository:
            return self.missing("RevisionNotFound")
        there = self.repository[commit]
        if action in ("", "revision"):
            siblings = [{"rfilename": name} for name in there]
            return self.as_json(
                {"id": "us/colors", "sha": commit, "private": False, "tags": [], "gated": False,
                 "disabled": False, "downloads": 0, "likes": 0, "siblings": siblings}
            )  # fmt: skip
        if action == "tree":
            below = "/".join(rest[1:])
            names = [name for name in there if name.startswith(below)]
            return self.as_json([entry(name, there[name]) for name in names])
        if action == "paths-info":
            wanted = json.loads(body)["paths"] if body.startswith(b"{") else form(body)
            return self.as_json([entry(name, there[name]) for name in wanted if name in there])
        if action == "resolve":
            name = "/".join(rest[1:])
            if name not in there:
                return self.missing("EntryNotFound")
            tag = f'"{hashlib.sha1(there[name]).hexdigest()}"'
            return self.answer(200, there[name], ETag=tag, X_Repo_Commit=commit)
        return self.missing("EntryNotFound")

    do_HEAD = do_POST = do_GET  # noqa: N815  names that the base class calls

    def log_message(self, *args: object) -> None:
        """Stay quiet."""


def entry(name: str, content: bytes) -> dict[str, object]:
    oid = hashlib.sha1(content).hexdigest()
    return {"type": "file", "path": name, "size": len(content), "oid": oid}


def form(body: bytes) -> list[str]:
    from urllib.parse import parse_qs

    return parse_qs(body.decode()).get("paths", [])


@pytest.fixture(scope="module")
def endpoint() -> Iterator[str]:
    server = ThreadingHTTPServer(("127.0.0.1", 0), Hub)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    server.server_close()


READ = """
import json, sys
from vlft.data import open_dataset
from vlft.errors import DataError
from vlft.recipe.data import Pairs
for options in json.loads(sys.argv[1]):
    usual = {"type": "pairs", "path": "hub:us/colors", "image_column": "image"}
    section = Pairs(**{**usual, **options})
    try:
        data = open_dataset(section)
        print(json.dumps([data[index].text for index in range(len(data))]))
        assert data[0].image.data == b"\\x89PNG"
    except DataError as error:
        print(json.dumps(str(error)))
"""


@pytest.fixture
def read(tmp_path_factory: pytest.TempPathFactory):
    """Open pairs with options, one after the other, in a process of its own."""
    home = tmp_path_factory.mktemp("hf")

    def run(*options: dict[str, object], endpoint: str, offline: bool = False) -> list[object]:
        environment = {
            **os.environ,
            "HF_ENDPOINT": endpoint,
            "HF_HOME": str(home),
            "HF_HUB_OFFLINE": "1" if offline else "0",
            "HF_DATASETS_OFFLINE": "1" if offline else "0",
            "HF_HUB_DISABLE_XET": "1",
            "NO_PROXY": "*",
            "OMP_NUM_THREADS": "1",
        }
        done = subprocess.run(
            [sys.executable, "-c", READ, json.dumps(options)],
            env=environment,
            capture_output=True,
            text=True,
            timeout=240,
            cwd=Path(__file__).parents[3],
        )
        assert done.returncode == 0, done.stderr[-3000:]
        return [json.loads(line) for line in done.stdout.splitlines()]

    return run


@pytest.mark.slow
def test_id_subset_split_and_revision(read, endpoint):
    color = {"subset": "color"}
    found = read(
        color,
        {**color, "split": "test"},
        {**color, "split": "train[:1]"},
        {**color, "revision": "v1"},
        {**color, "revision": REVISIONS["v1"]},
        {"subset": "shape"},
        {},
        {**color, "split": "tset"},
        {"subset": "colors"},
        {**color, "revision": "v2"},
        {"path": "hub:us/nothing"},
        endpoint=endpoint,
    )
    assert found[:6] == [
        ["main red", "main blue"],
        ["main green"],
        ["main red"],
        ["v1 red", "v1 blue"],
        ["v1 red", "v1 blue"],
        ["main circle"],
    ]
    for message, phrases in zip(
        found[6:],
        [
            ("hub:us/colors: ", "'color', 'shape'", "`subset`"),
            ("hub:us/colors: ", "tset", "['train', 'test']", "`split`"),
            ("hub:us/colors: ", "colors", "color", "`subset`"),
            ("hub:us/colors: ", "v2", "`revision`"),
            ("hub:us/nothing: ", "check the id"),
        ],
        strict=True,
    ):
        for phrase in phrases:
            assert phrase in message
        assert "\n" not in message


@pytest.mark.slow
def test_offline_a_data_set_comes_from_the_cache_or_the_message_says_what_to_do(read, endpoint):
    first = read({"subset": "color"}, endpoint=endpoint)
    again, missing = read(
        {"subset": "color"}, {"path": "hub:us/nothing"}, endpoint=endpoint, offline=True
    )
    assert [again] == first
    assert "hub:us/nothing: the Hub cannot be reached and the data set is not in the cache" in (
        missing
    )
    assert "set `path` to its files" in missing
