"""Fixtures for tests of whole runs."""

import pytest

from vlft.types import Backbone, Batch


@pytest.fixture
def batch(batches) -> Batch:
    return batches["tiny_llava"]


@pytest.fixture
def live(monkeypatch):
    """Catch the backbone that a run trains, to compare it with what is loaded later."""
    from vlft.training import fit

    caught: list[Backbone] = []
    original = fit.fit

    def spy(**kwargs):
        caught.append(kwargs["backbone"])
        return original(**kwargs)

    monkeypatch.setattr(fit, "fit", spy)
    return caught
