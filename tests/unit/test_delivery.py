"""delivery.py: one message's fate, as its sender sees it."""

from __future__ import annotations

from typing import Any

import pytest
from anyio import CancelScope, Event, create_task_group
from anyio.lowlevel import checkpoint

from ridethrough.delivery import NO_TERMS, UNDELIVERED, Delivery, Outcome, Terms
from ridethrough.errors import Rejected, Undelivered
from tests.by_hand import make_delivery

pytestmark = pytest.mark.anyio

SECRET = "meet me at noon"


class Owner:
    """A buffer that ends its messages when it is told to, and counts what it is asked."""

    def __init__(self) -> None:
        self.asked = 0
        self.ended = Event()

    def cancel_delivery(self, delivery: Delivery[Any, Any], /) -> bool:
        self.asked += 1
        return delivery.outcome is None

    async def wait_ended(self, delivery: Delivery[Any, Any], /) -> None:
        self.asked += 1
        while delivery.outcome is None:
            await self.ended.wait()

    def end(self, delivery: Delivery[Any], outcome: Outcome, result: object) -> None:
        delivery.outcome, delivery._result = outcome, result
        self.ended.set()


def ended(outcome: Outcome, result: object = "the reason") -> Delivery[Any]:
    """A delivery that has ended, and whose owner is not to be asked any more."""
    delivery = make_delivery(7, message=SECRET)
    delivery.outcome, delivery._result = outcome, result
    return delivery


def test_outcomes_are_plain_strings() -> None:
    assert {str(outcome) for outcome in Outcome} == {
        "sent", "drained", "dropped", "expired", "rejected", "cancelled", "abandoned", "unknown",
    }  # fmt: skip


def test_undelivered_are_the_outcomes_that_nobody_asked_for() -> None:
    assert set(Outcome) - UNDELIVERED == {Outcome.SENT, Outcome.DRAINED, Outcome.CANCELLED}


# Awaiting


async def test_await_of_a_sent_message_gives_the_result() -> None:
    result = object()
    assert await ended(Outcome.SENT, result) is result


async def test_await_of_a_drained_message_gives_none() -> None:
    assert await ended(Outcome.DRAINED, None) is None


async def test_await_gives_an_exception_as_result_if_that_is_what_was_acknowledged() -> None:
    result = ValueError("an answer, not a failure")
    assert await ended(Outcome.SENT, result) is result


@pytest.mark.parametrize("outcome", sorted({*UNDELIVERED, Outcome.CANCELLED}))
async def test_await_of_any_other_end_raises(outcome: Outcome) -> None:
    delivery = ended(outcome)
    for _ in range(2):
        with pytest.raises(Undelivered, match=f"^{outcome}: the reason$") as caught:
            await delivery
        assert caught.value.outcome is outcome and caught.value.reason == "the reason"
        assert caught.value.__cause__ is None


async def test_await_raises_from_the_error_that_led_to_it() -> None:
    error = Rejected("unregistered")
    with pytest.raises(Undelivered, match=r"^rejected: unregistered$") as caught:
        await ended(Outcome.REJECTED, error)
    assert caught.value.__cause__ is error


async def test_await_of_an_open_message_waits_for_its_end() -> None:
    owner = Owner()
    delivery = make_delivery(1, owner=owner)
    results: list[object] = []

    async def wait() -> None:
        results.append(await delivery)

    async with create_task_group() as tasks:
        tasks.start_soon(wait)
        tasks.start_soon(wait)
        while owner.asked < 2:
            await checkpoint()
        assert results == []
        owner.end(delivery, Outcome.SENT, "receipt")
    assert results == ["receipt", "receipt"]


async def test_await_cancelled_changes_nothing() -> None:
    owner = Owner()
    delivery = make_delivery(1, owner=owner)
    with CancelScope() as scope:
        scope.cancel()
        await delivery
    assert scope.cancelled_caught
    assert delivery.outcome is None
    owner.end(delivery, Outcome.SENT, "receipt")
    assert await delivery == "receipt"


# Cancelling


def test_cancel_asks_the_owner_and_gives_its_answer() -> None:
    owner = Owner()
    delivery = make_delivery(1, owner=owner)
    assert delivery.cancel() is True
    owner.end(delivery, Outcome.SENT, None)
    assert delivery.cancel() is False
    assert owner.asked == 2


# What can be read from it


def test_reason_is_empty_while_open_and_after_success() -> None:
    assert make_delivery(1).reason == ""
    assert ended(Outcome.SENT, "the result").reason == ""
    assert ended(Outcome.DRAINED, None).reason == ""


@pytest.mark.parametrize(
    ("result", "reason"),
    [("too old", "too old"), ("", ""), (Rejected("unregistered"), "unregistered"), (TimeoutError(), "TimeoutError")],
)
def test_reason_is_the_text_or_else_the_name_of_the_error(result: object, reason: str) -> None:
    assert ended(Outcome.REJECTED, result).reason == reason


def test_repr_shows_state_and_counts_and_no_message() -> None:
    delivery = make_delivery(7, message=SECRET, key="+4915112345678")
    assert repr(delivery) == "<Delivery 7: open, attempts: 0>"
    delivery.attempts, delivery.maybe_sent = 2, True
    assert repr(delivery) == "<Delivery 7: open, attempts: 2, maybe sent>"
    delivery.outcome = Outcome.ABANDONED
    assert repr(delivery) == "<Delivery 7: abandoned, attempts: 2, maybe sent>"


def test_repr_of_terms_shows_no_key() -> None:
    assert repr(Terms("+4915112345678", 5, 2.0)) == "<Terms: size 5, expires at 2.0>"


def test_no_terms_are_no_key_no_size_and_no_end() -> None:
    assert NO_TERMS == Terms() == (None, 0, None)


def test_delivery_can_be_subscribed_with_and_without_the_type_of_the_result() -> None:
    assert str(Delivery[str]) == "ridethrough.delivery.Delivery[str]"
    assert str(Delivery[str, int]) == "ridethrough.delivery.Delivery[str, int]"


def test_delivery_is_slim() -> None:
    assert not hasattr(make_delivery(1), "__dict__")
