"""These tests run against real NATS servers, in real time, on the one event loop that nats-py knows."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import count
from pathlib import Path

import pytest

pytest.register_assert_rewrite("tests.nats.harness")

from .capabilities import LEFT_OUT, leave_out  # noqa: E402
from .harness import Outbox  # noqa: E402, which must be known by then
from .servers import Cluster, Server, one_server, three_servers  # noqa: E402

_names = count(1)


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Leave out what the engine cannot promise: see ``capabilities.py``."""
    leave_out(config, items, Path(__file__).with_name("test_conformance.py"), LEFT_OUT)


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


@pytest.fixture(scope="session")
def server() -> Iterator[Server]:
    """A server that all tests share, each with an outbox of its own."""
    with one_server() as server:
        yield server


@pytest.fixture
def own_server() -> Iterator[Server]:
    """A server that a test may kill."""
    with one_server() as server:
        yield server


@pytest.fixture
def cluster() -> Iterator[Cluster]:
    """A cluster of three whose servers a test may kill."""
    with three_servers() as cluster:
        yield cluster


@pytest.fixture
def outbox(server: Server) -> Outbox:
    """An outbox that is there for this test alone: it makes buffers, each of which stands for a host."""
    return Outbox(server.url, f"test-{next(_names)}")
