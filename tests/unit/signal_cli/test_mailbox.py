"""inbox.py: a Mailbox gives everything once to each inbox, and remembers receipts."""

from __future__ import annotations

from typing import Any

import pytest
from anyio import create_task_group, fail_after, move_on_after, sleep
from anyio.lowlevel import checkpoint

from ridethrough import BufferClosed
from ridethrough.signal_cli import inbox as inbox_module
from ridethrough.signal_cli.envelopes import Receipts
from ridethrough.signal_cli.inbox import Confirmation, Mailbox
from tests.cancelling import both_kinds, cancellable
from tests.clocks import jumping_backends
from tests.links import PATIENCE
from tests.unit.signal_cli.incoming import (
    ADA,
    BEN,
    BEN_NUMBER,
    OWN,
    SENT,
    all_texts,
    data,
    next_texts,
    notification,
    receipt,
    say,
)

pytestmark = pytest.mark.anyio


@pytest.fixture(params=[0, 1], ids=["asyncio", "trio"])
def anyio_backend(request: pytest.FixtureRequest) -> Any:
    return jumping_backends()[request.param]


async def find(mailbox: Mailbox, timestamp: int = SENT, kind: Any = "delivery", *of: str) -> Confirmation | None:
    """The receipt, or None if there is none within a second."""
    with move_on_after(1):
        return await mailbox.wait_receipt(timestamp, kind, of=of)
    return None


# what is delivered


async def test_what_comes_twice_is_given_once() -> None:
    mailbox = Mailbox(OWN)
    inbox = mailbox.open_inbox()
    for text in ("one", "two"):
        params = notification(dataMessage=data(text))
        mailbox.deliver(params)
        mailbox.deliver({"subscription": 5, "result": dict(reversed(params.items()))})
    mailbox.close()
    assert await all_texts(inbox) == ["one", "two"]


async def test_same_words_sent_twice_are_given_twice() -> None:
    mailbox = Mailbox(OWN)
    inbox = mailbox.open_inbox()
    mailbox.deliver(notification(dataMessage=data("one")))
    mailbox.deliver(notification(dataMessage=data("one", timestamp=SENT + 1), timestamp=SENT + 1))
    assert await next_texts(inbox, 2) == ["one", "one"]


async def test_double_is_known_among_256() -> None:
    mailbox = Mailbox(OWN)
    inbox = mailbox.open_inbox(max_size=2000)
    say(*map(str, range(256)), "0", mailbox=mailbox)
    say(*map(str, range(256, 1000)), mailbox=mailbox)
    mailbox.close()
    assert await all_texts(inbox) == [*map(str, range(1000))]
    assert len(mailbox._seen) == 256


async def test_what_comes_to_another_account_or_is_no_envelope_is_left_out() -> None:
    mailbox = Mailbox(OWN)
    inbox = mailbox.open_inbox()
    for params in ({}, notification(dataMessage=data("x")) | {"account": BEN_NUMBER}, {"envelope": 5}):
        mailbox.deliver(params)
    mailbox.close()
    assert await all_texts(inbox) == []


async def test_envelope_nested_too_deep_is_left_out_with_a_warning(caplog: pytest.LogCaptureFixture) -> None:
    deep: list[Any] = []
    for _ in range(100_000):
        deep = [deep]
    mailbox = Mailbox(OWN)
    inbox = mailbox.open_inbox()
    mailbox.deliver(notification(new=deep))
    mailbox.close()
    assert await all_texts(inbox) == []
    assert [record.getMessage() for record in caplog.records] == ["an envelope that is nested too deep was left out"]


# who wants it


async def test_wanted_waits_until_an_inbox_is_opened() -> None:
    async def wait() -> None:
        await mailbox.wanted()
        order.append("wanted")

    order: list[str] = []
    mailbox = Mailbox(OWN)
    with fail_after(PATIENCE):
        async with create_task_group() as tasks:
            tasks.start_soon(wait)
            tasks.start_soon(wait)
            await sleep(1)
            order.append("opened")
            mailbox.open_inbox()
    await mailbox.wanted()
    assert order == ["opened", "wanted", "wanted"]


async def test_wanted_by_who_waits_for_a_receipt_and_not_by_who_finds_it() -> None:
    mailbox = Mailbox(OWN)
    mailbox.deliver(receipt(SENT))
    assert await find(mailbox)
    with move_on_after(1) as wait:
        await mailbox.wanted()
    assert wait.cancelled_caught
    assert not await find(mailbox, SENT + 1)
    with fail_after(PATIENCE):
        await mailbox.wanted()


# receipts


async def test_receipt_that_came_before_is_found() -> None:
    mailbox = Mailbox(OWN)
    mailbox.deliver(receipt(SENT, SENT + 1))
    assert await find(mailbox, SENT + 1) == Confirmation("delivery", SENT + 30, ADA)
    assert await find(mailbox, SENT) == Confirmation("delivery", SENT + 30, ADA)


async def test_receipt_is_waited_for() -> None:
    async def wait() -> None:
        found.append(await mailbox.wait_receipt(SENT))

    found: list[Confirmation] = []
    mailbox = Mailbox(OWN)
    with fail_after(PATIENCE):
        async with create_task_group() as tasks:
            tasks.start_soon(wait)
            tasks.start_soon(wait)
            await sleep(1)
            mailbox.deliver(receipt(SENT + 1))
            await sleep(1)
            assert not found
            mailbox.deliver(receipt(SENT))
    assert found == [Confirmation("delivery", SENT + 30, ADA)] * 2
    assert not mailbox._waits


STAGES = ["delivery", "read", "viewed"]


@pytest.mark.parametrize("came", STAGES)
@pytest.mark.parametrize("kind", STAGES)
async def test_read_implies_delivery_and_viewed_implies_read(came: str, kind: Any) -> None:
    async def wait() -> None:
        found.append(await find(mailbox, SENT, kind))

    found: list[Confirmation | None] = []
    mailbox = Mailbox(OWN)
    async with create_task_group() as tasks:
        tasks.start_soon(wait)
        await sleep(0.5)
        mailbox.deliver(receipt(SENT, kind=came))
    await wait()
    enough = STAGES.index(came) >= STAGES.index(kind)
    assert [each.kind if each else None for each in found] == [came if enough else None] * 2


async def test_farthest_receipt_is_remembered_whatever_their_order() -> None:
    for order in (["delivery", "read", "viewed"], ["viewed", "read", "delivery"]):
        mailbox = Mailbox(OWN)
        for stage in order:
            mailbox.deliver(receipt(SENT, kind=stage))
        assert await find(mailbox) == Confirmation("viewed", SENT + 30, ADA)
        assert len(mailbox._confirmations) == 1


async def test_only_receipts_of_those_who_are_named_count() -> None:
    by_ben = Confirmation("delivery", SENT + 30, BEN, BEN_NUMBER)
    mailbox = Mailbox(OWN)
    mailbox.deliver(receipt(SENT))
    assert await find(mailbox, SENT, "delivery", OWN, ADA)
    assert not await find(mailbox, SENT, "delivery", BEN)
    mailbox.deliver(receipt(SENT, sourceUuid=BEN, sourceNumber=BEN_NUMBER))
    assert await find(mailbox, SENT, "delivery", BEN) == by_ben
    assert await find(mailbox, SENT, "delivery", BEN_NUMBER) == by_ben


async def test_receipt_of_somebody_else_does_not_end_the_wait() -> None:
    async def wait() -> None:
        found.append((await mailbox.wait_receipt(SENT, of=[BEN])).uuid)

    found: list[str | None] = []
    mailbox = Mailbox(OWN)
    with fail_after(PATIENCE):
        async with create_task_group() as tasks:
            tasks.start_soon(wait)
            await sleep(1)
            mailbox.deliver(receipt(SENT))
            await sleep(1)
            assert not found
            mailbox.deliver(receipt(SENT, sourceUuid=BEN))
    assert found == [BEN]


async def test_receipt_ends_the_wait_even_if_it_is_forgotten_at_once() -> None:
    async def wait() -> None:
        found.append((await mailbox.wait_receipt(SENT)).kind)

    found: list[str] = []
    mailbox = Mailbox(OWN)
    with fail_after(PATIENCE):
        async with create_task_group() as tasks:
            tasks.start_soon(wait)
            await sleep(1)
            mailbox.deliver(receipt(*range(SENT, SENT + 5000)))
            mailbox.deliver(receipt(SENT, kind="read"))
    assert found == ["delivery"]


async def test_last_thousand_receipts_are_remembered() -> None:
    mailbox = Mailbox(OWN)
    mailbox.deliver(receipt(*range(SENT, SENT + 1000)))
    mailbox.deliver(receipt(SENT, kind="read"))  # which is the newest now
    mailbox.deliver(receipt(SENT + 1000))
    found = [await find(mailbox, SENT + each) for each in (0, 1, 2, 999, 1000)]
    assert [each is not None for each in found] == [True, False, True, True, True]
    assert len(mailbox._confirmations) == 1000


async def test_receipts_come_to_inboxes_too() -> None:
    mailbox = Mailbox(OWN)
    inbox = mailbox.open_inbox()
    mailbox.deliver(receipt(SENT))
    with fail_after(PATIENCE):
        assert isinstance((await anext(inbox)).content, Receipts)


async def test_closing_ends_the_wait_for_receipts() -> None:
    async def wait() -> None:
        with pytest.raises(BufferClosed):
            await mailbox.wait_receipt(SENT)
        ended.append(True)

    ended: list[bool] = []
    mailbox = Mailbox(OWN)
    mailbox.deliver(receipt(SENT + 1))
    with fail_after(PATIENCE):
        async with create_task_group() as tasks:
            tasks.start_soon(wait)
            tasks.start_soon(wait)
            await sleep(1)
            mailbox.close()
        await wait()
        assert await find(mailbox, SENT + 1)
    assert ended == [True] * 3


async def test_receipt_that_comes_just_before_closing_is_found() -> None:
    async def wait() -> None:
        found.append((await mailbox.wait_receipt(SENT)).kind)

    found: list[str] = []
    mailbox = Mailbox(OWN)
    with fail_after(PATIENCE):
        async with create_task_group() as tasks:
            tasks.start_soon(wait)
            await sleep(1)
            mailbox.deliver(receipt(SENT))
            mailbox.close()
    assert found == ["delivery"]


@both_kinds
async def test_cancelled_wait_for_a_receipt_leaves_nothing_behind(kind: str) -> None:
    mailbox = Mailbox(OWN)
    async with cancellable(lambda: mailbox.wait_receipt(SENT), kind) as cancel:
        await sleep(1)
        assert not await find(mailbox)
        assert len(mailbox._waits[SENT]) == 1
        assert await cancel()
    assert not mailbox._waits
    mailbox.deliver(receipt(SENT))
    assert await find(mailbox)


async def test_confirmation_shows_no_number() -> None:
    assert OWN not in repr(Confirmation("read", SENT, ADA, OWN))


async def test_a_flood_of_receipts_and_envelopes_takes_no_more_memory_than_a_few() -> None:
    mailbox = Mailbox(OWN)
    inbox = mailbox.open_inbox()
    for number in range(3000):
        mailbox.deliver(receipt(SENT + number, timestamp=SENT + number))
        if number % 500 == 0:
            await checkpoint()
    assert repr(inbox) == "<Inbox open, 1000 of 1000, 2000 dropped>"
    assert repr(mailbox) == "<Mailbox open, 1 inboxes, 1000 receipts>"
    assert len(mailbox._seen) == inbox_module._DOUBLES
