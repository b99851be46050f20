"""The demo's account of the messages, and how it fails."""

from __future__ import annotations

import anyio
import pytest
from anyio.abc import SocketStream

from ridethrough import AsyncMessageBuffer, Delivery
from ridethrough.demo import Audit, DemoFailed, audit, run_demo
from ridethrough.signal_cli import Target, TargetKind, TextMessage, make_target
from ridethrough.testing import FakeSignalDaemon
from ridethrough.views import View

pytestmark = pytest.mark.anyio

SELF = Target(TargetKind.SELF)


async def delivered(*outcomes: str) -> list[Delivery[TextMessage]]:
    """A message for each outcome, which has come to that end; its text is its number."""
    buffer: AsyncMessageBuffer[TextMessage] = AsyncMessageBuffer()
    deliveries = [await buffer.put(TextMessage(SELF, str(number + 1))) for number in range(len(outcomes))]
    async with buffer.lease(100) as lease:
        for entry, outcome in zip(lease, outcomes, strict=True):
            entry.begin()
            if outcome == "sent":
                entry.ack()
            elif outcome == "rejected":
                entry.reject("no")
            elif outcome == "unknown":
                entry.unknown("who knows")
    open_ones = [delivery for delivery in deliveries if delivery.outcome is None]
    assert len(open_ones) == outcomes.count("open")
    for delivery in deliveries:
        delivery.maybe_sent = False
    await buffer.drain()  # so that it is not forgotten with messages in it
    for delivery in open_ones:
        delivery.outcome = None
    return deliveries


def figures(*, in_order: bool = True, **counts: int) -> Audit:
    zeros = dict.fromkeys(("accepted", "sent", "dropped", "expired", "rejected", "unknown", "duplicates", "lost"), 0)
    return Audit(**{**zeros, **counts}, in_order=in_order)


async def test_audit_of_what_arrived() -> None:
    deliveries = await delivered("sent", "rejected", "sent", "unknown", "sent")
    assert audit(deliveries, ["1", "3", "4", "5"], []) == figures(accepted=5, sent=3, rejected=1, unknown=1)


async def test_audit_finds_what_was_sent_and_did_not_arrive() -> None:
    result = audit(await delivered("sent", "sent"), ["2"], [])
    assert result == figures(accepted=2, sent=2, lost=1)
    assert not result.passed


async def test_audit_finds_what_has_no_outcome() -> None:
    assert audit(await delivered("sent", "open"), ["1"], []) == figures(accepted=2, sent=1, lost=1)


async def test_audit_finds_what_overtook() -> None:
    result = audit(await delivered("sent", "sent", "sent"), ["1", "3", "2"], [])
    assert result == figures(accepted=3, sent=3, in_order=False)
    assert not result.passed


async def test_audit_counts_duplicates_which_are_no_disorder() -> None:
    result = audit(await delivered("sent", "sent"), ["1", "1", "2", "1"], [])
    assert result == figures(accepted=2, sent=2, duplicates=2)
    assert result.passed


async def test_audit_where_nobody_can_tell_what_arrived() -> None:
    deliveries = await delivered("sent", "sent", "sent")
    deliveries[1].maybe_sent = True
    assert audit(deliveries, None, [10, 11, 12]) == figures(accepted=3, sent=3, duplicates=1)
    assert audit(deliveries, None, [10, 12, 12]) == figures(accepted=3, sent=3, duplicates=1, in_order=False)


def test_audit_as_text() -> None:
    text = figures(accepted=4, sent=2, dropped=2, duplicates=1, in_order=False).as_text()
    assert text == "4 messages accepted: 2 sent, 2 dropped. 0 lost, 1 duplicates, OUT OF ORDER."


@pytest.mark.parametrize("anyio_backend", ["asyncio", "trio"])
async def test_demo_without_a_daemon_says_why() -> None:
    async with await anyio.create_tcp_listener(local_host="127.0.0.1") as listener:
        port = listener.extra(anyio.abc.SocketAttribute.local_port)
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(listener.serve, hang_up)
            with pytest.raises(DemoFailed, match=r"no link to the daemon within 0\.1 s: .+"):
                await run_demo(f"tcp://127.0.0.1:{port}", None, SELF, View(), patience=0.1)
            tasks.cancel_scope.cancel()


@pytest.mark.parametrize("anyio_backend", ["asyncio"])
async def test_demo_whose_messages_do_not_go_says_so() -> None:
    async with FakeSignalDaemon() as daemon:
        daemon.service_reachable = False
        with pytest.raises(DemoFailed, match=r"\d+ messages had no outcome yet after 0\.4 s"):
            person = make_target(to="11111111-1111-4111-8111-000000000001")
            await run_demo(daemon.endpoint, None, person, View(), patience=0.1)


async def hang_up(stream: SocketStream) -> None:
    await stream.aclose()
