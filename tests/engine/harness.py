"""What the tests share: the harness of those that run against real servers, with servers in memory instead."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any, cast

from tests.nats import (
    test_lease,
    test_outage,
    test_partitions,
    test_privacy,
    test_put,
    test_supervised,
    test_taking,
    test_waiting,
)
from tests.nats.harness import Buffer, Outbox
from tests.nats.proxy import Proxy

from .client import Road
from .host import MemoryHost
from .server import MemoryServer

SHARED = (
    test_lease, test_outage, test_partitions, test_privacy, test_put, test_supervised, test_taking, test_waiting,
)  # fmt: skip
"""The tests of real servers of which some run here as well."""


class MemoryProxy:
    """A host's way to the servers; see :class:`tests.nats.proxy.Proxy`."""

    def __init__(self, road: Road) -> None:
        self._road = road
        self.stall = road.stall
        self.cut = road.cut

    async def mend(self) -> None:
        self._road.mend()


class MemoryOutbox(Outbox):
    """Makes buffers of one outbox in memory.

    Args:
        server: where it is.
    """

    def __init__(self, server: MemoryServer) -> None:
        super().__init__("nats://memory")
        self._server = server

    def host(self, **options: Any) -> Buffer:
        return MemoryHost[str](self._server, self.name, **{"lease_time": 2.0, "put_timeout": 10.0, **options})

    @asynccontextmanager
    async def through_proxy(self, **options: Any) -> AsyncIterator[tuple[Buffer, Proxy]]:
        async with self.open(**options) as buffer:
            assert isinstance(buffer, MemoryHost)
            yield buffer, cast("Proxy", MemoryProxy(buffer.road))
