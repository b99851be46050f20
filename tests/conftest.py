"""Tests run on both event loops, with clocks that jump; those with sockets or processes ask for other ones."""

from __future__ import annotations

from typing import Any

import pytest

from tests.clocks import jumping_backends


@pytest.fixture(params=[0, 1], ids=["asyncio", "trio"])
def anyio_backend(request: pytest.FixtureRequest) -> Any:
    return jumping_backends()[request.param]
