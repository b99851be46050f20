"""message_queue.py: the order of what waits, and what a pause holds up."""

from __future__ import annotations

from tests.by_hand import QueueCase, ids

# Without pauses


def test_take_gives_the_oldest_first_up_to_the_limit() -> None:
    case = QueueCase(*"aaaaa")
    assert case.take(2) == [1, 2]
    assert case.take(1) == [3]
    assert case.take(10) == [4, 5]
    assert case.take(10) == []


def test_queue_is_simple_while_nothing_is_to_be_stepped_over() -> None:
    case = QueueCase("a", "b")
    assert case.queue.simple
    case.take_and_give_back(2)
    case.queue.take_oldest()
    case.queue.take_all()
    assert case.queue.simple


def test_has_ready_tells_whether_take_would_give_something() -> None:
    case = QueueCase()
    assert not case.queue.has_ready()
    case.put()
    assert case.queue.has_ready()
    case.take()
    assert not case.queue.has_ready()


def test_give_back_puts_messages_in_their_old_places() -> None:
    case = QueueCase(*"abcd")
    taken = case.queue.take(3)
    case.put("e")
    case.queue.give_back([taken[0], taken[2]])
    assert ids(case.queue) == [1, 3, 4, 5]
    assert case.take(10) == [1, 3, 4, 5]


def test_take_oldest_takes_one_after_the_other() -> None:
    case = QueueCase("a", "b")
    assert [case.queue.oldest_id(), case.queue.take_oldest()] == [1, case.deliveries[1]]
    assert [case.queue.oldest_id(), case.queue.take_oldest()] == [2, case.deliveries[2]]
    assert [case.queue.oldest_id(), case.queue.take_oldest()] == [None, None]


def test_take_all_takes_everything_in_order() -> None:
    case = QueueCase(*"aba")
    assert ids(case.queue.take_all()) == [1, 2, 3]
    assert ids(case.queue.take_all()) == []
    assert not case.queue.has_ready()


def test_main_stays_the_same_deque() -> None:
    case = QueueCase(*"abcabc")
    main = case.queue.main
    case.queue.pause("a", 5)
    case.take_and_give_back(2)
    case.end(6, 5, 4, 3)
    case.queue.take_all()
    case.put("d")
    assert case.queue.main is main and ids(main) == [7]


# Pauses of a key


def test_paused_key_is_stepped_over_and_the_others_go_on_in_their_order() -> None:
    case = QueueCase(*"abacb")
    case.queue.pause("a", 5)
    assert not case.queue.simple
    assert case.take(10) == [2, 4, 5]
    assert not case.queue.has_ready()
    assert ids(case.queue) == [1, 3]


def test_paused_key_goes_on_in_its_order_when_the_pause_ends() -> None:
    case = QueueCase(*"abab")
    case.queue.pause("a", 5)
    assert case.take(1) == [2]
    case.put("a")
    case.clock.now = 4.999
    assert case.take(1) == [4]
    assert case.take(1) == []
    case.clock.now = 5
    assert case.take(10) == [1, 3, 5]


def test_after_a_pause_the_oldest_of_all_comes_first() -> None:
    case = QueueCase(*"abbab")
    case.queue.pause("a", 5)
    assert case.take(1) == [2]
    case.clock.now = 5
    assert case.take(10) == [1, 3, 4, 5]


def test_two_pauses_end_each_at_its_time() -> None:
    case = QueueCase(*"abcab")
    case.queue.pause("a", 7)
    case.queue.pause("b", 5)
    assert case.take(10) == [3]
    case.clock.now = 5
    assert case.take(10) == [2, 5]
    case.clock.now = 7
    assert case.take(10) == [1, 4]


def test_two_pauses_that_end_together_release_in_the_order_of_the_messages() -> None:
    case = QueueCase(*"abab")
    case.queue.pause("b", 5)
    case.queue.pause("a", 5)
    assert not case.queue.has_ready()
    case.clock.now = 5
    assert case.take(10) == [1, 2, 3, 4]


def test_pause_lengthened_ends_at_its_later_time() -> None:
    case = QueueCase("a")
    case.queue.pause("a", 5)
    case.queue.pause("a", 9)
    case.clock.now = 8
    assert case.take() == []
    case.clock.now = 9
    assert case.take() == [1]


def test_pause_is_not_shortened_by_another_one() -> None:
    case = QueueCase("a")
    case.queue.pause("a", 9)
    case.queue.pause("a", 5)
    case.clock.now = 8
    assert case.take() == []


def test_pause_of_the_key_none_holds_up_messages_without_a_key() -> None:
    case = QueueCase(None, "a", None)
    case.queue.pause(None, 5)
    assert case.take(10) == [2]
    case.clock.now = 5
    assert case.take(10) == [1, 3]


def test_pause_of_a_key_that_nobody_waits_with_holds_up_later_messages_of_it() -> None:
    case = QueueCase("b")
    case.queue.pause("a", 5)
    case.put("a")
    assert case.take(10) == [1]
    case.clock.now = 5
    assert case.take(10) == [2]


def test_pause_of_no_length_holds_up_nothing() -> None:
    case = QueueCase("a", "b")
    case.queue.pause("a", 0)
    assert case.take(10) == [1, 2]


def test_pause_again_while_messages_are_left_from_the_last_one() -> None:
    case = QueueCase(*"aaa")
    case.queue.pause("a", 5)
    assert not case.queue.has_ready()
    case.clock.now = 5
    assert case.take() == [1]
    case.queue.pause("a", 9)
    case.put("b")
    case.put("a")
    assert case.take(10) == [4]
    case.clock.now = 9
    assert case.take(10) == [2, 3, 5]


def test_queue_is_simple_again_once_all_that_was_held_up_is_gone() -> None:
    case = QueueCase(*"ab")
    case.queue.pause("a", 5)
    assert case.take(10) == [2]
    case.clock.now = 5
    assert case.take(10) == [1]
    assert not case.queue.has_ready()
    assert case.queue.simple


def test_queue_is_not_simple_while_a_key_is_paused_that_nobody_waits_with() -> None:
    case = QueueCase("b")
    case.queue.pause("a", 5)
    assert case.queue.has_ready()
    assert not case.queue.simple
    case.clock.now = 5
    assert case.queue.has_ready()
    assert case.queue.simple


def test_pause_twice_until_the_same_time_ends_once() -> None:
    case = QueueCase("b")
    case.queue.pause("a", 5)
    case.queue.pause("a", 5)
    case.clock.now = 5
    assert case.take() == [1]
    case.put("a")
    assert case.take() == [2]


# Pauses of everything


def test_pause_of_everything_holds_up_everything() -> None:
    case = QueueCase("a", "b")
    case.queue.pause_all(5)
    assert not case.queue.simple
    assert case.take(10) == []
    assert not case.queue.has_ready()
    case.clock.now = 5
    assert case.take(10) == [1, 2]
    assert case.queue.simple


def test_pause_of_everything_is_not_shortened_by_another_one() -> None:
    case = QueueCase("a")
    case.queue.pause_all(9)
    case.queue.pause_all(5)
    case.clock.now = 8
    assert not case.queue.has_ready()
    case.clock.now = 9
    assert case.queue.has_ready()


def test_pause_of_a_key_outlasts_one_of_everything() -> None:
    case = QueueCase("a", "b")
    case.queue.pause("a", 9)
    case.queue.pause_all(5)
    assert case.take(10) == []
    case.clock.now = 5
    assert case.take(10) == [2]


# Messages that end while they wait


def test_ended_messages_are_neither_taken_nor_counted() -> None:
    case = QueueCase(*"aaaa")
    case.end(1, 3)
    assert not case.queue.simple
    assert ids(case.queue) == [2, 4]
    assert case.queue.oldest_id() == 2
    assert case.take(10) == [2, 4]
    assert case.queue.simple


def test_ended_messages_are_not_the_oldest() -> None:
    case = QueueCase(*"abab")
    case.queue.pause("a", 5)
    assert case.take_and_give_back() == [2]
    case.end(1, 2)
    assert case.queue.take_oldest() is case.deliveries[3]
    case.end(4)
    assert case.queue.take_oldest() is None


def test_ended_message_behind_one_that_is_held_up_is_not_taken() -> None:
    case = QueueCase(*"abb")
    case.queue.pause("a", 5)
    case.end(2)
    assert case.take(10) == [3]


def test_queue_is_simple_again_once_the_ended_messages_are_gone() -> None:
    case = QueueCase(*"aaaaaaaa")
    case.end(1)
    before = case.queue.simple
    assert case.queue.has_ready()
    assert (before, case.queue.simple) == (False, True)
    case.end(4)
    assert case.queue.has_ready()
    before = case.queue.simple
    assert ids(case.queue.take_all()) == [2, 3, 5, 6, 7, 8]
    assert not case.queue.has_ready()
    assert (before, case.queue.simple) == (False, True)


def test_ended_messages_are_not_ready() -> None:
    case = QueueCase("a")
    case.end(1)
    assert not case.queue.has_ready()
    assert case.queue.simple


def test_ended_messages_are_not_in_everything() -> None:
    case = QueueCase(*"aba")
    case.queue.pause("a", 5)
    assert case.take_and_give_back() == [2]
    case.end(3, 2)
    assert ids(case.queue.take_all()) == [1]


def test_message_that_ended_among_the_held_up_is_stepped_over_later() -> None:
    case = QueueCase(*"aaab")
    case.queue.pause("a", 5)
    assert case.take_and_give_back() == [4]
    case.end(1)
    case.clock.now = 5
    assert case.take(10) == [2, 3, 4]


def test_key_whose_held_up_messages_have_all_ended_goes_on_with_the_next() -> None:
    case = QueueCase(*"aab")
    case.queue.pause("a", 5)
    assert case.take_and_give_back() == [3]
    case.end(1, 2)
    case.put("a")
    case.clock.now = 5
    assert case.take(10) == [3, 4]
    assert not case.queue.has_ready()
    assert case.queue.simple


# When to look again


def test_next_ready_is_none_when_nothing_is_held_up() -> None:
    case = QueueCase()
    assert not case.queue.has_ready()
    assert case.queue.next_ready() is None
    case.queue.pause("a", 5)
    case.queue.pause_all(6)
    assert not case.queue.has_ready()
    assert case.queue.next_ready() is None


def test_next_ready_is_the_first_end_of_a_pause_of_a_key() -> None:
    case = QueueCase("a", "b")
    case.queue.pause("a", 9)
    case.queue.pause("b", 5)
    assert not case.queue.has_ready()
    assert case.queue.next_ready() == 5


def test_next_ready_is_the_end_of_the_pause_of_everything_and_then_of_the_key() -> None:
    case = QueueCase("a")
    case.queue.pause("a", 9)
    case.queue.pause_all(5)
    assert not case.queue.has_ready()
    assert case.queue.next_ready() == 5
    case.clock.now = 5
    assert not case.queue.has_ready()
    assert case.queue.next_ready() == 9
    case.clock.now = 9
    assert case.queue.has_ready()


def test_next_ready_is_none_when_all_that_was_held_up_has_ended() -> None:
    case = QueueCase("a", "a")
    case.queue.pause("a", 5)
    assert not case.queue.has_ready()
    case.end(1, 2)
    assert not case.queue.has_ready()
    assert case.queue.next_ready() is None
