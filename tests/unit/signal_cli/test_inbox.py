"""inbox.py: an Inbox keeps what came in for a slow reader, in order and within bounds."""

from __future__ import annotations

import gc
import logging
from typing import Any

import pytest
from anyio import create_task_group, fail_after, move_on_after, sleep

from ridethrough import Overflow
from ridethrough.signal_cli.inbox import Inbox, Mailbox
from tests.cancelling import both_kinds, cancellable
from tests.clocks import jumping_backends
from tests.links import PATIENCE
from tests.unit.signal_cli.incoming import OWN, SENT, all_texts, next_texts, receipt, say, text_of

pytestmark = pytest.mark.anyio


@pytest.fixture(params=[0, 1], ids=["asyncio", "trio"])
def anyio_backend(request: pytest.FixtureRequest) -> Any:
    return jumping_backends()[request.param]


# an inbox


async def test_inbox_gives_what_has_come_since_it_was_opened_in_order() -> None:
    mailbox = Mailbox(OWN)
    say("before", mailbox=mailbox)
    inbox = mailbox.open_inbox()
    say("one", "two", "three", mailbox=mailbox)
    assert await next_texts(inbox, 3) == ["one", "two", "three"]
    assert inbox.dropped == 0


async def test_reader_who_waits_gets_each_as_it_comes() -> None:
    async def listen() -> None:
        heard.extend(await next_texts(inbox, 2))

    heard: list[str] = []
    mailbox = Mailbox(OWN)
    inbox = mailbox.open_inbox()
    with fail_after(PATIENCE):
        async with create_task_group() as tasks:
            tasks.start_soon(listen)
            for text in ("one", "two"):
                await sleep(1)
                say(text, mailbox=mailbox)
    assert heard == ["one", "two"]


async def test_each_inbox_gets_everything_and_its_readers_share_it() -> None:
    async def listen(inbox: Inbox) -> None:
        heard[inbox].extend(await all_texts(inbox))

    mailbox = Mailbox(OWN)
    heard: dict[Inbox, list[str]] = {mailbox.open_inbox(): [], mailbox.open_inbox(): []}
    with fail_after(PATIENCE):
        async with create_task_group() as tasks:
            for inbox in heard:
                tasks.start_soon(listen, inbox)
                tasks.start_soon(listen, inbox)
            await sleep(1)
            say("one", mailbox=mailbox)
            await sleep(1)
            say("two", "three", mailbox=mailbox)
            await sleep(1)
            mailbox.close()
    assert [sorted(texts) for texts in heard.values()] == [["one", "three", "two"]] * 2


async def test_full_inbox_drops_the_oldest_and_counts_them() -> None:
    mailbox = Mailbox(OWN)
    inbox = mailbox.open_inbox(max_size=2)
    say("one", "two", "three", "four", mailbox=mailbox)
    assert inbox.dropped == 2
    assert await next_texts(inbox, 2) == ["three", "four"]
    say("five", mailbox=mailbox)
    assert await next_texts(inbox, 1) == ["five"]
    assert inbox.dropped == 2


@pytest.mark.parametrize("overflow", ["drop_newest", Overflow.DROP_NEWEST])
async def test_full_inbox_drops_the_newest_if_told_to(overflow: Any) -> None:
    mailbox = Mailbox(OWN)
    inbox = mailbox.open_inbox(2, overflow)
    say("one", "two", "three", "four", mailbox=mailbox)
    assert inbox.dropped == 2
    assert await next_texts(inbox, 1) == ["one"]
    say("five", mailbox=mailbox)
    assert await next_texts(inbox, 2) == ["two", "five"]


async def test_slow_reader_of_one_inbox_takes_nothing_from_others() -> None:
    mailbox = Mailbox(OWN)
    small, large = mailbox.open_inbox(max_size=1), mailbox.open_inbox()
    say("one", "two", mailbox=mailbox)
    assert await next_texts(large, 2) == ["one", "two"]
    assert await next_texts(small, 1) == ["two"]


async def test_inbox_keeps_no_more_json_than_64_mib() -> None:
    mailbox = Mailbox(OWN)
    oldest, newest = mailbox.open_inbox(), mailbox.open_inbox(overflow="drop_newest")
    texts = [letter * 15 * 2**20 for letter in "abcde"]
    say(*texts, mailbox=mailbox)
    assert (oldest.dropped, newest.dropped) == (1, 1)
    assert [text[0] for text in await next_texts(oldest, 4)] == ["b", "c", "d", "e"]
    assert [text[0] for text in await next_texts(newest, 4)] == ["a", "b", "c", "d"]


async def test_room_comes_back_as_an_inbox_is_read() -> None:
    mailbox = Mailbox(OWN)
    inbox = mailbox.open_inbox()
    for letter in "abcde":
        say(letter * 15 * 2**20, mailbox=mailbox)
        await next_texts(inbox, 1)
    assert inbox.dropped == 0


async def test_envelope_larger_than_that_is_kept_alone() -> None:
    mailbox = Mailbox(OWN)
    inbox = mailbox.open_inbox()
    say("small", "😀" * 6 * 2**20, mailbox=mailbox)  # each of them has 12 characters of JSON
    assert inbox.dropped == 1
    assert len((await next_texts(inbox, 1))[0]) == 6 * 2**20


async def test_drops_are_logged_once_until_the_inbox_was_read(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG, "ridethrough")
    mailbox = Mailbox(OWN)
    inbox = mailbox.open_inbox(max_size=2)
    say("one", "two", "three", "four", mailbox=mailbox)
    await next_texts(inbox, 1)
    say("five", "six", mailbox=mailbox)
    await next_texts(inbox, 2)
    say("seven", "eight", "nine", mailbox=mailbox)
    drop = "an inbox is full: %d envelopes were dropped from it so far"
    levels = [logging.WARNING, logging.DEBUG, logging.DEBUG, logging.WARNING]
    assert [(record.levelno, record.getMessage()) for record in caplog.records] == [
        (level, drop % (number + 1)) for number, level in enumerate(levels)
    ]


async def test_closed_inbox_ends_once_it_was_read_and_takes_no_more() -> None:
    mailbox = Mailbox(OWN)
    inbox = mailbox.open_inbox()
    say("one", mailbox=mailbox)
    inbox.close()
    inbox.close()
    say("two", mailbox=mailbox)
    assert await all_texts(inbox) == ["one"]
    assert inbox.dropped == 0


async def test_inbox_ends_for_every_reader_when_the_mailbox_is_closed() -> None:
    async def listen() -> None:
        assert await all_texts(inbox) == []
        ended.append(True)

    ended: list[bool] = []
    mailbox = Mailbox(OWN)
    inbox = mailbox.open_inbox()
    with fail_after(PATIENCE):
        async with create_task_group() as tasks:
            tasks.start_soon(listen)
            tasks.start_soon(listen)
            await sleep(1)
            mailbox.close()
            mailbox.close()
    assert ended == [True, True]
    assert await all_texts(mailbox.open_inbox()) == []


@both_kinds
async def test_cancelled_reader_has_taken_nothing(kind: str) -> None:
    inbox = Mailbox(OWN).open_inbox()
    async with cancellable(lambda: next_texts(inbox, 1), kind) as cancel:
        await sleep(1)
        assert await cancel()
    inbox.close()
    assert await all_texts(inbox) == []


@both_kinds
async def test_reader_cancelled_as_something_comes_has_taken_it_or_left_it(kind: str) -> None:
    async def listen() -> None:
        heard.append(text_of(await anext(inbox)))

    heard: list[str] = []
    mailbox = Mailbox(OWN)
    inbox = mailbox.open_inbox()
    async with cancellable(listen, kind) as cancel:
        await sleep(1)
        say("one", mailbox=mailbox)
        assert await cancel() is not bool(heard)
    mailbox.close()
    assert heard + await all_texts(inbox) == ["one"]


async def test_inbox_that_nobody_holds_is_forgotten() -> None:
    mailbox = Mailbox(OWN)
    mailbox.open_inbox()
    gc.collect()
    assert repr(mailbox) == "<Mailbox open, 0 inboxes, 0 receipts>"


@pytest.mark.parametrize(
    ("arguments", "error", "text"),
    [
        ({"max_size": 0}, ValueError, "max_size must be an int from 1 to 1000000"),
        ({"max_size": True}, TypeError, "max_size must be an int from 1 to 1000000, not bool"),
        ({"max_size": "5"}, TypeError, "max_size must be an int from 1 to 1000000, not str"),
        ({"overflow": "wait"}, ValueError, "overflow must be 'drop_oldest' or 'drop_newest' here, not 'wait'"),
        ({"overflow": "drop"}, ValueError, "overflow must be one of .* not 'drop'"),
    ],
)
async def test_wrong_arguments_open_no_inbox(arguments: Any, error: type[Exception], text: str) -> None:
    mailbox = Mailbox(OWN)
    with pytest.raises(error, match=text):
        mailbox.open_inbox(**arguments)
    with move_on_after(1) as wait:
        await mailbox.wanted()
    assert wait.cancelled_caught


async def test_repr_shows_counts_alone() -> None:
    mailbox = Mailbox(OWN)
    inbox = mailbox.open_inbox(max_size=2)
    say("one", "two", "three", mailbox=mailbox)
    mailbox.deliver(receipt(SENT))
    assert repr(inbox) == "<Inbox open, 2 of 2, 2 dropped>"
    assert repr(mailbox) == "<Mailbox open, 1 inboxes, 1 receipts>"
    mailbox.close()
    assert repr(inbox) == "<Inbox closed, 2 of 2, 2 dropped>"
    assert repr(mailbox) == "<Mailbox closed, 1 inboxes, 1 receipts>"
