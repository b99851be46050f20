"""What happens while a host has no way to the servers, and when the servers themselves are away."""

from __future__ import annotations

import asyncio
import logging
import time

import pytest

from ridethrough import AuthenticationFailed, FlushTimeout, Outcome, StoreAway, StoreError, StoreFull
from ridethrough.jetstream import JetStreamMessageBuffer

from .harness import Buffer, Outbox, check, put_all, send_all, send_next, soon, until, waits
from .proxy import Proxy
from .servers import Server, one_server

pytestmark = pytest.mark.anyio


async def test_host_that_is_cut_off_holds_up_its_message_for_the_lease_time(outbox: Outbox) -> None:
    async with outbox.through_proxy() as (one, proxy), outbox.open() as other:
        await put_all(one, "ab")
        async with one.lease() as lease:
            (entry,) = lease
            entry.begin()
            proxy.stall()
            began = time.monotonic()
            async with other.lease() as second:
                assert 1.5 < time.monotonic() - began < 2 + 2
                (again,) = second
                assert (again.message, again.delivery.attempts, again.delivery.maybe_sent) == ("a", 1, True)
                assert not entry.ack(), "its time has passed"
                with pytest.raises(RuntimeError):
                    next(iter(lease), entry).begin()
                await proxy.mend()
        await until(lambda: one.state == "connected")
        assert one.statistics().late == 1


async def test_late_holder_does_not_touch_the_lease_of_the_next_one(outbox: Outbox) -> None:
    async with outbox.through_proxy() as (one, proxy), outbox.open() as other:
        delivery = await one.put("a")
        async with one.lease() as lease:
            next(iter(lease)).begin()
            proxy.stall()
            second = await soon(other.lease().__aenter__())
            (again,) = second
            again.begin()
            await proxy.mend()
        await asyncio.sleep(0.3)
        assert not second.over
        assert again.ack(2)
        await second.__aexit__(None, None, None)
        assert await soon(delivery) == 2


async def test_what_was_sent_and_could_not_be_acknowledged_is_not_sent_again_by_this_host(outbox: Outbox) -> None:
    async with outbox.through_proxy() as (buffer, proxy):
        delivery, _ = await put_all(buffer, "ab")
        async with buffer.lease() as lease:
            (entry,) = lease
            entry.begin()
            proxy.cut()
            assert entry.ack(1)
        assert (delivery.outcome, await delivery) == (Outcome.SENT, 1)
        await proxy.mend()
        assert await soon(send_next(buffer), 10) == "b"
        assert await buffer.count() == 0


async def test_acknowledgement_is_tried_again_while_the_lease_holds(outbox: Outbox) -> None:
    async with outbox.through_proxy(lease_time=10.0) as (one, proxy), outbox.open(lease_time=10.0) as other:
        await put_all(one, "ab")
        async with one.lease() as lease:
            (entry,) = lease
            entry.begin()
            proxy.cut()
            assert entry.ack()
            mending = asyncio.create_task(_mend_later(proxy))
        await mending
        assert await soon(send_next(other), 1) == "b"


async def _mend_later(proxy: Proxy) -> None:
    await asyncio.sleep(0.5)
    await proxy.mend()


async def test_put_is_tried_again_until_there_is_an_answer(outbox: Outbox) -> None:
    async with outbox.through_proxy() as (buffer, proxy):
        await buffer.put("a")
        proxy.stall()
        calls = [asyncio.create_task(buffer.put(message)) for message in "bcd"]
        assert await waits(calls[0])
        proxy.cut()
        assert await waits(calls[0])
        await proxy.mend()
        assert [(await soon(call)).id for call in calls] == [2, 3, 4]
        assert await send_all(buffer, 4) == "abcd"
        assert await buffer.count() == 0, "none was put twice"


async def test_put_that_was_under_way_twice_is_kept_once(outbox: Outbox) -> None:
    async with outbox.through_proxy() as (buffer, proxy):
        await buffer.put("a")
        proxy.stall()
        calls = [asyncio.create_task(buffer.put(message)) for message in "bc"]
        assert await waits(calls[0], 3.5), "by now it has been tried again"
        await proxy.mend()
        assert [(await soon(call)).id for call in calls] == [2, 3]
        assert await send_all(buffer, 3) == "abc"
        assert await buffer.count() == 0


async def test_put_says_after_its_time_whether_the_message_may_be_there(outbox: Outbox) -> None:
    async with outbox.through_proxy(put_timeout=1.0) as (buffer, proxy):
        proxy.cut()
        await until(lambda: buffer.state == "away")
        with pytest.raises(StoreAway, match=r"did not answer in 1 s: .*; the message was not put"):
            await buffer.put("a")
        await proxy.mend()
        await until(lambda: buffer.state == "connected")
        proxy.stall()
        with pytest.raises(StoreAway, match="the message may have been put"):
            await buffer.put("b")
        await proxy.mend()
        await until(lambda: buffer.state == "connected")
        assert await send_next(buffer) == "b"
        assert await buffer.count() == 0


async def test_put_cancelled_while_the_servers_are_away_has_not_happened(outbox: Outbox) -> None:
    async with outbox.through_proxy() as (buffer, proxy):
        proxy.cut()
        await until(lambda: buffer.state == "away")
        call = asyncio.create_task(buffer.put("a"))
        assert await waits(call)
        call.cancel()
        await soon(asyncio.wait({call}), 1)
        assert call.cancelled()
        await proxy.mend()
        await until(lambda: buffer.state == "connected")
        assert await buffer.count() == 0
        check(buffer)


async def test_outage_shows_in_state_and_log(outbox: Outbox, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, "ridethrough")
    async with outbox.through_proxy() as (buffer, proxy):
        assert (buffer.state, buffer.reason) == ("connected", "")
        proxy.cut()
        await until(lambda: buffer.state == "away")
        assert buffer.reason != ""
        assert "away" in repr(buffer)
        await proxy.mend()
        await until(lambda: buffer.state == "connected")
        assert buffer.reason == ""
    texts = [(record.levelname, record.message) for record in caplog.records if record.name == "ridethrough.jetstream"]
    assert texts[0] == ("WARNING", "NATS is away: the connection was lost")
    assert texts[1][0] == "INFO"
    assert texts[1][1].startswith("NATS is back after ")
    assert len(texts) == 2


async def test_server_that_was_killed_has_kept_everything(own_server: Server) -> None:
    outbox = Outbox(own_server.url)
    async with outbox.two() as (one, other):
        deliveries = await put_all(one, "abc")
        own_server.kill()
        call = asyncio.create_task(one.put("d"))
        lease = asyncio.create_task(send_next(other, "ok"))
        assert await waits(call)
        own_server.start()
        deliveries.append(await soon(call, 10))
        assert await soon(lease, 10) == "a"
        assert await send_all(other, 3) == "bcd"
        assert await soon(deliveries[0]) == "ok"
        await one.flush(5)
        assert {delivery.outcome for delivery in deliveries} == {Outcome.SENT}


async def test_wait_for_messages_outlasts_the_server(own_server: Server) -> None:
    async with Outbox(own_server.url).open() as buffer:
        call = asyncio.create_task(send_next(buffer))
        assert await waits(call)
        own_server.kill()
        assert await waits(call)
        own_server.start()
        await buffer.put("a")
        assert await soon(call, 5) == "a"


async def test_closing_while_the_servers_are_away(own_server: Server) -> None:
    buffer = Outbox(own_server.url).host()
    async with buffer:
        await put_all(buffer, "ab")
        lease = await buffer.lease().__aenter__()
        own_server.kill()
        await until(lambda: buffer.state == "away")
        began = time.monotonic()
        assert await buffer.aclose(1) == ["a", "b"]
        assert time.monotonic() - began < 1 + 6
        assert lease.over
        check(buffer)


async def test_entering_gives_up_after_the_put_timeout(own_server: Server) -> None:
    own_server.kill()
    buffer: Buffer = JetStreamMessageBuffer(own_server.url, put_timeout=0.5)
    with pytest.raises(StoreAway, match=r"no NATS server was reached in 0.5 s: "):
        await buffer.__aenter__()
    assert buffer.state == "closed"


async def test_server_without_jetstream_is_told() -> None:
    with one_server() as server:
        server.kill()
        text = (server.folder / "server.conf").read_text()
        (server.folder / "server.conf").write_text(text.splitlines()[0])
        server.start()
        buffer: Buffer = JetStreamMessageBuffer(server.url, put_timeout=1.0)
        with pytest.raises(StoreError, match="JetStream"):
            await buffer.__aenter__()


async def test_refused_credentials_are_told_at_once_and_not_shown(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    with one_server(extra='authorization { user: "me", password: "right" }') as server:
        address = server.url.replace("//", "//me:wrong@")
        buffer: Buffer = JetStreamMessageBuffer(address)
        began = time.monotonic()
        with pytest.raises(AuthenticationFailed, match="the NATS server refuses the credentials"):
            await buffer.__aenter__()
        assert time.monotonic() - began < 5
        buffer = JetStreamMessageBuffer(server.url, options={"user": "me", "password": "right"})
        async with buffer:
            await put_all(buffer, "a")
            assert "right" not in repr(buffer)
        assert "wrong" not in repr(buffer) + caplog.text


async def test_connection_that_nats_py_gives_up_is_made_anew(outbox: Outbox) -> None:
    async with outbox.open() as buffer:
        parts = buffer._open
        assert parts is not None
        await buffer.put("a")
        await parts.wire._client.publish(
            "x", b"y" * 1_048_570, headers={"too": "large" * 100}
        )  # it is expelled for that
        await until(lambda: buffer.state == "away")
        await until(lambda: buffer.state == "connected")
        await buffer.put("b")
        assert await send_all(buffer, 2) == "ab"


async def test_full_disk_is_told_and_drains() -> None:
    with one_server() as server:
        server.kill()
        text = (server.folder / "server.conf").read_text()
        (server.folder / "server.conf").write_text(
            text.replace("sync_interval", "max_file_store: 200KB, sync_interval")
        )
        server.start()
        async with Outbox(server.url).open(max_size=1000, overflow="drop_oldest") as buffer:
            with pytest.raises(StoreFull, match="JetStream has no room on its disks: insufficient resources"):
                while True:
                    await buffer.put("x" * 10_000)
            held = await buffer.count()
            assert held > 5
            assert buffer.statistics().dropped == 0
            for _ in range(held):
                await send_next(buffer)
            await buffer.put("y")
            assert buffer.state == "connected"


async def test_whoever_asks_is_told_that_the_servers_are_away(outbox: Outbox) -> None:
    async with outbox.through_proxy(put_timeout=0.5) as (buffer, proxy):
        delivery = await buffer.put("a")
        proxy.cut()
        await until(lambda: buffer.state == "away")
        for ask in (buffer.count, buffer.dead_letters, buffer.drain, lambda: buffer.cancel(delivery)):
            with pytest.raises(StoreAway, match=r"JetStream did not answer in 0.5 s: "):
                await ask()
        with pytest.raises(FlushTimeout):
            await buffer.flush(0.2)
        await proxy.mend()
        await until(lambda: buffer.state == "connected")
        assert await buffer.cancel(delivery)


async def test_message_whose_past_cannot_be_asked_for_comes_again(outbox: Outbox) -> None:
    async with outbox.through_proxy(lease_time=1.0) as (one, proxy), outbox.open(lease_time=1.0) as other:
        await put_all(other, "a")
        async with other.lease() as lease:
            next(iter(lease)).begin()
        call = asyncio.create_task(one.lease().__aenter__())
        await asyncio.sleep(0)
        proxy.stall()
        await asyncio.sleep(0.5)
        await proxy.mend()
        lease = await soon(call)
        (entry,) = lease
        assert entry.delivery.maybe_sent
        entry.begin()
        assert entry.ack()
        await lease.__aexit__(None, None, None)
        assert await other.count() == 0
