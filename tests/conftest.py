"""Tests run on both event loops, with clocks that jump; those with sockets or processes ask for other ones."""

from __future__ import annotations

import gc
from typing import Any

import pytest

from tests.clocks import jumping_backends


@pytest.fixture(params=[0, 1], ids=["asyncio", "trio"])
def anyio_backend(request: pytest.FixtureRequest) -> Any:
    return jumping_backends()[request.param]


def pytest_collection_finish() -> None:
    """Have the garbage collector pass over all tests and modules, which stay to the end, at every turn from here on."""
    gc.collect()
    gc.freeze()


@pytest.hookimpl(tryfirst=True)
def pytest_sessionfinish() -> None:
    """Let it see everything again: there are plugins that ask it who refers to what."""
    gc.unfreeze()
