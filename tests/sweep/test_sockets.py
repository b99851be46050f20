"""What lives on real sockets, cancelled at each point: connecting, the fake daemon and the relay."""

from __future__ import annotations

import os
from contextlib import suppress
from functools import partial
from pathlib import Path

import pytest
from anyio import BrokenResourceError, EndOfStream, Event, create_task_group
from anyio.lowlevel import checkpoint

from ridethrough import AsyncMessageBuffer, Backoff
from ridethrough.signal_cli import DeliveryGroup, ServiceStatus, SignalMessage, SignalOutbox, target_of
from ridethrough.signal_cli.connection import Connection
from ridethrough.signal_cli.endpoints import parse_endpoint
from ridethrough.signal_cli.inbox import Mailbox
from ridethrough.signal_cli.judge import Judge
from ridethrough.signal_cli.link import SignalLink
from ridethrough.testing import FakeSignalDaemon, Relay
from tests.sweep.sweep import Call, every_kind, sweep
from tests.talk import request, send, talk_to

pytestmark = pytest.mark.anyio

PATIENCE = 20
ANNA, BERT = "+493012345678", "+493012345679"

every_kind_on_sockets = every_kind(["asyncio", "trio"])


def count_open() -> int:
    """How many files and sockets this process has open."""
    return len(os.listdir("/dev/fd"))  # noqa: PTH208, no names are wanted


async def check_closed(before: int) -> None:
    """No more are open than before, once whoever is about to close one has had a turn."""
    for _ in range(1000):
        if count_open() <= before:
            return
        await checkpoint()
    raise AssertionError(f"{count_open() - before} sockets were left open")


def files_in(folder: Path) -> list[Path]:
    return list(folder.iterdir())


async def is_listening(endpoint: str) -> bool:
    try:
        connection = await parse_endpoint(endpoint).open(lambda _: None)
    except OSError:
        return False
    await connection.aclose()
    return True


def endpoint_for(place: str, folder: Path) -> str:
    return f"unix:{folder / 'socket'}" if place == "unix" else f"{place}://127.0.0.1:0"


async def check_works(endpoint: str) -> None:
    async with talk_to(endpoint) as talk:
        assert (await talk.ask(request("version")))["result"]


@every_kind_on_sockets
@pytest.mark.parametrize(("place", "points"), [("tcp", 2), ("http", 4)])
async def test_open(kind: str, place: str, points: int, tmp_path: Path) -> None:
    async def story(call: Call[Connection]) -> None:
        async with create_task_group() as tasks:
            call.start_soon(tasks, partial(parse_endpoint(daemon.endpoint).open, lambda _: None))
            await call.end()
        if call.result is not None:
            await call.result.aclose()
        await check_closed(before)

    async with FakeSignalDaemon(endpoint_for(place, tmp_path)) as daemon:
        assert await is_listening(daemon.endpoint)  # with HTTP, it opens files when it is first used
        before = count_open()
        assert await sweep(story, kind, PATIENCE) >= points


@every_kind_on_sockets
@pytest.mark.parametrize(("place", "points"), [("unix", 7), ("tcp", 8), ("http", 10)])
async def test_link_from_connecting_to_closing(kind: str, place: str, points: int, tmp_path: Path) -> None:
    async def enter_and_leave() -> None:
        mailbox = Mailbox(None)
        inbox = mailbox.open_inbox()
        judge = Judge(ServiceStatus(), Backoff())
        async with SignalLink(parse_endpoint(daemon.endpoint), None, judge, mailbox, PATIENCE) as link:
            await link.call("listDevices", {})
        inbox.close()

    async def story(call: Call[None]) -> None:
        async with create_task_group() as tasks:
            call.start_soon(tasks, enter_and_leave)
            await call.end()
        await check_closed(before)

    async with FakeSignalDaemon(endpoint_for(place, tmp_path)) as daemon:
        assert await is_listening(daemon.endpoint)
        before = count_open()
        assert await sweep(story, kind, PATIENCE) >= points


@every_kind_on_sockets
async def test_send_of_a_file(kind: str, tmp_path: Path) -> None:
    async def story(call: Call[DeliveryGroup]) -> None:
        buffer: AsyncMessageBuffer[SignalMessage] = AsyncMessageBuffer(key=target_of)
        outbox = SignalOutbox(buffer)

        async def put() -> DeliveryGroup:
            return await outbox.send("see", to=[ANNA, BERT], attachments=[path])

        async with create_task_group() as tasks:
            call.start_soon(tasks, put)
            await call.end()
        assert len(await buffer.aclose()) == (0 if call.cancelled else 2)

    path = tmp_path / "notes.txt"
    path.write_bytes(b"what was said")
    assert await sweep(story, kind, PATIENCE) >= 2


@every_kind_on_sockets
@pytest.mark.parametrize("place", ["unix", "tcp"])
async def test_fake_daemon_from_entering_to_leaving(kind: str, place: str, tmp_path: Path) -> None:
    async def story(call: Call[None]) -> None:
        daemon = FakeSignalDaemon(endpoint_for(place, tmp_path))
        entered, asked = Event(), Event()

        async def serve() -> None:
            async with daemon:
                entered.set()
                await asked.wait()

        async def ask() -> None:
            await entered.wait()
            with suppress(OSError, BrokenResourceError):  # it may be gone already
                async with talk_to(daemon.endpoint) as talk:
                    await talk.say(send("hello", ANNA))
                    await talk.hear_line_or_end()
            asked.set()

        async with create_task_group() as tasks:
            call.start_soon(tasks, serve)
            tasks.start_soon(ask)
            await call.end()
            tasks.cancel_scope.cancel()
        await check_closed(before)
        assert not files_in(tmp_path)
        assert not await is_listening(daemon.endpoint)

    before = count_open()
    assert await sweep(story, kind, PATIENCE) >= 10


@every_kind_on_sockets
async def test_fake_daemon_that_stops_and_starts(kind: str) -> None:
    async def stop_and_start(daemon: FakeSignalDaemon) -> None:
        await daemon.stop()
        await daemon.start()

    async def story(call: Call[None]) -> None:
        async with FakeSignalDaemon() as daemon, talk_to(daemon.endpoint) as talk, create_task_group() as tasks:
            call.start_soon(tasks, partial(stop_and_start, daemon))
            await call.end()
            assert await talk.hear_line_or_end() is None, "it has died all the same"
            while call.cancelled and await is_listening(daemon.endpoint):
                await checkpoint()
            assert call.cancelled or await is_listening(daemon.endpoint)
            await daemon.start()
            await check_works(daemon.endpoint)

    assert await sweep(story, kind, PATIENCE) >= 1


@every_kind_on_sockets
async def test_relay_from_entering_to_leaving(kind: str) -> None:
    relay: Relay

    async def use() -> None:
        async with relay, talk_to(relay.endpoint) as talk:
            await talk.ask(request("version"))

    async def story(call: Call[None]) -> None:
        nonlocal relay
        relay = Relay(daemon.endpoint)
        async with create_task_group() as tasks:
            call.start_soon(tasks, use)
            await call.end()
        await check_closed(before)
        assert not await is_listening(relay.endpoint)

    async with FakeSignalDaemon() as daemon:
        before = count_open()
        assert await sweep(story, kind, PATIENCE) >= 10


@every_kind_on_sockets
async def test_relay_that_refuses_and_accepts(kind: str) -> None:
    async def refuse_and_accept(relay: Relay) -> None:
        await relay.refuse()
        await relay.accept()

    async def story(call: Call[None]) -> None:
        async with Relay(daemon.endpoint) as relay, talk_to(relay.endpoint) as talk, create_task_group() as tasks:
            call.start_soon(tasks, partial(refuse_and_accept, relay))
            await call.end()
            assert await talk.hear_line_or_end() is None, "it has refused all the same"
            while call.cancelled and await is_listening(relay.endpoint):
                await checkpoint()
            assert call.cancelled or await is_listening(relay.endpoint)
            await relay.accept()
            await check_works(relay.endpoint)

    async with FakeSignalDaemon() as daemon:
        assert await sweep(story, kind, PATIENCE) >= 1


@every_kind_on_sockets
async def test_push_leaves_no_half_line(kind: str) -> None:
    """A client that was being told hears a whole line or an end, and the others are as well off as before."""

    async def story(call: Call[None]) -> None:
        async with FakeSignalDaemon() as daemon, talk_to(daemon.endpoint) as one, talk_to(daemon.endpoint) as two:
            for talk in (one, two):
                await talk.ask(request("version"))  # so that both are there
            async with create_task_group() as tasks:
                call.start_soon(tasks, partial(daemon.push, {"of": "no matter"}))
                await call.end()
            cut = 0
            for talk in (one, two):
                try:
                    answer = await talk.ask(request("version"))
                    assert (await talk.hear() if "method" in answer else answer)["result"]
                except (EndOfStream, BrokenResourceError):
                    cut += 1
            assert cut <= call.cancelled

    assert await sweep(story, kind, PATIENCE) >= 2
