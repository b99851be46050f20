"""What can go wrong with a connection and its requests, and what must hold then."""

from __future__ import annotations

import asyncio
import logging
from contextlib import suppress
from typing import cast

import pytest
from nats.aio.client import Client
from nats.errors import Error as NatsError

from ridethrough import AuthenticationFailed, RidethroughError, StoreAway
from tests.nats.harness import put_all, send_all, send_next, soon, until, waits

from .client import MemoryClient, Road
from .faults import ALWAYS, Faults
from .harness import MemoryOutbox
from .host import MemoryHost
from .server import Connection, MemoryServer

pytestmark = pytest.mark.anyio

_VIOLATION = NatsError('nats: permissions violation for publish to "outbox.in.0"')


class _Refusing(Road):
    """Leads to servers that do not know the credentials."""

    def connect(self, server: MemoryServer, on_cut: object) -> Connection:  # noqa: ARG002
        raise ConnectionRefusedError("nats: 'Authorization Violation' for user me, secret")


class _ThatFailsOnce(MemoryClient):
    """Cannot even begin to connect, the first time."""

    failed = False

    async def connect(self, *args: object, **options: object) -> None:
        if not _ThatFailsOnce.failed:
            _ThatFailsOnce.failed = True
            raise NatsError("nats: no servers available")
        await super().connect(*args, **options)  # type: ignore[arg-type]


async def test_refused_credentials_are_told_at_once_and_not_shown(
    server: MemoryServer, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    buffer = MemoryHost[str](server)
    buffer.road = _Refusing()
    began = asyncio.get_running_loop().time()
    with pytest.raises(AuthenticationFailed, match=r"^the NATS server refuses the credentials$"):
        await buffer.__aenter__()
    assert asyncio.get_running_loop().time() - began < 1
    assert buffer.state == "closed"
    assert "secret" not in caplog.text


async def test_request_that_the_account_does_not_allow_says_so(faults: Faults, outbox: MemoryOutbox) -> None:
    async with outbox.open(put_timeout=1.0) as buffer:
        assert isinstance(buffer, MemoryHost)
        faults.lose("outbox.in.0", ALWAYS, happen=lambda: buffer.clients[-1].complain(_VIOLATION))
        text = "^JetStream did not answer in 1 s: the account lacks a permission; the message may have been put$"
        with pytest.raises(StoreAway, match=text):
            await buffer.put("a")
        assert faults.asked["outbox.in.0"] > 5, "each is given up at once"
        faults.no_more()
        await buffer.put("b")
        assert await send_next(buffer) == "b"


async def test_connection_that_cannot_be_made_anew_is_tried_again(
    outbox: MemoryOutbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with outbox.open() as buffer:
        assert isinstance(buffer, MemoryHost)
        await put_all(buffer, "a")

        def make() -> Client:
            buffer.clients.append(_ThatFailsOnce(buffer._server, buffer.road))
            return cast("Client", buffer.clients[-1])

        monkeypatch.setattr(_ThatFailsOnce, "failed", False)
        monkeypatch.setattr(buffer.wire, "_make_client", make)
        call = asyncio.create_task(send_all(buffer, 2))
        buffer.clients[-1].expel()
        await until(lambda: len(buffer.clients) == 3)
        await until(lambda: buffer.state == "connected")
        await buffer.put("b")
        assert await soon(call) == "ab"


async def test_put_cancelled_in_the_moment_of_its_answer_has_happened(faults: Faults, outbox: MemoryOutbox) -> None:
    async with outbox.open() as buffer:
        assert isinstance(buffer, MemoryHost)
        held = faults.hold_answer("outbox.in.0")
        call = asyncio.create_task(buffer.put("a"))
        await held.there.wait()
        held.let_go()
        buffer.road.behind(call.cancel)
        began = asyncio.get_running_loop().time()
        assert (await call).id == 1
        assert asyncio.get_running_loop().time() - began < 0.1
        assert buffer.statistics().accepted == await buffer.count() == 1
        assert await send_next(buffer) == "a"


async def test_put_that_an_error_meets_in_the_moment_of_its_answer_is_kept_once(
    faults: Faults, outbox: MemoryOutbox
) -> None:
    async with outbox.open() as buffer:
        assert isinstance(buffer, MemoryHost)
        for message, moments in (("a", 0), ("b", 1)):  # before the answer is looked at, and just after
            held = faults.hold_answer("outbox.in.0")
            call = asyncio.create_task(buffer.put(message))
            await held.there.wait()
            held.let_go()
            buffer.road.behind(*[lambda: None] * moments, lambda: buffer.clients[-1].complain(_VIOLATION))
            await soon(call, 1)
        assert buffer.statistics().accepted == await buffer.count() == 2
        assert faults.asked["outbox.in.0"] == 3, "only the first was put again"
        assert await send_all(buffer, 2) == "ab"


async def test_put_cancelled_just_before_its_answer_has_happened(faults: Faults, outbox: MemoryOutbox) -> None:
    async with outbox.open() as buffer:
        held = faults.hold_answer("outbox.in.0")
        call = asyncio.create_task(buffer.put("a"))
        await held.there.wait()
        call.cancel()
        assert await waits(call, 0.1)
        held.let_go()
        delivery = await soon(call, 0.1)
        assert buffer.statistics().accepted == 1
        assert await send_next(buffer) == "a"
        assert await delivery is None


async def test_question_cancelled_while_it_is_asked_changes_nothing(faults: Faults, outbox: MemoryOutbox) -> None:
    async with outbox.open() as buffer:
        await put_all(buffer, "a")
        held = faults.hold_answer("$JS.API.STREAM.INFO.outbox")
        call = asyncio.create_task(buffer.count())
        await held.there.wait()
        call.cancel()
        await asyncio.wait({call})
        assert call.cancelled()
        held.let_go()
        assert await buffer.count() == 1


async def test_connection_lost_in_the_moment_of_a_cancellation_has_taken_nothing(
    faults: Faults, outbox: MemoryOutbox
) -> None:
    async with outbox.through_proxy() as (buffer, way):
        await put_all(buffer, "a")
        held = faults.hold("$JS.API.STREAM.INFO.outbox")
        call = asyncio.create_task(buffer.count())
        await held.there.wait()
        call.cancel()
        way.cut()
        await asyncio.wait({call})
        assert call.cancelled()
        await way.mend()
        assert await send_next(buffer) == "a"
        assert await buffer.count() == 0


async def test_server_that_falls_silent_and_speaks_again_is_noticed_though_nobody_asks(
    server: MemoryServer, outbox: MemoryOutbox
) -> None:
    async with outbox.open(put_timeout=1.0) as buffer:
        server.weather.leader = "silent"
        with pytest.raises(StoreAway):
            await buffer.count()
        await asyncio.sleep(30)
        assert buffer.state == "away"
        server.weather.leader = "there"
        await until(lambda: buffer.state == "connected", 5)


async def test_put_that_is_cancelled_in_the_moment_in_which_its_buffer_is_closed_returns(
    faults: Faults, outbox: MemoryOutbox
) -> None:
    async with outbox.open() as buffer:
        assert buffer._open is not None
        wire = buffer._open.wire
        faults.lose_answers("outbox.in.*")
        call = asyncio.create_task(buffer.put("a"))
        assert await waits(call)
        call.cancel()
        wire.closed = True
        wire._lose_all("the connection was closed")
        assert wire._sweeping is not None
        wire._sweeping.cancel()
        await asyncio.wait({call}, timeout=10)
        assert call.done()
        wire.closed = False
        with suppress(asyncio.CancelledError, RidethroughError):
            await call
