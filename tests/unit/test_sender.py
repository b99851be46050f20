"""sender.py: one link after the other, and what each error means for the message."""

from __future__ import annotations

from typing import Any

import pytest
from anyio import create_task_group, current_time, sleep
from anyio.lowlevel import checkpoint

from ridethrough import (
    LinkLost,
    OnDoubt,
    Outcome,
    Rejected,
    RetryLater,
    Undelivered,
)
from tests.links import (
    Line,
    cut_after,
    cut_before,
    cut_in,
    fate,
    hang,
    put_all,
    raising,
    slow,
)

pytestmark = pytest.mark.anyio

SECRET = "meet me at noon"


# Order


async def test_messages_are_sent_in_order_and_end_with_the_answer() -> None:
    async with Line() as line:
        deliveries = [await line.buffer.put(message) for message in "abc"]
        await line.serve_for(1)
        assert line.network.received == ["a", "b", "c"]
        assert [await delivery for delivery in deliveries] == ["took a", "took b", "took c"]
        assert {delivery.outcome for delivery in deliveries} == {Outcome.SENT}


async def test_message_put_while_connected_is_sent_at_once() -> None:
    async with Line() as line, create_task_group() as tasks:
        tasks.start_soon(line.serve)
        await sleep(5)
        before = current_time()
        assert await (await line.buffer.put("a")) == "took a"
        assert current_time() == before
        tasks.cancel_scope.cancel()


@pytest.mark.parametrize("cut", [cut_before, cut_in, cut_after])
async def test_nothing_overtakes_the_message_under_which_the_link_was_lost(cut: Any) -> None:
    async with Line() as line:
        await put_all(line.buffer, "ab")
        line.network.on_send.append(cut)
        await line.serve()
        await put_all(line.buffer, "c")
        await line.serve_for(1)
        assert line.network.received[-3:] == ["a", "b", "c"]


async def test_one_send_at_a_time() -> None:
    async with Line() as line:
        await put_all(line.buffer, "ab")
        line.network.on_send.extend([slow(10), slow(1)])
        await line.serve_for(5)
        assert line.network.received == []
        assert line.buffer.statistics().queued == 2


# Doubt


async def test_on_doubt_retry_sends_again_and_says_that_it_may_have_arrived_twice() -> None:
    async with Line() as line:
        doubted, other = await line.buffer.put("a"), await line.buffer.put("b")
        line.network.on_send.append(cut_after)
        assert isinstance(await line.serve(), ConnectionResetError)
        assert doubted.maybe_sent and doubted.outcome is None
        await line.serve_for(1)
        assert line.network.received == ["a", "a", "b"]
        assert fate(doubted) == (Outcome.SENT, 2, True)
        assert fate(other) == (Outcome.SENT, 1, False)


async def test_on_doubt_report_ends_the_message_unknown_and_never_sends_it_again() -> None:
    async with Line(on_doubt="report") as line:
        doubted, other = await line.buffer.put("a"), await line.buffer.put("b")
        line.network.on_send.append(cut_after)
        lost = await line.serve()
        with pytest.raises(Undelivered) as caught:
            await doubted
        assert caught.value.outcome is Outcome.UNKNOWN and caught.value.__cause__ is lost
        assert doubted.maybe_sent
        await line.serve_for(1)
        assert line.network.received == ["a", "b"]
        assert other.outcome is Outcome.SENT


async def test_on_doubt_report_of_a_message_whose_send_was_cancelled() -> None:
    async with Line(on_doubt="report") as line:
        await put_all(line.buffer, "ab")
        line.network.on_send.append(hang)
        await line.serve_for(1)
        await line.serve_for(1)
        assert line.network.received == ["b"]
        assert line.buffer.statistics().unknown == 1


@pytest.mark.parametrize("on_doubt", list(OnDoubt))
async def test_link_lost_before_the_send_costs_no_attempt_and_leaves_no_doubt(on_doubt: OnDoubt) -> None:
    async with Line(on_doubt, poison_after=1) as line:
        delivery = await line.buffer.put("a")
        line.network.on_send.extend([cut_before, cut_before])
        await line.serve()
        await line.serve()
        assert fate(delivery) == (None, 0, False)
        await line.serve_for(1)
        assert fate(delivery) == (Outcome.SENT, 1, False)


async def test_link_lost_before_a_send_leaves_the_doubt_from_an_earlier_one() -> None:
    async with Line() as line:
        delivery = await line.buffer.put("a")
        line.network.on_send.extend([cut_in, cut_before])
        await line.serve()
        await line.serve()
        assert (delivery.attempts, delivery.maybe_sent) == (1, True)


async def test_cancelled_send_leaves_the_message_in_its_place_in_doubt() -> None:
    async with Line() as line:
        first = await line.buffer.put("a")
        await put_all(line.buffer, "b")
        line.network.on_send.append(hang)
        await line.serve_for(1)
        assert fate(first) == (None, 1, True)
        assert line.buffer.statistics().leased == 0
        assert await line.buffer.drain() == ["a", "b"]


# Answers


async def test_rejected_message_ends_and_the_next_goes_on() -> None:
    async with Line() as line:
        refused, other = await line.buffer.put("a"), await line.buffer.put("b")
        line.network.on_send.append(raising(Rejected("no such recipient")))
        await line.serve_for(1)
        with pytest.raises(Undelivered, match="no such recipient") as caught:
            await refused
        assert caught.value.outcome is Outcome.REJECTED and not refused.maybe_sent
        assert other.outcome is Outcome.SENT
        assert len(line.network.links) == 1


async def test_retry_later_pauses_a_key_and_the_others_go_on_in_their_order() -> None:
    async with Line(key=lambda message: message[0]) as line:
        deliveries = [await line.buffer.put(message) for message in ("a1", "b1", "a2", "b2")]
        line.network.on_send.append(raising(RetryLater(60, "key")))
        await line.serve_for(59)
        assert line.network.received == ["b1", "b2"]
        assert (deliveries[0].attempts, deliveries[0].maybe_sent) == (1, False)
        await line.serve_for(2)
        assert line.network.received == ["b1", "b2", "a1", "a2"]


async def test_retry_later_for_all_pauses_everything() -> None:
    async with Line(key=lambda message: message[0]) as line:
        await put_all(line.buffer, "ab")
        line.network.on_send.append(raising(RetryLater(60, "all")))
        await line.serve_for(59)
        assert line.network.received == []
        await line.serve_for(2)
        assert line.network.received == ["a", "b"]


@pytest.mark.parametrize(("on_doubt", "outcome"), [("retry", Outcome.SENT), ("report", Outcome.UNKNOWN)])
async def test_retry_later_that_leaves_the_message_in_doubt(on_doubt: str, outcome: Outcome) -> None:
    async with Line(on_doubt) as line:
        delivery = await line.buffer.put("a")
        line.network.on_send.append(raising(RetryLater(60, in_doubt=True)))
        await line.serve_for(59)
        assert fate(delivery) == (None, 1, True)
        await line.serve_for(2)
        assert (delivery.outcome, delivery.maybe_sent) == (outcome, True)
        assert line.network.received == (["a"] if on_doubt == "retry" else [])


@pytest.mark.parametrize("on_doubt", list(OnDoubt))
async def test_retry_later_of_what_was_not_sent_costs_no_attempt_and_leaves_no_doubt(on_doubt: OnDoubt) -> None:
    async with Line(on_doubt) as line:
        delivery = await line.buffer.put("a")
        line.network.on_send.extend([raising(RetryLater(60, unsent=True))] * 2)
        await line.serve_for(119)
        assert fate(delivery) == (None, 0, False)
        await line.serve_for(2)
        assert fate(delivery) == (Outcome.SENT, 1, False)


async def test_retry_later_of_what_was_not_sent_leaves_the_doubt_from_an_earlier_send() -> None:
    async with Line() as line:
        delivery = await line.buffer.put("a")
        line.network.on_send.extend([cut_in, raising(RetryLater(60, unsent=True))])
        await line.serve()
        await line.serve_for(59)
        assert fate(delivery) == (None, 1, True)
        await line.serve_for(2)
        assert fate(delivery) == (Outcome.SENT, 2, True)


async def test_retry_later_at_once_from_a_link_that_never_waits_gives_others_their_turn() -> None:
    async with Line() as line, create_task_group() as tasks:
        await put_all(line.buffer, "a")
        line.network.on_send.extend([raising(RetryLater(0))] * 1000)
        tasks.start_soon(line.serve)
        for _ in range(10):
            await checkpoint()
        assert len(line.network.on_send) > 900
        tasks.cancel_scope.cancel()


@pytest.mark.parametrize("answers", [[], [raising(Rejected())], [raising(LinkLost())], [raising(RetryLater(9))]])
async def test_link_has_carried_a_send_when_one_was_settled(answers: list[Any]) -> None:
    async with Line() as line:
        await put_all(line.buffer, "a")
        line.network.on_send.extend(answers)
        await line.serve_for(1)
        assert line.sender.carried == (line.buffer.is_empty())
        await line.buffer.drain()
        await line.serve_for(1)
        assert not line.sender.carried


# Poison


@pytest.mark.parametrize("cut", [cut_in, cut_after, raising(OSError("gone"))])
async def test_message_under_which_the_link_is_lost_again_and_again_is_poison(
    cut: Any, caplog: pytest.LogCaptureFixture
) -> None:
    async with Line(poison_after=3) as line:
        poison, other = await line.buffer.put(SECRET), await line.buffer.put("b")
        line.network.on_send.extend([cut] * 3)
        for _ in range(2):
            await line.serve()
            assert poison.outcome is None
        await line.serve()
        with pytest.raises(Undelivered, match="poison") as caught:
            await poison
        assert caught.value.outcome is Outcome.REJECTED and poison.maybe_sent and poison.attempts == 3
        await line.serve_for(1)
        assert other.outcome is Outcome.SENT
        assert "message 1 is poison" in caplog.text and SECRET not in caplog.text


async def test_poison_after_none_never_gives_up() -> None:
    async with Line(poison_after=None) as line:
        delivery = await line.buffer.put("a")
        line.network.on_send.extend([cut_in] * 50)
        for _ in range(50):
            await line.serve()
        await line.serve_for(1)
        assert (delivery.outcome, delivery.attempts) == (Outcome.SENT, 51)


async def test_losses_count_as_poison_only_when_running() -> None:
    async with Line(poison_after=2) as line:
        delivery = await line.buffer.put("a")
        line.network.on_send.extend([cut_in, raising(RetryLater(0)), cut_in, cut_before, cut_in])
        await line.serve()
        await line.serve()
        await line.serve()
        assert delivery.outcome is None
        await line.serve()
        assert delivery.outcome is Outcome.REJECTED


async def test_losses_with_nothing_sent_between_them_are_running() -> None:
    async with Line(poison_after=2) as line:
        delivery = await line.buffer.put("a")
        line.network.on_send.extend([cut_in, raising(RetryLater(0, unsent=True)), cut_in])
        await line.serve()
        await line.serve()
        assert fate(delivery) == (Outcome.REJECTED, 2, True)


async def test_losses_under_one_message_do_not_count_for_another() -> None:
    async with Line(poison_after=2, key=lambda message: message) as line:
        first, second = await line.buffer.put("a"), await line.buffer.put("b")
        line.network.on_send.extend([cut_in, raising(RetryLater(60)), cut_in])
        await line.serve()
        await line.serve()
        assert first.outcome is None and second.outcome is None
