import json
from pathlib import Path
from typing import Any

import pytest


@pytest.fixture(scope="session")
def golden() -> list[dict[str, Any]]:
    """Cases that the upstream class shuffled under one seed, where they are at hand."""
    path = Path(__file__).parents[4] / "shared" / "data" / "aro" / "order_golden.json"
    if not path.is_file():
        pytest.skip("needs the golden file shared/data/aro/order_golden.json")
    return json.loads(path.read_text())["cases"]


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch) -> Path:
    """Draws are saved below the test's own folder."""
    monkeypatch.setenv("VLFT_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"
