"""No body and no number in anything that the buffer and the supervisor show, whatever goes wrong."""

from __future__ import annotations

import asyncio
import gc
import logging
from collections.abc import AsyncIterator, Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager, suppress
from functools import partial
from typing import Any, NoReturn

import pytest
from anyio import create_task_group, fail_after, sleep

from ridethrough import (
    AsyncMessageBuffer,
    AuthenticationFailed,
    BufferClosed,
    BufferFull,
    Delivery,
    FlushTimeout,
    LinkLost,
    MessageTooLarge,
    Outcome,
    Rejected,
    RetryLater,
)
from ridethrough.lease import BufferLease
from tests.clocks import jumping_backends
from tests.conformance.harness import UNDELIVERED, Buffer, end_undelivered
from tests.links import (
    PATIENCE,
    Fault,
    Network,
    cut_after,
    cut_before,
    cut_in,
    raising,
    running,
    supervise,
)
from tests.security.canary import NUMBER, SECRET, Canary, make_talkative

pytestmark = pytest.mark.anyio


@pytest.fixture(params=[0, 1], ids=["asyncio", "trio"])
def anyio_backend(request: pytest.FixtureRequest) -> Any:
    return jumping_backends()[request.param]


@pytest.fixture
def canary(caplog: pytest.LogCaptureFixture) -> Canary:
    return Canary(caplog)


@asynccontextmanager
async def opened(canary: Canary, **options: Any) -> AsyncIterator[Buffer]:
    """A buffer of secrets under a secret key; in the end, nothing must have been shown of them."""
    make_talkative()
    options = {"key": lambda _: NUMBER, "on_undelivered": canary.show, **options}
    with fail_after(PATIENCE):
        async with AsyncMessageBuffer[str](**options) as buffer:
            yield buffer
            canary.show(buffer, buffer.statistics(), buffer.statistics()._asdict())
        canary.show(buffer, buffer.statistics())
    canary.check()


def test_canary_finds_what_is_shown(canary: Canary) -> None:
    canary.show([SECRET])
    with pytest.raises(AssertionError):
        canary.check()


def test_canary_finds_what_is_logged(canary: Canary) -> None:
    logging.getLogger("ridethrough.buffer").debug("to %s", NUMBER)
    with pytest.raises(AssertionError):
        canary.check()


@pytest.mark.parametrize("anyio_backend", jumping_backends()[:1], ids=["asyncio"])
async def test_canary_hears_asyncio(canary: Canary) -> None:
    make_talkative()
    asyncio.get_running_loop().call_soon(len, SECRET)
    await sleep(1)
    with pytest.raises(AssertionError):
        canary.check()


# The buffer


@pytest.mark.parametrize("outcome", UNDELIVERED)
async def test_undelivered(outcome: Outcome, canary: Canary) -> None:
    async with opened(canary, max_size=3) as buffer:
        delivery = await end_undelivered(buffer, outcome, SECRET)
        canary.show(delivery)
        await canary.show_error_of(delivery)

        async def wait() -> None:
            await delivery

        async def wait_in_a_group() -> None:
            async with create_task_group() as tasks:
                tasks.start_soon(wait)
                tasks.start_soon(wait)

        await canary.show_error_of(wait_in_a_group())


async def test_leased_and_deferred_and_sent(canary: Canary) -> None:
    async with opened(canary) as buffer:
        deliveries = [await buffer.put(SECRET, ttl=60) for _ in range(4)]
        lease: BufferLease[str] = buffer.lease(3)
        canary.show(lease, *deliveries)
        async with lease:
            for entry in lease:
                entry.begin()
                canary.show(lease, entry, entry.delivery, deliveries[0]._terms)
                with pytest.raises(RuntimeError) as caught:
                    entry.begin()
                canary.show(caught.value)
                entry.ack() if entry.delivery is deliveries[0] else entry.defer(5)
            with pytest.raises(RuntimeError) as caught:
                await lease.__aenter__()
            canary.show(caught.value)
        await canary.show_error_of(buffer.flush(1))
        assert deliveries[1].cancel()
        await canary.show_error_of(deliveries[1])
        canary.show(lease, entry, *deliveries)
        await buffer.drain()


REFUSED: dict[str, tuple[dict[str, Any], Any, type[Exception]]] = {
    "full": ({"max_size": 1, "overflow": "reject"}, SECRET, BufferFull),
    "too large": ({"max_bytes": 20}, SECRET * 2, MessageTooLarge),
    "of no known size": ({"max_bytes": 20}, {SECRET: NUMBER}, TypeError),
    "size is the message": ({"max_bytes": 20, "size_of": lambda message: message}, SECRET, TypeError),
    "size is negative": ({"max_bytes": 20, "size_of": lambda _: -1}, SECRET, ValueError),
    "key is a list": ({"key": lambda message: [message, NUMBER]}, SECRET, TypeError),
    "ttl is the message": ({"ttl": None}, SECRET, TypeError),
}


@pytest.mark.parametrize("name", REFUSED)
async def test_refused_put(name: str, canary: Canary) -> None:
    options, message, expected = REFUSED[name]
    arguments = {"ttl": message} if name.startswith("ttl") else {}
    async with opened(canary, **options) as buffer:
        if name == "full":
            await buffer.put(SECRET)
        for put in (buffer.put_nowait, partial(in_a_thread, buffer.put_from_thread)):
            with pytest.raises(expected) as caught:
                put(message, **arguments)
            canary.show(caught.value)
        assert type(await canary.show_error_of(buffer.put(message, **arguments))) is expected
        await buffer.drain()


def in_a_thread(function: Callable[..., Any], *arguments: Any, **options: Any) -> Any:
    """Call that in another thread, which needs nothing from this one."""
    with ThreadPoolExecutor(1) as pool:
        return pool.submit(function, *arguments, **options).result()


async def test_closed_buffer(canary: Canary) -> None:
    async with opened(canary) as buffer:
        await buffer.put(SECRET)
        await buffer.aclose()
        for call in (buffer.put(SECRET), buffer.wait_nonempty(), buffer.lease().__aenter__()):
            assert type(await canary.show_error_of(call)) is BufferClosed


async def test_full_of_leased_messages(canary: Canary) -> None:
    async with opened(canary, max_size=1) as buffer:
        await buffer.put(SECRET)
        async with buffer.lease():
            assert type(await canary.show_error_of(buffer.put(SECRET))) is BufferFull
        await buffer.drain()


def raises_with_the_message(message: str) -> NoReturn:
    raise LookupError(message)


@pytest.mark.parametrize("name", ["key", "size_of"])
async def test_function_that_raises_is_the_callers_affair(name: str, canary: Canary) -> None:
    """It comes out as it was raised, and nowhere else."""
    async with opened(canary, max_bytes=10, **{name: raises_with_the_message}) as buffer:
        for put in (buffer.put_nowait, partial(in_a_thread, buffer.put_from_thread)):
            with pytest.raises(LookupError):
                put(SECRET)
        with pytest.raises(LookupError):
            await buffer.put(SECRET)
        assert buffer.statistics().accepted == 0


async def test_key_that_cannot_be_hashed_and_says_why(canary: Canary) -> None:
    class Key:
        def __hash__(self) -> int:
            raise TypeError(SECRET)

    async with opened(canary, key=lambda _: Key()) as buffer:
        assert type(await canary.show_error_of(buffer.put("hello"))) is TypeError


class Unspeakable(Exception):
    def __str__(self) -> str:
        raise RuntimeError(SECRET)


def raises_a_group(delivery: Delivery[str]) -> NoReturn:
    raise ExceptionGroup(delivery.message, [ValueError(delivery.message)])


def raises_from_another(delivery: Delivery[str]) -> NoReturn:
    error = KeyError(NUMBER)
    error.add_note(SECRET)
    raise ValueError(f"{delivery.message} to {NUMBER}") from error


def raises_the_unspeakable(delivery: Delivery[str]) -> NoReturn:
    raise Unspeakable(delivery.message)


def raises_in_c(delivery: Delivery[str]) -> int:
    return int(delivery.message)


@pytest.mark.parametrize("on_undelivered", [raises_a_group, raises_from_another, raises_the_unspeakable, raises_in_c])
async def test_on_undelivered_that_raises_goes_no_further(
    on_undelivered: Callable[[Delivery[str]], object], canary: Canary, caplog: pytest.LogCaptureFixture
) -> None:
    async with opened(canary, on_undelivered=on_undelivered, max_size=2) as buffer:
        deliveries = [await buffer.put(SECRET) for _ in range(3)]
        assert deliveries[0].outcome is Outcome.DROPPED
        assert len(await buffer.aclose()) == 2
    failures = [record for record in caplog.records if record.levelname == "ERROR"]
    assert [record.getMessage().split(" raised ")[0] for record in failures] == ["on_undelivered"] * 3


@pytest.mark.parametrize("anyio_backend", jumping_backends()[:1], ids=["asyncio"])
async def test_forgotten_buffer(canary: Canary) -> None:
    buffers: list[Buffer] = [AsyncMessageBuffer(key=lambda _: NUMBER)]
    await buffers[0].put(SECRET)

    def forget() -> None:
        buffers.clear()
        gc.collect()

    with pytest.warns(ResourceWarning) as caught:
        forget()
    for warning in caught:
        canary.show(warning.message, warning.source, warning)
    canary.check()


# The supervisor


FAULTS: dict[str, list[Fault]] = {
    "cut": [cut_before, cut_in, cut_after],
    "poison": [cut_in] * 3,
    "errors of the link": [raising(OSError(32, "Broken pipe")), raising(EOFError()), raising(LinkLost())],
    "group": [raising(ExceptionGroup("of the link", [OSError(), LinkLost("gone")]))],
    "answers": [raising(RetryLater(1)), raising(RetryLater(1, "all", "busy")), raising(Rejected("no"))],
}


@pytest.mark.parametrize("on_doubt", ["retry", "report"])
@pytest.mark.parametrize("name", FAULTS)
async def test_supervisor_at_work(name: str, on_doubt: str, canary: Canary) -> None:
    network = Network()
    network.on_connect.append(raising(ConnectionRefusedError(111, "Connection refused")))
    network.on_send.extend(FAULTS[name])
    async with opened(canary) as buffer:
        deliveries = [await buffer.put(SECRET) for _ in range(3)]
        supervisor = supervise(network, buffer, on_doubt=on_doubt, poison_after=3)
        observer = supervisor.states()
        async with running(supervisor):
            await buffer.flush()
            canary.show(supervisor, *deliveries)
        canary.show(*[transition async for transition in observer], supervisor)
        await canary.show_error_of(supervisor.wait_connected())
        await canary.show_error_of(supervisor.run())
        for delivery in deliveries:
            with suppress(Exception):
                await delivery
            if delivery.outcome is not Outcome.SENT:
                await canary.show_error_of(delivery)


@pytest.mark.parametrize("error", [AuthenticationFailed("expired"), LookupError(SECRET)], ids=["refused", "mistake"])
async def test_supervisor_that_fails(error: Exception, canary: Canary) -> None:
    """A mistake of the program comes out of run as it was raised, and nowhere else."""
    network = Network()
    network.on_send.append(raising(error))
    async with opened(canary) as buffer:
        delivery = await buffer.put(SECRET)
        supervisor = supervise(network, buffer)
        observer = supervisor.states()
        with pytest.raises(type(error)):
            await supervisor.run()
        canary.show(supervisor, delivery)
        await supervisor.aclose()
        canary.show(*[transition async for transition in observer])


async def test_supervisor_that_gives_up(canary: Canary) -> None:
    network = Network()
    network.on_connect.extend([raising(OSError("refused"))] * 100)
    async with opened(canary) as buffer:
        await buffer.put(SECRET)
        supervisor = supervise(network, buffer, max_outage=100)
        await supervisor.run()
        await canary.show_error_of(supervisor.wait_connected())
        canary.show(supervisor)


async def test_closing_with_messages_left(canary: Canary) -> None:
    network = Network()
    network.on_connect.append(raising(RetryLater(1e6)))
    async with opened(canary) as buffer, create_task_group() as tasks:
        await buffer.put(SECRET)
        supervisor = supervise(network, buffer)
        tasks.start_soon(supervisor.run)
        await sleep(1)
        assert type(await canary.show_error_of(buffer.flush(1))) is FlushTimeout
        await supervisor.aclose(5)
        canary.show(supervisor)
