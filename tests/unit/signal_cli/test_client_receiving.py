"""client.py: what comes in, in each way in which the daemon may tell of it; receipts; and the end of it all."""

from __future__ import annotations

from collections.abc import AsyncIterator
from tempfile import TemporaryDirectory
from typing import Any

import pytest
from anyio import create_task_group, fail_after, move_on_after, wait_all_tasks_blocked

from ridethrough import BufferClosed, ConnectionState, Outcome, Undelivered
from ridethrough.signal_cli import Confirmation, Data, Inbox, ServiceChange, ServiceState, SignalClient
from ridethrough.testing import Failure, FakeSignalDaemon
from tests.unit.signal_cli.clients import ANNA, AWAY, HOME, NOWHERE, QUICK, at_work, until
from tests.unit.signal_cli.incoming import ADA, SENT, data, envelope, receipt
from tests.unit.signal_cli.scripted import PATIENCE

pytestmark = pytest.mark.anyio

WAYS = [
    ("unix", "on-start"), ("unix", "on-connection"), ("unix", "manual"),
    ("tcp", "on-start"), ("tcp", "manual"),
    ("http", "on-connection"), ("http", "manual"),
]  # fmt: skip


def saying(text: str) -> dict[str, Any]:
    """An envelope from Ada."""
    return envelope(dataMessage=data(text))


async def read(inbox: Inbox, count: int) -> list[str]:
    """The texts of the next so many."""
    found = []
    with fail_after(PATIENCE):
        async for each in inbox:
            assert isinstance(each.content, Data)
            found.append(each.content.text)
            if len(found) == count:
                break
    return found


async def pushed_receipt(daemon: FakeSignalDaemon, *timestamps: int, **more: Any) -> None:
    await daemon.push(receipt(*timestamps, **more)["envelope"])


async def connected(client: SignalClient) -> None:
    await client.supervisor.wait_connected(PATIENCE)


# Messages


@pytest.mark.parametrize(("kind", "mode"), WAYS)
async def test_messages_come_once_and_in_order(kind: str, mode: str) -> None:
    with TemporaryDirectory() as folder:
        endpoint = {"unix": f"unix:{folder}/socket"}.get(kind, f"{kind}://127.0.0.1:0")
        async with at_work(endpoint=endpoint, receive_mode=mode) as (daemon, client):
            inbox = client.messages()
            for number in range(5):
                await daemon.push(saying(f"{number}"))
            assert await read(inbox, 5) == [f"{number}" for number in range(5)]
            await (await client.send("to show that it goes on", to=ANNA))
            await daemon.push(saying("last"))
            assert await read(inbox, 1) == ["last"], "nothing came twice"


@pytest.mark.parametrize(("kind", "mode"), WAYS)
async def test_messages_come_over_each_new_link(kind: str, mode: str) -> None:
    with TemporaryDirectory() as folder:
        endpoint = {"unix": f"unix:{folder}/socket"}.get(kind, f"{kind}://127.0.0.1:0")
        async with at_work(endpoint=endpoint, receive_mode=mode) as (daemon, client):
            inbox = client.messages()
            for number in range(3):
                await daemon.push(saying(f"{number}"))
                assert await read(inbox, 1) == [f"{number}"]
                await daemon.stop()
                await until(lambda: client.supervisor.state is not ConnectionState.CONNECTED)
                await daemon.start()
                await connected(client)
            await daemon.push(saying("last"))
            assert await read(inbox, 1) == ["last"]


async def test_messages_asked_for_before_the_client_was_entered() -> None:
    async with FakeSignalDaemon(receive_mode="on-connection") as daemon:
        await daemon.push(saying("before anybody was there"))
        client = SignalClient(daemon.endpoint, **QUICK)
        inbox = client.messages()
        async with client:
            assert await read(inbox, 1) == ["before anybody was there"]


async def test_messages_that_wait_in_the_daemon_are_not_asked_for_until_somebody_wants_them() -> None:
    async with at_work(receive_mode="manual") as (daemon, client):
        await daemon.push(saying("early"))
        await (await client.send("hello", to=ANNA))
        inbox = client.messages()
        assert await read(inbox, 1) == ["early"]


async def test_each_iterator_gets_everything_that_comes_after_it_was_made() -> None:
    async with at_work() as (daemon, client):
        one, two = client.messages(), client.messages(1, overflow="drop_newest")
        await daemon.push(saying("first"))
        assert await read(one, 1) == ["first"]
        three = client.messages(1)
        for text in ("second", "third"):
            await daemon.push(saying(text))
        assert await read(one, 2) == ["second", "third"]
        assert await read(two, 1) == ["first"] and two.dropped == 2
        assert await read(three, 1) == ["third"] and three.dropped == 1


async def test_answer_to_what_came_in() -> None:
    async with at_work(account=HOME) as (daemon, client):
        inbox = client.messages()
        await daemon.push(saying("are you there?"))
        came = await anext(inbox)
        await client.send("yes", to=came, quote=came)
        await client.react(came, "👍")
        await client.mark_read(came)
        await client.buffer.flush()
        answer, reaction, read_receipt = (dict(each.params) for each in daemon.sends)
        assert answer["quoteTimestamp"] == reaction["targetTimestamp"] == SENT
        assert (answer["quoteAuthor"], answer["quoteMessage"]) == (ADA, "are you there?")
        assert answer["recipient"] == [ADA]
        assert read_receipt["targetTimestamp"] == [SENT]


async def test_messages_of_another_account_are_not_ours() -> None:
    async with (
        FakeSignalDaemon(accounts=[HOME, AWAY]) as daemon,
        SignalClient(daemon.endpoint, account=HOME, **QUICK) as client,
    ):
        inbox = client.messages()
        await connected(client)
        await daemon.push(saying("to the other"), AWAY)
        await daemon.push(saying("to us"))
        assert await read(inbox, 1) == ["to us"]


@pytest.mark.parametrize(
    ("arguments", "error", "problem"),
    [
        ({"max_size": 0}, ValueError, "max_size must "),
        ({"max_size": "many"}, TypeError, "max_size must "),
        ({"overflow": "wait"}, ValueError, "overflow must "),
    ],
)
def test_bad_arguments_of_messages(arguments: dict[str, Any], error: type[Exception], problem: str) -> None:
    with pytest.raises(error, match=f"^{problem}"):
        SignalClient(NOWHERE).messages(**arguments)


# The end


async def collect(iterator: AsyncIterator[Any], into: list[Any]) -> None:
    with fail_after(PATIENCE):
        async for each in iterator:
            into.append(each)  # noqa: PERF401, whoever looks on is to see each as it comes


@pytest.mark.parametrize("how", ["leaving", "aclose"])
async def test_iterators_end_with_the_client_after_what_has_come(how: str) -> None:
    async with create_task_group() as tasks:
        envelopes: list[Any] = []
        changes: list[ServiceChange] = []
        unread: list[Any] = []
        async with at_work() as (daemon, client):
            inbox = client.messages()
            tasks.start_soon(collect, client.messages(), envelopes)
            tasks.start_soon(collect, client.service.changes(), changes)
            await daemon.push(saying("hello"))
            await until(lambda: envelopes)
            await (await client.send("hello", to=ANNA))
            if how == "aclose":
                await client.aclose()
                await wait_all_tasks_blocked()
        await collect(inbox, unread)
        await collect(client.messages(), [])  # made after the end
        await collect(client.service.changes(), [])
    assert len(envelopes) == len(unread) == 1
    assert [change.state for change in changes] == [ServiceState.REACHABLE]


async def test_iterators_end_if_the_client_was_never_entered() -> None:
    client = SignalClient(NOWHERE)
    inbox, changes = client.messages(), client.service.changes()
    await client.aclose()
    await collect(inbox, [])
    await collect(changes, [])


async def test_changes_tell_what_becomes_of_signal() -> None:
    async with at_work() as (daemon, client):
        changes = client.service.changes()
        await (await client.send("one", to=ANNA))
        daemon.service_reachable = False
        delivery = await client.send("two", to=ANNA)
        await until(lambda: client.service.attempt > 1)
        next_try = client.service.next_try
        assert next_try is not None and 0 <= next_try <= 0.01
        daemon.service_reachable = True
        await delivery
        assert client.service.next_try is None
        await client.aclose()
        states = [(change.previous, change.state) async for change in changes]
        away = (ServiceState.UNREACHABLE, ServiceState.UNREACHABLE)
        assert [each for each in states if each != away] == [
            (ServiceState.UNKNOWN, ServiceState.REACHABLE),
            (ServiceState.REACHABLE, ServiceState.UNREACHABLE),
            (ServiceState.UNREACHABLE, ServiceState.REACHABLE),
        ]
        assert away in states


# Receipts


@pytest.mark.parametrize("kind", ["delivery", "read", "viewed"])
async def test_receipt_that_has_come_already(kind: Any) -> None:
    async with at_work() as (daemon, client):
        inbox = client.messages()
        delivery = await client.send("hello", to=ADA)
        await pushed_receipt(daemon, (await delivery).timestamp, kind="viewed")
        await anext(inbox)
        for timeout in (None, 0):
            confirmation = await client.wait_receipt(delivery, kind, timeout=timeout)
            assert confirmation == Confirmation("viewed", SENT + 30, ADA)


@pytest.mark.parametrize("mode", ["on-start", "manual"])
async def test_receipt_that_is_still_to_come(mode: str) -> None:
    async with at_work(receive_mode=mode) as (daemon, client):
        delivery = await client.send("hello", to=ADA)
        found: list[Confirmation] = []

        async def wait() -> None:
            found.append(await client.wait_receipt(delivery, "read"))

        async with create_task_group() as tasks:
            tasks.start_soon(wait)
            timestamp = (await delivery).timestamp
            await wait_all_tasks_blocked()
            await pushed_receipt(daemon, timestamp + 1, kind="read")
            await pushed_receipt(daemon, timestamp, kind="delivery")
            await wait_all_tasks_blocked()
            assert not found
            await pushed_receipt(daemon, timestamp, kind="read")
        assert [each.kind for each in found] == ["read"]


async def test_receipt_of_somebody_whom_the_message_did_not_go_to() -> None:
    async with at_work() as (daemon, client):
        inbox = client.messages()
        delivery = await client.send("hello", to="+15550100400")
        await pushed_receipt(daemon, (await delivery).timestamp)  # ADA's
        await anext(inbox)
        with pytest.raises(TimeoutError):
            await client.wait_receipt(delivery, timeout=0.01)


async def test_receipt_of_a_message_that_still_waits() -> None:
    async with FakeSignalDaemon(accounts=[HOME], receive_mode="manual") as daemon:
        client = SignalClient(daemon.endpoint, **QUICK)
        delivery = await client.send("hello", to=ADA)
        with fail_after(PATIENCE):
            async with client, create_task_group() as tasks:
                tasks.start_soon(client.wait_receipt, delivery)
                await pushed_receipt(daemon, (await delivery).timestamp)


@pytest.mark.parametrize("sent", [False, True])
async def test_receipt_that_does_not_come_in_time(sent: bool) -> None:
    async with at_work() as (daemon, client):
        daemon.service_reachable = sent
        delivery = await client.send("hello", to=ADA)
        if sent:
            await delivery
        with pytest.raises(TimeoutError):
            await client.wait_receipt(delivery, timeout=0.01)
        assert delivery.outcome is (Outcome.SENT if sent else None)
        daemon.service_reachable = True


async def test_receipt_cancelled_while_waiting_changes_nothing() -> None:
    async with at_work() as (daemon, client):
        delivery = await client.send("hello", to=ADA)
        with move_on_after(0.01) as scope:
            await client.wait_receipt(delivery)
        assert scope.cancelled_caught
        await pushed_receipt(daemon, (await delivery).timestamp)
        assert (await client.wait_receipt(delivery)).uuid == ADA


async def test_receipt_of_a_message_that_was_not_sent() -> None:
    async with at_work(Failure("INVALID_PRE_KEY_FAILURE")) as (_, client):
        delivery = await client.send("hello", to=ADA)
        with pytest.raises(Undelivered, match="rejected"):
            await client.wait_receipt(delivery)


async def test_receipt_of_a_message_that_was_drained() -> None:
    client = SignalClient(NOWHERE)
    delivery = await client.send("hello", to=ADA)
    await client.buffer.drain()
    with pytest.raises(Undelivered, match="drained"):
        await client.wait_receipt(delivery)


async def test_receipt_while_the_client_is_closed() -> None:
    async with at_work() as (_, client):
        delivery = await client.send("hello", to=ADA)
        await delivery
        with pytest.raises(ExceptionGroup) as caught:
            async with create_task_group() as tasks:
                tasks.start_soon(client.wait_receipt, delivery)
                await wait_all_tasks_blocked()
                await client.aclose()
        assert [type(each) for each in caught.value.exceptions] == [BufferClosed]
        with pytest.raises(BufferClosed):
            await client.wait_receipt(delivery)


@pytest.mark.parametrize(
    ("arguments", "error", "problem"),
    [
        ({"timeout": -1}, ValueError, "timeout must "),
        ({"timeout": "soon"}, TypeError, "timeout must "),
        ({"kind": "seen"}, ValueError, "kind must be 'delivery', 'read' or 'viewed', not 'seen'"),
        ({"delivery": 5}, TypeError, "delivery must be the Delivery of a message"),
    ],
)
async def test_bad_arguments_of_wait_receipt(arguments: dict[str, Any], error: type[Exception], problem: str) -> None:
    client = SignalClient(NOWHERE)
    delivery = await client.send("hello", to=ADA)
    with pytest.raises(error, match=f"^{problem}"):
        await client.wait_receipt(**{"delivery": delivery, **arguments})
    timer: Any = await client.set_expiration(5, to=ADA)
    with pytest.raises(TypeError, match=r"^delivery must be the Delivery of a message"):
        await client.wait_receipt(timer)
    await client.aclose()
