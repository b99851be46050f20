"""ages.py: which messages have become too old."""

from __future__ import annotations

from typing import Any
from weakref import ref

from ridethrough.ages import Ages
from ridethrough.delivery import Delivery, Outcome
from tests.by_hand import ids, make_delivery


class Message:
    """Something whose memory can be watched."""


def aged(*times: float) -> tuple[Ages[Any], list[Delivery[Any]]]:
    """Ages of messages that expire at these times, and the messages, whose ids begin at 0."""
    ages: Ages[Any] = Ages()
    deliveries = [make_delivery(number, expires_at=at) for number, at in enumerate(times)]
    for delivery in deliveries:
        ages.add(delivery)
    return ages, deliveries


def test_ages_know_who_is_next() -> None:
    assert not Ages()
    ages, _ = aged(7, 3, 5)
    assert ages and ages.next == 3


def test_take_due_gives_the_due_ones_and_keeps_the_others() -> None:
    ages, _ = aged(7, 3, 5, 5)
    assert ids(ages.take_due(2.999)) == []
    assert ids(ages.take_due(5)) == [1, 2, 3]
    assert ids(ages.take_due(6)) == []
    assert ages.next == 7
    assert ids(ages.take_due(100)) == [0]
    assert not ages


def test_take_due_does_not_give_what_has_ended() -> None:
    ages, deliveries = aged(3, 4, 5)
    deliveries[1].outcome = Outcome.SENT
    assert ids(ages.take_due(10)) == [0, 2]


def test_take_due_goes_on_when_ended_ones_are_forgotten_meanwhile() -> None:
    ages, deliveries = aged(*range(10))
    seen = []
    for delivery in ages.take_due(7):
        delivery.outcome = Outcome.EXPIRED
        ages.forget_ended(sum(other.outcome is None for other in deliveries))
        seen.append(delivery.id)
    assert seen == list(range(8))
    assert ages.next == 8


def test_ages_forget_ended_ones_that_outnumber_the_open_ones() -> None:
    ages: Ages[Message] = Ages()
    waiting = {number: make_delivery(number, message=Message(), expires_at=(number * 7) % 100) for number in range(100)}
    for delivery in waiting.values():
        ages.add(delivery)
    del delivery
    messages = [ref(delivery.message) for delivery in waiting.values()]
    for number in range(100):
        waiting.pop(number).outcome = Outcome.SENT
        ages.forget_ended(len(waiting))
        assert sum(message() is not None for message in messages) <= 2 * len(waiting)
    assert not ages


def test_ages_that_have_forgotten_still_know_who_is_next() -> None:
    ages, deliveries = aged(1, 9, 2, 8, 3, 7, 4, 6, 5)
    for number in (0, 1, 2, 4, 8):
        deliveries[number].outcome = Outcome.SENT
    ages.forget_ended(4)
    assert ages.next == 4
    assert ids(ages.take_due(10)) == [6, 7, 5, 3]


def test_shift_moves_all_times() -> None:
    ages, deliveries = aged(7, 3)
    ages.shift(1000.5)
    assert [delivery._terms.expires_at for delivery in deliveries] == [1007.5, 1003.5]
    assert ages.next == 1003.5
    assert ids(ages.take_due(1007)) == [1]
    ages.shift(-1000)
    assert ages.next == 7.5
