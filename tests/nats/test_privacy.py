"""Promise 15: no body, no key and no credential in what is logged, shown or raised."""

from __future__ import annotations

import asyncio
import logging
import traceback

import pytest

from ridethrough import MessageTooLarge, Undelivered

from .harness import Outbox, put_all, send_next, until
from .servers import connected

pytestmark = pytest.mark.anyio

BODY = "CANARY-IN-THE-BODY"
KEY = "+15551234567"


async def test_nothing_shows_a_message(outbox: Outbox, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    shown: list[str] = []
    async with outbox.through_proxy(key=lambda _: KEY, max_size=3) as (buffer, proxy):
        deliveries = await put_all(buffer, [BODY] * 4)
        shown += [repr(buffer), repr(deliveries), repr(await buffer.dead_letters())]
        parts = buffer._open
        assert parts is not None
        async with buffer.lease() as lease:
            shown += [repr(lease), repr(list(lease)), repr(lease.handed)]
            next(iter(lease)).reject(ValueError(BODY))
        try:
            await deliveries[1]
        except Undelivered as error:
            shown += [str(error), repr(error)]  # its cause is the error that the program itself gave
        try:
            await buffer.put(BODY * 100_000)
        except MessageTooLarge as error:
            shown += traceback.format_exception(error)
        proxy.cut()
        await until(lambda: buffer.state == "away")
        shown += [repr(buffer), buffer.reason]
        await proxy.mend()
        await until(lambda: buffer.state == "connected")
        shown += [repr(parts.intake._parcel("x-1", BODY, BODY.encode(), None))]
        shown += [repr(await parts.store.messages.next(1)), repr(await buffer.waiting())]
        await send_next(buffer)
        await asyncio.sleep(0.1)
    text = "\n".join([*shown, caplog.text])
    assert BODY not in text
    assert KEY not in text


async def test_body_is_gone_from_the_stream_when_its_message_has_been_sent(outbox: Outbox) -> None:
    async with outbox.open() as buffer, connected(outbox.servers) as client:
        await buffer.put(BODY)
        await send_next(buffer)
        state = (await client.jetstream().stream_info(outbox.name)).state
        assert (state.messages, state.bytes) == (0, 0)


async def test_what_others_write_into_the_streams_does_no_harm(
    outbox: Outbox, caplog: pytest.LogCaptureFixture
) -> None:
    async with outbox.two() as (one, other), connected(outbox.servers) as client:
        jetstream = client.jetstream()
        for headers in (None, {"Nats-Msg-Id": "> .*-1"}, {"Ridethrough-Expires": "never"}):
            await jetstream.publish(f"{outbox.name}.in.0", b'"a"', headers=headers)
            assert await send_next(one) == "a"
        await jetstream.publish(f"{outbox.name}.state.4", b"nonsense")
        await jetstream.publish(f"{outbox.name}.dead.x", b'"b"')
        delivery = await one.put("b")
        assert delivery.id == 4
        assert one._open is not None
        for text in (b"nonsense", b"[4]", b'{"name": "x", "outcome": "no such"}', b"{}", b"4"):
            await client.publish(f"{outbox.name}.ended.{one._open.store.host}", text)
        async with other.lease():
            pass
        async with other.lease() as lease:
            (entry,) = lease
            assert (entry.delivery.attempts, entry.delivery.maybe_sent) == (0, False)
            assert entry.ack()
        assert await delivery is None
        assert await one.dead_letters() == []
        assert one.state == other.state == "connected"
    assert "what another host has told cannot be read" in caplog.text
