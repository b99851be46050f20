"""Host: a shared buffer on servers in memory; and the clock, the names and the jitter that go with those."""

from __future__ import annotations

import asyncio
import importlib
import pkgutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from random import Random
from types import SimpleNamespace
from typing import Any, TypeVar, cast

from nats.aio.client import Client

import ridethrough.jetstream
from ridethrough import Backoff
from ridethrough.jetstream import JetStreamMessageBuffer
from ridethrough.jetstream.wire import Wire

from .client import MemoryClient, Road
from .server import MemoryServer

T = TypeVar("T")

WALL = 1e9
"""What the wall clock shows when the loop's is at 0."""


class MemoryHost(JetStreamMessageBuffer[T]):
    """A shared buffer whose servers are in memory.

    Args:
        server: these.
        name: of the stream.
        options: as for JetStreamMessageBuffer.

    Attributes:
        road: its way to them.
        clients: those that it has made; the last one is in use.
    """

    def __init__(self, server: MemoryServer, name: str = "outbox", **options: Any) -> None:
        super().__init__("nats://memory", name, **options)
        self.road = Road()
        self.clients: list[MemoryClient] = []
        self._server = server

    def _make_wire(self) -> Wire:
        self.wire = Wire(["nats://memory"], {}, self._make_client)
        return self.wire

    def _make_client(self) -> Client:
        self.clients.append(MemoryClient(self._server, self.road))
        return cast("Client", self.clients[-1])


_MODULES = [
    importlib.import_module(f"ridethrough.jetstream.{module.name}")
    for module in pkgutil.iter_modules(ridethrough.jetstream.__path__)
]


@contextmanager
def clock_of_the_loop(*others: Any) -> Iterator[None]:
    """Within this, the clocks of the shared buffer, and of other modules, go with that of the event loop that runs."""

    def now() -> float:
        return asyncio.get_running_loop().time()

    clock = SimpleNamespace(time=lambda: WALL + now(), monotonic=now)
    with _instead([*_MODULES, *others], "time", lambda _: clock):
        yield


@contextmanager
def from_seed(random: Random) -> Iterator[None]:
    """Within this, the names of hosts and the jitter of what is tried again come from a seed."""

    def steady(backoff: Backoff) -> SimpleNamespace:
        return SimpleNamespace(ceiling=backoff.ceiling, delay=lambda tries: backoff.delay(tries, random.random))

    with (
        _instead(_MODULES, "token_hex", lambda _: lambda size: random.randbytes(size).hex()),
        _instead(_MODULES, "_RETRY", steady),
    ):
        yield


@contextmanager
def _instead(modules: list[Any], name: str, make: Callable[[Any], Any]) -> Iterator[None]:
    """Within this, modules that have something of that name have something else."""
    before = [(module, getattr(module, name)) for module in modules if hasattr(module, name)]
    assert before, f"nobody has {name} any more"
    for module, value in before:
        setattr(module, name, make(value))
    try:
        yield
    finally:
        for module, value in before:
            setattr(module, name, value)
