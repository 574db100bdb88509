"""Fixtures of the tests of the generated world."""

import pytest
from jaxtyping import config


@pytest.fixture
def unchecked():
    """Switch the shape and type checks off: with them, drawing thousands of scenes takes minutes.

    The same functions run checked in the tests of single scenes.
    """
    config.update("jaxtyping_disable", True)
    yield
    config.update("jaxtyping_disable", False)
