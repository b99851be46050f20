"""These tests run on servers in memory, with a clock that jumps, on the one event loop that the shared buffer knows."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.clocks import JumpingClockLoop

pytest.register_assert_rewrite("tests.nats.harness", "tests.engine.harness")

from tests.nats.capabilities import leave_out  # noqa: E402

from .faults import Faults  # noqa: E402, all of which must be known by then
from .harness import SHARED, MemoryOutbox  # noqa: E402
from .host import clock_of_the_loop  # noqa: E402
from .server import MemoryServer  # noqa: E402
from .test_conformance import LEFT_OUT  # noqa: E402


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Leave out what the engine cannot promise."""
    leave_out(config, items, Path(__file__).with_name("test_conformance.py"), LEFT_OUT)


@pytest.fixture
def anyio_backend() -> Any:
    return "asyncio", {"loop_factory": JumpingClockLoop}


@pytest.fixture(autouse=True)
def _clock() -> Iterator[None]:
    with clock_of_the_loop(*SHARED):
        yield


@pytest.fixture
def server() -> MemoryServer:
    return MemoryServer()


@pytest.fixture
def outbox(server: MemoryServer) -> MemoryOutbox:
    """An outbox on servers in memory: it makes buffers, each of which stands for a host."""
    return MemoryOutbox(server)


@pytest.fixture
def faults(server: MemoryServer) -> Faults:
    """What goes wrong with single requests; to be asked for before a host is there."""
    return Faults(server)
