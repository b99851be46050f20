"""client.py: messages about other messages, which may still wait, arrive after these and name them rightly."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from tempfile import TemporaryDirectory
from typing import Any

import pytest
from anyio import fail_after

from ridethrough import Delivery, Outcome, Undelivered
from ridethrough.signal_cli import Mention, MessageId, SendResult, SignalClient, Style, StyleKind, make_target
from ridethrough.testing import CutAfter, CutBefore, Failure, FakeSignalDaemon
from tests.unit.signal_cli.clients import ANNA, BERT, GROUP, HOME, QUICK, at_work, texts
from tests.unit.signal_cli.scripted import PATIENCE

pytestmark = pytest.mark.anyio

SENT = 1_700_000_000_123
HERS = MessageId(make_target(to=ANNA), ANNA, SENT)

ABOUT: dict[str, Callable[[SignalClient, Any], Awaitable[Delivery[Any, Any]]]] = {
    "edit": lambda client, message: client.edit(message, "two"),
    "react": lambda client, message: client.react(message, "👍"),
    "delete": lambda client, message: client.delete(message),
    "quote": lambda client, message: client.send("two", to=ANNA, quote=message),
}
each_about = pytest.mark.parametrize("about", ABOUT.values(), ids=ABOUT.keys())


async def put_all(client: SignalClient, *, wait: bool) -> tuple[Delivery[Any, SendResult], Delivery[Any, SendResult]]:
    """A message, an edit of it, which both are returned, and whatever else can be said about them."""
    first = await client.send("one", to=ANNA)
    if wait:
        await first
    edit = await client.edit(first, "two")
    await client.send("meanwhile", to=BERT)
    await client.react(first, "👍")
    await client.react(first, "👍", remove=True)
    await client.send("three", to=ANNA, quote=first)
    await client.delete(edit)
    await client.delete(first)
    return first, edit


@pytest.mark.parametrize("kind", ["unix", "tcp", "http"])
@pytest.mark.parametrize("waits", [False, True])
async def test_all_about_a_message_arrive_after_it_with_its_timestamp(kind: str, waits: bool) -> None:
    with TemporaryDirectory() as folder, fail_after(PATIENCE):
        endpoint = {"unix": f"unix:{folder}/socket"}.get(kind, f"{kind}://127.0.0.1:0")
        async with FakeSignalDaemon(endpoint, accounts=[HOME]) as daemon:
            client = SignalClient(daemon.endpoint, account=HOME, **QUICK)
            if waits:
                first, edit = await put_all(client, wait=False)
            async with client:
                if not waits:
                    first, edit = await put_all(client, wait=True)
                await client.buffer.flush()
            sent, edited = (await first).timestamp, (await edit).timestamp
            reaction = {"emoji": "👍", "targetAuthor": HOME, "targetTimestamp": sent}
            quote = {"quoteTimestamp": sent, "quoteAuthor": HOME, "quoteMessage": "one"}
            expected: list[tuple[str, str, dict[str, Any]]] = [
                ("send", ANNA, {"message": "one"}),
                ("send", ANNA, {"message": "two", "editTimestamp": sent}),
                ("send", BERT, {"message": "meanwhile"}),
                ("sendReaction", ANNA, reaction),
                ("sendReaction", ANNA, reaction | {"remove": True}),
                ("send", ANNA, {"message": "three"} | quote),
                ("remoteDelete", ANNA, {"targetTimestamp": edited}),
                ("remoteDelete", ANNA, {"targetTimestamp": sent}),
            ]
            assert [(each.method, dict(each.params)) for each in daemon.sends] == [
                (method, {"account": HOME, "recipient": [to], **params}) for method, to, params in expected
            ]


async def test_message_about_one_that_is_sent_twice_names_the_second() -> None:
    async with at_work(CutAfter()) as (daemon, client):
        first = await client.send("one", to=ANNA)
        await (await client.react(first, "👍"))
        assert [each.method for each in daemon.sends] == ["send", "send", "sendReaction"]
        assert daemon.sends[1].timestamp == (await first).timestamp == daemon.sends[2].params["targetTimestamp"]


@each_about
@pytest.mark.parametrize("end", [Outcome.REJECTED, Outcome.UNKNOWN, Outcome.CANCELLED])
async def test_message_about_one_that_was_not_sent_is_rejected(
    about: Callable[..., Awaitable[Any]], end: Outcome
) -> None:
    async with FakeSignalDaemon(accounts=[HOME]) as daemon:
        client = SignalClient(daemon.endpoint, account=HOME, on_doubt="report", **QUICK)
        first = await client.send("one", to=ANNA)
        second = await about(client, first)
        last = await client.send("last", to=ANNA)
        if end is Outcome.CANCELLED:
            first.cancel()
        else:
            daemon.fail_next(CutAfter() if end is Outcome.UNKNOWN else Failure("INVALID_PRE_KEY_FAILURE"))
        with fail_after(PATIENCE):
            async with client:
                with pytest.raises(Undelivered, match=r"^rejected: the message that it is about was not sent$"):
                    await second
                await last
        assert first.outcome is end
        assert texts(daemon) == ["one"] * (end is Outcome.UNKNOWN) + ["last"]
        with pytest.raises(ValueError, match=f"must be a message that was sent or waits to be, not one that was {end}"):
            await about(client, first)


async def test_reference_to_a_message_of_a_link_before_names_it_all_the_same() -> None:
    async with at_work() as (daemon, client):
        first = await client.send("one", to=ANNA)
        await first
        daemon.fail_next(CutBefore())
        await (await client.delete(first))
        assert daemon.sends[-1].params["targetTimestamp"] == daemon.sends[0].timestamp


async def test_messages_about_what_came_in_and_about_no_message() -> None:
    async with at_work(account=HOME) as (daemon, client):
        daemon.groups[GROUP] = (ANNA, BERT)
        await client.react(HERS, "👍")
        await client.mark_read(HERS)
        await client.mark_read(HERS, viewed=True)
        timers = [await client.set_expiration(60, to=ANNA), await client.set_expiration(0, group=GROUP)]
        for timer in timers:
            await timer
        assert [timer._result for timer in timers] == [None, None]
        assert [(each.method, each.target) for each in daemon.sends] == [
            ("sendReaction", ANNA),
            ("sendReceipt", ANNA),
            ("sendReceipt", ANNA),
            ("updateContact", ANNA),
            ("updateGroup", GROUP),
        ]
        assert [each.params.get("targetTimestamp") for each in daemon.sends[:3]] == [SENT, [SENT], [SENT]]
        assert [each.params.get("type") for each in daemon.sends[1:3]] == ["read", "viewed"]
        assert [each.params.get("expiration") for each in daemon.sends[3:]] == [60, 0]


async def test_positions_arrive_as_the_daemon_counts_them() -> None:
    async with at_work() as (daemon, client):
        text = "👍 Bert 👍 yes"
        await (await client.send(text, to=ANNA, mentions=[Mention(2, 4, BERT)], styles=[Style(9, 3, StyleKind.BOLD)]))
        assert daemon.sends[0].params["mention"] == [f"3:4:{BERT}"]
        assert daemon.sends[0].params["textStyle"] == ["11:3:BOLD"]


async def test_each_of_several_has_a_fate_of_their_own() -> None:
    async with at_work(on_untrusted="reject") as (daemon, client):
        daemon.per_recipient[BERT] = Failure("IDENTITY_FAILURE")
        group = await client.send("hello", to=[BERT, ANNA, BERT])
        with pytest.raises(ExceptionGroup) as caught:
            await group
        assert [str(each) for each in caught.value.exceptions] == ["rejected: IDENTITY_FAILURE"]
        assert [(each.target, each.text) for each in daemon.sends] == [(ANNA, "hello")]
        assert (await group[1]).timestamp == daemon.sends[0].timestamp
