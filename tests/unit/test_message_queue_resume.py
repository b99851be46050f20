"""message_queue.py: pauses that are ended before their time."""

from __future__ import annotations

from tests.by_hand import QueueCase


def test_resumed_key_is_free_at_once_and_the_others_stay_paused() -> None:
    case = QueueCase(*"abcab")
    for key in "abc":
        case.queue.pause(key, 5)
    case.queue.resume("a", "c", "d")
    assert case.take(10) == [1, 3, 4]
    case.clock.now = 5
    assert case.take(10) == [2, 5]


def test_resume_without_keys_ends_every_pause() -> None:
    case = QueueCase(*"abab")
    case.queue.pause("a", 5)
    assert case.take_and_give_back() == [2]
    case.queue.pause("b", 9)
    case.queue.pause_all(7)
    case.queue.resume()
    assert case.take(10) == [1, 2, 3, 4]
    assert not case.queue.has_ready()
    assert case.queue.simple


def test_resume_of_a_key_leaves_the_pause_of_everything() -> None:
    case = QueueCase(*"ab")
    case.queue.pause("a", 9)
    case.queue.pause_all(5)
    case.queue.resume("a")
    assert not case.queue.has_ready()
    assert case.queue.next_ready() == 5
    case.clock.now = 5
    assert case.take(10) == [1, 2]


def test_resumed_messages_come_in_their_old_order() -> None:
    case = QueueCase(*"abba")
    case.queue.pause("a", 5)
    assert case.take() == [2]
    case.put("a")
    case.queue.resume("a")
    assert case.take(10) == [1, 3, 4, 5]


def test_queue_is_simple_again_after_a_resume() -> None:
    case = QueueCase("b")
    case.queue.pause("a", 5)
    case.queue.resume("a")
    before = case.queue.simple
    assert case.queue.has_ready()
    assert (before, case.queue.simple) == (False, True)


def test_key_can_be_paused_anew_after_a_resume_for_a_shorter_time() -> None:
    case = QueueCase("a", "a")
    case.queue.pause("a", 9)
    assert not case.queue.has_ready()
    case.queue.resume("a")
    case.queue.pause("a", 5)
    assert not case.queue.has_ready()
    assert case.queue.next_ready() == 5
    case.clock.now = 5
    assert case.take(10) == [1, 2]
    case.clock.now = 9
    assert case.put("a") and case.take(10) == [3]


def test_key_can_be_paused_anew_after_a_resume_until_the_same_time() -> None:
    case = QueueCase("a")
    case.queue.pause("a", 5)
    assert not case.queue.has_ready()
    case.queue.resume("a")
    case.queue.pause("a", 5)
    assert case.take() == []
    case.clock.now = 5
    assert case.take() == [1]


def test_everything_can_be_paused_anew_after_a_resume_for_a_shorter_time() -> None:
    case = QueueCase("a")
    case.queue.pause_all(9)
    case.queue.resume()
    case.queue.pause_all(5)
    assert case.take() == []
    case.clock.now = 5
    assert case.take() == [1]


def test_next_ready_after_a_resume_is_the_end_of_the_next_pause() -> None:
    case = QueueCase(*"abc")
    for key, until in (("a", 5), ("b", 9), ("c", 7)):
        case.queue.pause(key, until)
    case.queue.resume("a")
    assert case.take(10) == [1]
    assert case.queue.next_ready() == 7


def test_resume_of_what_does_not_pause_changes_nothing() -> None:
    case = QueueCase(*"aab")
    case.queue.resume("a")
    case.queue.resume()
    assert case.queue.simple
    case.queue.pause("a", 5)
    assert case.take() == [3]
    case.clock.now = 5
    assert case.take() == [1]  # the pause is over, and one is left of what it held up
    case.queue.resume("a", "b")
    case.queue.resume()
    assert case.take() == [2]


def test_key_may_be_named_twice() -> None:
    case = QueueCase("b")
    case.queue.pause("a", 5)
    case.queue.resume("a", "a")
    case.put("a")
    assert case.take(10) == [1, 2]


def test_message_that_is_taken_during_a_resume_comes_back_to_its_place() -> None:
    case = QueueCase(*"abab")
    taken = case.queue.take(2)
    case.queue.pause("a", 5)
    case.queue.resume("a")
    case.queue.give_back(taken)
    assert case.take(10) == [1, 2, 3, 4]
