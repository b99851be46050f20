"""message_queue.py: what comes back from a lease, the oldest of all, and what it costs."""

from __future__ import annotations

from weakref import ref

import pytest

from ridethrough.delivery import Outcome
from ridethrough.message_queue import MessageQueue
from tests.by_hand import Clock, QueueCase, ids, make_delivery

# Leases and pauses at once


def test_give_back_of_a_message_whose_key_was_paused_meanwhile() -> None:
    case = QueueCase(*"aba")
    taken = case.queue.take(1)
    case.queue.pause("a", 5)
    case.queue.give_back(taken)
    assert case.take(10) == [2]
    case.clock.now = 5
    assert case.take(10) == [1, 3]


def test_give_back_of_a_message_that_came_from_among_the_held_up() -> None:
    case = QueueCase(*"abaa")
    case.queue.pause("a", 5)
    assert case.take() == [2]
    case.clock.now = 5
    assert case.take_and_give_back(2) == [1, 3]
    assert case.take(10) == [1, 3, 4]


def test_give_back_of_a_message_whose_pause_has_ended_meanwhile() -> None:
    case = QueueCase(*"ab")
    taken = case.queue.take(1)
    case.queue.pause("a", 5)
    case.clock.now = 5
    case.queue.give_back(taken)
    assert case.take(10) == [1, 2]


def test_give_back_of_the_last_of_its_key_after_its_pause() -> None:
    case = QueueCase(*"ab")
    case.queue.pause("a", 5)
    assert not case.take_and_give_back(0)
    assert case.take() == [2]
    case.clock.now = 5
    taken = case.queue.take(10)
    assert not case.queue.has_ready()
    case.put("a")
    case.queue.give_back(taken)
    assert case.take(10) == [1, 3]


def test_give_back_of_some_that_were_paused_and_some_that_were_not() -> None:
    case = QueueCase(*"abcab")
    taken = case.queue.take(4)
    case.queue.pause("a", 5)
    case.queue.give_back(taken)
    assert ids(case.queue) == [1, 2, 3, 4, 5]
    assert case.take(10) == [2, 3, 5]
    case.clock.now = 5
    assert case.take(10) == [1, 4]


def test_give_back_while_everything_is_paused() -> None:
    case = QueueCase("a", "b")
    taken = case.queue.take(1)
    case.queue.pause_all(5)
    case.queue.give_back(taken)
    assert case.take(10) == []
    case.clock.now = 5
    assert case.take(10) == [1, 2]


# The oldest, and everything


def test_take_oldest_reaches_what_is_held_up() -> None:
    case = QueueCase(*"abaca")
    case.queue.pause("a", 5)
    assert case.take() == [2]
    assert case.queue.oldest_id() == 1
    assert ids([case.queue.take_oldest() or pytest.fail("nothing is left") for _ in range(4)]) == [1, 3, 4, 5]
    assert case.queue.take_oldest() is None and case.queue.oldest_id() is None


def test_take_oldest_during_a_lease_leaves_its_places_free() -> None:
    case = QueueCase(*"aabab")
    taken = case.queue.take(1)
    case.queue.pause("a", 5)
    assert case.queue.take_oldest() is case.deliveries[2]
    assert case.queue.take_oldest() is case.deliveries[3]
    case.queue.give_back(taken)
    assert ids(case.queue) == [1, 4, 5]
    assert case.take(10) == [5]
    case.clock.now = 5
    assert case.take(10) == [1, 4]


def test_take_oldest_knows_what_was_released_and_what_is_held_up() -> None:
    case = QueueCase(*"abcabc")
    case.queue.pause("a", 5)
    case.queue.pause("b", 9)
    assert case.take() == [3]
    case.clock.now = 5
    assert case.queue.has_ready()
    oldest = [case.queue.take_oldest() for _ in range(5)]
    assert ids([delivery for delivery in oldest if delivery]) == [1, 2, 4, 5, 6]


def test_take_all_takes_what_is_held_up_in_order_and_leaves_pauses() -> None:
    case = QueueCase(*"abaca")
    case.queue.pause("a", 5)
    assert case.take() == [2]
    assert ids(case.queue.take_all()) == [1, 3, 4, 5]
    assert ids(case.queue) == [] and case.queue.oldest_id() is None
    case.put("a")
    case.put("b")
    assert case.take(10) == [7]
    case.clock.now = 5
    assert case.take(10) == [6]


# Memory and cost


class Message:
    """Something whose memory can be watched."""


@pytest.mark.parametrize("paused", [False, True])
def test_ended_messages_never_outnumber_the_open_ones_in_memory(paused: bool) -> None:
    clock = Clock()
    queue: MessageQueue[Message] = MessageQueue(clock)
    waiting = {number: make_delivery(number, message=Message(), key=number % 7) for number in range(1000)}
    for delivery in waiting.values():
        queue.append(delivery)
    del delivery
    if paused:
        for key in range(7):
            queue.pause(key, 5)
        assert not queue.has_ready()
    messages = [ref(delivery.message) for delivery in waiting.values()]
    for number in reversed(range(1000)):
        waiting.pop(number).outcome = Outcome.CANCELLED
        queue.ended_in_place(len(waiting))
        assert sum(message() is not None for message in messages) <= 2 * len(waiting)
        if number % 100 == 0:
            assert ids(queue) == list(range(number))
    clock.now = 5
    assert not queue.has_ready()
    assert queue.simple


def test_nothing_of_a_key_is_kept_once_its_pause_is_over() -> None:
    class Key:
        pass

    case = QueueCase()
    key = Key()
    watch = ref(key)
    case.queue.pause(key, 5)
    case.queue.append(make_delivery(1, key=key))
    del key
    assert case.take() == []
    case.clock.now = 5
    assert case.take() == [1]
    case.put("another")
    assert case.queue.has_ready()
    assert watch() is None


def test_keys_whose_messages_are_gone_are_not_gone_through() -> None:
    case = QueueCase(*range(10))
    for key in range(10):
        case.queue.pause(key, 5)
    assert not case.queue.has_ready()
    assert len(case.queue._listed()) == 10
    case.end(*range(1, 10))
    assert len(case.queue._listed()) < 5
    assert ids(case.queue.take_all()) == [10]
    assert case.queue._listed() == []


def test_a_step_does_not_go_through_the_keys_that_are_held_up() -> None:
    class Key:
        """A key that counts how often any of its kind is looked at."""

        looked_at = 0

        def __hash__(self) -> int:
            Key.looked_at += 1
            return id(self)

    case = QueueCase(*(Key() for _ in range(500)))
    for delivery in case.deliveries.values():
        case.queue.pause(delivery._terms.key, 5)
    assert not case.queue.has_ready()
    Key.looked_at = 0
    case.put("free")
    assert case.take() == [501]
    assert case.queue.take_oldest() is case.deliveries[1]
    assert Key.looked_at < 5
