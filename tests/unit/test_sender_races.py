"""sender.py: what happens at the same time, and errors in disguise."""

from __future__ import annotations

from threading import Thread
from typing import Self

import anyio
import pytest
from anyio import EndOfStream, IncompleteRead, create_task_group, current_time, sleep

from ridethrough import (
    AsyncMessageBuffer,
    AuthenticationFailed,
    BufferClosed,
    Delivery,
    LinkLost,
    OnDoubt,
    Outcome,
    Rejected,
    RetryLater,
)
from ridethrough.lease import BufferLease
from ridethrough.sender import Sender, essence
from tests.links import (
    FakeLink,
    Line,
    Network,
    cut_and_answer,
    fate,
    hang,
    put_all,
    raising,
    slow,
)

pytestmark = pytest.mark.anyio


# Races with the end of the link


async def test_answer_that_comes_with_the_loss_of_the_link_counts() -> None:
    async with Line() as line:
        delivery = await line.buffer.put("a")
        line.network.on_send.append(cut_and_answer)
        assert isinstance(await line.serve(), LinkLost)
        assert (await delivery, delivery.maybe_sent) == ("took a", False)


async def test_link_that_closes_while_there_is_nothing_to_send() -> None:
    async with Line() as line, create_task_group() as tasks:
        tasks.start_soon(lambda: sleep_and_cut(line.network, 7))
        assert str(await line.serve()) == "the link was closed"
        assert current_time() == line.network.tries[0] + 7


async def sleep_and_cut(network: Network, seconds: float) -> None:
    await sleep(seconds)
    network.link.cut()


@pytest.mark.parametrize("put_first", [True, False])
async def test_link_that_closes_as_a_message_is_put_does_not_touch_it(put_first: bool) -> None:
    async def put_and_cut() -> None:
        await sleep(7)
        if not put_first:
            line.network.link.cut()
        deliveries.append(line.buffer.put_nowait("a"))
        if put_first:
            line.network.link.cut()

    deliveries: list[Delivery[str]] = []
    async with Line() as line, create_task_group() as tasks:
        tasks.start_soon(put_and_cut)
        await line.serve()
        assert (deliveries[0].attempts, deliveries[0].maybe_sent, line.buffer.statistics().queued) == (0, False, 1)


async def test_link_that_closes_between_two_messages_does_not_begin_the_second() -> None:
    async with Line() as line:
        first, second = await line.buffer.put("a"), await line.buffer.put("b")
        line.network.on_send.append(cut_and_answer)
        await line.serve()
        assert (first.outcome, second.attempts) == (Outcome.SENT, 0)


@pytest.mark.parametrize("busy", [True, False])
async def test_what_wait_closed_raises_is_what_became_of_the_link(busy: bool) -> None:
    async def answer_and_refuse(link: FakeLink, message: str) -> str:
        link.cut(AuthenticationFailed("logged out"))
        await sleep(1)
        return link.take(message)

    async with Line() as line, create_task_group() as tasks:
        if busy:
            await put_all(line.buffer, "a")
            line.network.on_send.append(answer_and_refuse)
        else:
            tasks.start_soon(lambda: sleep_and_refuse(line.network))
        assert isinstance(await line.serve(), AuthenticationFailed)
        assert line.buffer.is_empty()


async def sleep_and_refuse(network: Network) -> None:
    await sleep(1)
    network.link.cut(AuthenticationFailed("logged out"))


async def test_refusal_of_the_credentials_outweighs_the_loss_that_the_send_sees() -> None:
    async def lose_and_refuse(link: FakeLink, _: str) -> str:
        link.cut(AuthenticationFailed("logged out"))
        await sleep(1)
        raise LinkLost

    async with Line() as line:
        await put_all(line.buffer, "a")
        line.network.on_send.append(lose_and_refuse)
        assert isinstance(await line.serve(), AuthenticationFailed)


async def test_mistake_in_wait_closed_is_returned_after_the_send_has_settled() -> None:
    async def answer_and_stumble(link: FakeLink, message: str) -> str:
        link.cut(AttributeError("no such thing"))
        await sleep(1)
        return link.take(message)

    async with Line() as line:
        delivery = await line.buffer.put("a")
        line.network.on_send.append(answer_and_stumble)
        assert isinstance(await line.serve(), AttributeError)
        assert delivery.outcome is Outcome.SENT


# Races with the buffer


async def test_buffer_that_closes_ends_it_without_an_error() -> None:
    async with Line() as line, create_task_group() as tasks:
        tasks.start_soon(lambda: sleep_and_close(line.buffer))
        assert await line.serve() is None


async def sleep_and_close(buffer: AsyncMessageBuffer[str]) -> None:
    await sleep(1)
    await buffer.aclose()


@pytest.mark.parametrize("error", [None, LinkLost(), LinkLost(unsent=True), Rejected(), RetryLater(1)])
@pytest.mark.parametrize("on_doubt", list(OnDoubt))
async def test_answer_or_loss_after_the_buffer_was_closed_changes_nothing(
    error: Exception | None, on_doubt: OnDoubt, caplog: pytest.LogCaptureFixture
) -> None:
    async def close_and_raise(link: FakeLink, message: str) -> str:
        await line.buffer.aclose()
        if error is not None:
            raise error
        return link.take(message)

    async with Line(on_doubt, poison_after=1) as line:
        delivery = await line.buffer.put("a")
        line.network.on_send.append(close_and_raise)
        lost = await line.serve()
        assert lost is (error if isinstance(error, LinkLost) else None)
        assert (delivery.outcome, delivery.maybe_sent) == (Outcome.ABANDONED, True)
        assert "poison" not in caplog.text


class SlowLease(BufferLease[str]):
    """Time passes between its start and the moment in which its messages are looked at."""

    async def __aenter__(self) -> Self:
        await super().__aenter__()
        await sleep(5)
        return self


class SlowBuffer(AsyncMessageBuffer[str]):
    """Its leases are slow."""

    def lease(self, limit: int = 1) -> BufferLease[str]:
        return SlowLease(self._owner, limit)


async def test_message_that_expires_between_lease_and_send_is_not_sent() -> None:
    async with Line() as line, SlowBuffer() as buffer:
        line.sender = Sender(buffer, OnDoubt.RETRY, 5)
        old = await buffer.put("a", ttl=3)
        await buffer.put("b")
        await line.serve_for(20)
        assert (line.network.received, old.outcome, old.attempts) == (["b"], Outcome.EXPIRED, 0)


async def test_leased_message_cannot_be_cancelled_and_a_waiting_one_is_never_sent() -> None:
    async with Line() as line, create_task_group() as tasks:
        first, second = await line.buffer.put("a"), await line.buffer.put("b")
        line.network.on_send.append(slow(5))
        tasks.start_soon(line.serve)
        await sleep(1)
        assert not first.cancel() and second.cancel()
        await sleep(9)
        assert line.network.received == ["a"]
        tasks.cancel_scope.cancel()


async def test_cancellation_between_two_messages_does_not_begin_the_second() -> None:
    async def take_and_cancel(link: FakeLink, message: str) -> str:
        tasks.cancel_scope.cancel()
        return link.take(message)

    async with Line() as line:
        first, second = await line.buffer.put("a"), await line.buffer.put("b")
        line.network.on_send.append(take_and_cancel)
        async with create_task_group() as tasks:
            await line.serve()
        assert (first.outcome, second.attempts, second.maybe_sent) == (Outcome.SENT, 0, False)


# Mistakes in the program


@pytest.mark.parametrize("mistake", [ValueError("no"), BufferClosed("another buffer"), KeyError("x")])
async def test_mistake_in_send_is_returned_and_the_message_stays_in_doubt(mistake: Exception) -> None:
    async with Line(poison_after=1) as line:
        delivery = await line.buffer.put("a")
        line.network.on_send.append(raising(mistake))
        assert await line.serve() is mistake
        assert (delivery.outcome, delivery.maybe_sent, line.buffer.statistics().queued) == (None, True, 1)


async def test_buffer_of_another_loop_is_a_mistake() -> None:
    stranger = AsyncMessageBuffer[str]()
    elsewhere = Thread(target=anyio.run, args=(stranger.drain,))
    elsewhere.start()
    elsewhere.join()
    async with Line() as line:
        line.sender = Sender(stranger, OnDoubt.RETRY, 5)
        assert "belongs to another event loop" in str(await line.serve())


# Groups, from links with a task group of their own


def group(*errors: Exception) -> ExceptionGroup[Exception]:
    return ExceptionGroup("from a link", list(errors))


@pytest.mark.parametrize(
    ("error", "outcome"), [(Rejected(), Outcome.REJECTED), (RetryLater(60), None), (RetryLater(0), Outcome.SENT)]
)
async def test_answer_in_a_group_is_an_answer(error: Exception, outcome: Outcome | None) -> None:
    async with Line() as line:
        delivery = await line.buffer.put("a")
        line.network.on_send.append(raising(group(group(error))))
        await line.serve_for(1)
        assert (delivery.outcome, delivery.maybe_sent, len(line.network.links)) == (outcome, False, 1)


REFUSED, LATER, NO = AuthenticationFailed(), RetryLater(1), Rejected()
LOST, UNSENT, RESET = LinkLost(), LinkLost(unsent=True), ConnectionResetError()
MISTAKE = ZeroDivisionError()
MIXED = group(LOST, MISTAKE)


@pytest.mark.parametrize(
    ("errors", "expected"),
    [
        ([LOST, RESET], LOST),
        ([RESET, LOST], RESET),
        ([UNSENT, RESET], RESET),
        ([group(UNSENT, group(RESET))], RESET),
        ([group(UNSENT)], UNSENT),
        ([LOST, LATER], LATER),
        ([RESET, NO], NO),
        ([NO, group(LATER, REFUSED)], REFUSED),
        ([REFUSED, MISTAKE], MISTAKE),
        ([REFUSED, MIXED, RESET], MIXED),
        ([group(LOST, MIXED), REFUSED], None),
    ],
)
def test_essence_of_several_errors(errors: list[Exception], expected: Exception | None) -> None:
    assert essence(*errors) is (expected or errors[0])


@pytest.mark.parametrize("error", [EOFError(), TimeoutError(), EndOfStream(), IncompleteRead()])
async def test_errors_of_streams_are_losses_of_the_link(error: Exception) -> None:
    async with Line(poison_after=1) as line:
        delivery = await line.buffer.put("a")
        line.network.on_send.append(raising(error))
        assert await line.serve() is error
        assert fate(delivery) == (Outcome.REJECTED, 1, True)


@pytest.mark.parametrize(("on_doubt", "outcome"), [("retry", Outcome.REJECTED), ("report", Outcome.UNKNOWN)])
async def test_send_that_the_link_has_cancelled_is_judged_in_its_next_turn(on_doubt: str, outcome: Outcome) -> None:
    async with Line(on_doubt, poison_after=1) as line:
        delivery = await line.buffer.put("a")
        line.network.on_send.append(hang)
        await line.serve_for(1)
        line.sender.link_lost()
        await line.serve_for(1)
        assert (delivery.outcome, delivery.attempts, line.network.received) == (outcome, 1, [])


async def test_send_that_was_cancelled_from_outside_is_no_loss_even_if_the_next_link_is_lost() -> None:
    async with Line(poison_after=1) as line, create_task_group() as tasks:
        delivery = await line.buffer.put("a")
        line.network.on_send.append(hang)
        await line.serve_for(1)
        async with line.buffer.lease():  # so that the next link cannot send it
            tasks.start_soon(lambda: sleep_and_cut(line.network, 1))
            await line.serve()
        line.sender.link_lost()
        await line.serve_for(1)
        assert fate(delivery) == (Outcome.SENT, 2, True)
