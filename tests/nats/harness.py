"""What the tests share: buffers of one outbox, which stand for hosts, and their books checked."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Sequence
from contextlib import asynccontextmanager
from typing import Any, TypeVar

from ridethrough import Delivery, Undelivered
from ridethrough.jetstream import JetStreamMessageBuffer

from .proxy import Proxy

R = TypeVar("R")

Buffer = JetStreamMessageBuffer[str]


class HasLength(JetStreamMessageBuffer[str]):
    """A buffer that has a length at once, as nobody else puts into it."""

    leases_one_at_a_time = True

    def __len__(self) -> int:
        now = self.statistics()
        return now.queued + now.leased

    def is_empty(self) -> bool:
        return len(self) == 0


class Outbox:
    """Makes buffers of one outbox.

    Args:
        servers: where it is.
        name: of its stream.
    """

    def __init__(self, servers: str | Sequence[str], name: str = "outbox") -> None:
        self.servers = servers
        self.name = name

    def host(self, **options: Any) -> Buffer:
        """A buffer that has not been entered."""
        return JetStreamMessageBuffer[str](
            self.servers, self.name, **{"lease_time": 2.0, "put_timeout": 10.0, **options}
        )

    @asynccontextmanager
    async def open(self, **options: Any) -> AsyncIterator[Buffer]:
        """A buffer; in the end its books must add up."""
        async with asyncio.timeout(60), self.host(**options) as buffer:
            yield buffer
            check(buffer)
        check(buffer)

    @asynccontextmanager
    async def through_proxy(self, **options: Any) -> AsyncIterator[tuple[Buffer, Proxy]]:
        """A host whose way to the server can break."""
        assert isinstance(self.servers, str)
        proxy = Proxy(int(self.servers.rpartition(":")[2]))
        async with proxy, Outbox(proxy.url, self.name).open(**options) as buffer:
            yield buffer, proxy

    @asynccontextmanager
    async def two(self, **options: Any) -> AsyncIterator[tuple[Buffer, Buffer]]:
        """Two hosts."""
        async with self.open(**options) as one, self.open(**options) as other:
            yield one, other


def check(buffer: Buffer) -> None:
    """The books add up at this moment."""
    now = buffer.statistics()
    assert now.accepted == now.queued + now.leased + now.ended
    assert min(now) >= 0


async def put_all(buffer: Buffer, messages: Iterable[str]) -> list[Delivery[str]]:
    """Put these messages, or each letter as one."""
    deliveries = [await buffer.put(message) for message in messages]
    check(buffer)
    return deliveries


async def send_next(buffer: Buffer, result: Any = None) -> str:
    """Lease the next message and acknowledge it."""
    async with buffer.lease() as lease:
        (entry,) = lease
        entry.begin()
        assert entry.ack(result)
        check(buffer)
        message: str = entry.message
    check(buffer)
    return message


async def send_all(buffer: Buffer, count: int) -> str:
    """Lease and acknowledge that many, one after the other."""
    return "".join([await send_next(buffer) for _ in range(count)])


async def ends(delivery: Delivery[str]) -> str:
    """Await a Delivery that must end undelivered; returns the text of what it raises."""
    try:
        result = await soon(delivery)
    except Undelivered as error:
        assert error.outcome is delivery.outcome
        assert error.reason == delivery.reason != ""
        return str(error)
    raise AssertionError(f"{delivery!r} gave {result!r}")


async def soon(awaitable: Awaitable[R], seconds: float = 5) -> R:
    """What must come about without that anybody waits for long."""
    async with asyncio.timeout(seconds):
        return await awaitable


async def until(condition: Callable[[], bool], seconds: float = 10) -> None:
    """Wait for something to come about."""
    async with asyncio.timeout(seconds):
        while not condition():  # noqa: ASYNC110, whatever brings it about knows of no event
            await asyncio.sleep(0.01)


async def waits(task: asyncio.Task[Any], seconds: float = 0.3) -> bool:
    """Whether a task goes on waiting for that long."""
    await asyncio.wait({task}, timeout=seconds)
    return not task.done()
