"""ledger.py: where each message is, and that it ends once."""

from __future__ import annotations

from typing import Any

import pytest

from ridethrough.delivery import NO_TERMS, UNDELIVERED, Delivery, Outcome, Terms
from ridethrough.lease import BufferLease
from ridethrough.ledger import Ledger
from tests.by_hand import Clock, LedgerCase, NobodyAsks, messages, watch

# In


def test_accept_gives_growing_ids_and_a_fresh_fate() -> None:
    case = LedgerCase()
    terms = Terms("key", 5, None)
    first, second = case.ledger.accept("one", terms), case.ledger.accept("two", NO_TERMS)
    assert (first.id, second.id) == (1, 2)
    assert first._terms is terms
    assert (first.message, first.outcome, first.attempts, first.maybe_sent) == ("one", None, 0, False)
    assert first._result is None and first._waiters is None


def test_accept_makes_deliveries_that_ask_their_owner() -> None:
    class Owner(NobodyAsks):
        def cancel_delivery(self, delivery: Delivery[Any, Any], /) -> bool:
            return ledger.cancel(delivery)

    ledger: Ledger[str] = Ledger(Owner(), 1, None, Clock())
    assert ledger.accept("one", NO_TERMS).cancel() is True


def test_nothing_goes_straight_in_until_the_intake_says_so() -> None:
    assert LedgerCase().ledger.straight == 0


def test_accept_counts() -> None:
    case = LedgerCase("a", "b")
    case.put("c", size=7)
    assert case.accounts() == {"accepted": 3, "queued": 3, "size": 7}


def test_has_room_for_max_size_messages() -> None:
    case = LedgerCase("a", max_size=2)
    assert case.ledger.has_room(1, 10**9)
    case.put("b")
    assert not case.ledger.has_room(1, 0)


def test_has_room_for_max_bytes() -> None:
    case = LedgerCase(max_bytes=10)
    case.put("a", size=6)
    assert case.ledger.has_room(1, 4) and not case.ledger.has_room(1, 5)


def test_leased_messages_take_room() -> None:
    case = LedgerCase("a", "b", max_size=2)
    case.lease()
    assert not case.ledger.has_room(1, 0)


def test_could_have_room_unless_all_places_are_leased() -> None:
    case = LedgerCase("a", "b", max_size=2)
    assert case.ledger.could_have_room(1, 0)
    lease = case.lease(2)
    assert not case.ledger.could_have_room(1, 0)
    next(iter(lease)).ack()
    assert case.ledger.could_have_room(1, 0)


def test_could_have_room_unless_too_many_bytes_are_leased() -> None:
    case = LedgerCase(max_bytes=10)
    for message in "abc":
        case.put(message, size=3)
    lease = case.lease(2)
    assert case.ledger.could_have_room(1, 4) and not case.ledger.could_have_room(1, 5)
    next(iter(lease)).reject("no")
    assert case.ledger.could_have_room(1, 7) and not case.ledger.could_have_room(1, 8)


def test_has_room_for_several_together() -> None:
    case = LedgerCase("a", max_size=3, max_bytes=10)
    assert case.ledger.has_room(2, 10) and not case.ledger.has_room(3, 10) and not case.ledger.has_room(2, 11)


def test_could_have_room_for_as_many_as_it_can_hold_beside_what_is_leased() -> None:
    case = LedgerCase("a", "b", max_size=3, max_bytes=10)
    assert case.ledger.could_have_room(3, 10)
    assert not case.ledger.could_have_room(4, 0) and not case.ledger.could_have_room(1, 11)
    case.lease()
    assert case.ledger.could_have_room(2, 10) and not case.ledger.could_have_room(3, 0)


# Overflow


def test_drop_oldest_makes_room_for_one() -> None:
    case = LedgerCase("a", "b", "c", max_size=3)
    case.ledger.drop_oldest_for(1, 0)
    case.put("d")
    assert case.accounts() == {"accepted": 4, "queued": 3, "dropped": 1}
    assert case.deliveries["a"].outcome is Outcome.DROPPED and case.deliveries["a"].reason == "the buffer was full"
    assert case.ended_now() == ["a"]


def test_drop_oldest_makes_room_for_bytes() -> None:
    case = LedgerCase(max_bytes=10)
    for message, size in (("a", 3), ("b", 0), ("c", 3), ("d", 4)):
        case.put(message, size=size)
    case.ledger.drop_oldest_for(1, 5)
    assert case.ended_now() == ["a", "b", "c"]
    assert case.accounts() == {"accepted": 4, "queued": 1, "dropped": 3, "size": 4}


def test_drop_oldest_makes_room_for_several() -> None:
    case = LedgerCase("a", "b", "c", max_size=4)
    case.ledger.drop_oldest_for(3, 0)
    assert case.ended_now() == ["a", "b"]


def test_drop_oldest_drops_nothing_while_there_is_room() -> None:
    case = LedgerCase("a", "b", max_size=3)
    case.ledger.drop_oldest_for(1, 0)
    assert case.ended_now() == []


def test_drop_oldest_never_drops_a_leased_message() -> None:
    case = LedgerCase("a", "b", "c", max_size=3)
    lease = case.lease(2)
    case.ledger.drop_oldest_for(1, 0)
    case.put("d")
    assert case.ended_now() == ["c"]
    case.ledger.end_lease(lease)
    assert case.drain() == ["a", "b", "d"]


def test_drop_oldest_drops_what_is_held_up_in_its_turn() -> None:
    case = LedgerCase(max_size=3)
    for message, key in (("a1", "a"), ("b1", "b"), ("a2", "a")):
        case.put(message, key=key)
    lease = case.lease()
    next(iter(lease)).defer(60)
    case.ledger.end_lease(lease)
    assert messages(case.lease()) == ["b1"]
    for expected in ("a1", "a2"):
        case.ledger.drop_oldest_for(1, 0)
        case.put(f"instead of {expected}")
        assert case.ended_now() == [expected]


def test_drop_newest_accepts_and_drops_and_leaves_no_trace() -> None:
    case = LedgerCase("a", max_size=1)
    case.deliveries["b"] = delivery = case.ledger.drop_newest("b", Terms("key", 5, 10.0))
    assert (delivery.id, delivery.outcome, delivery.reason) == (2, Outcome.DROPPED, "the buffer was full")
    assert case.accounts() == {"accepted": 2, "queued": 1, "dropped": 1}
    assert case.ended_now() == ["b"]
    assert case.ledger.is_simply_ready()
    assert case.drain() == ["a"]
    assert case.ledger.next_expiry() is None


# Leases


def test_start_lease_takes_up_to_the_limit_from_the_head() -> None:
    case = LedgerCase("a", "b", "c")
    assert messages(case.lease(2)) == ["a", "b"]
    assert case.accounts() == {"accepted": 3, "queued": 1, "leased": 2}


def test_start_lease_waits_for_the_one_before() -> None:
    case = LedgerCase("a", "b")
    first = case.lease()
    second: BufferLease[Any] = BufferLease(case, 1)
    assert not case.ledger.start_lease(second)
    assert len(second) == 0
    case.ledger.end_lease(first)
    assert case.ledger.start_lease(second)
    assert messages(second) == ["a"]


def test_start_lease_waits_for_messages() -> None:
    case = LedgerCase()
    lease: BufferLease[Any] = BufferLease(case, 1)
    assert not case.ledger.start_lease(lease)
    assert case.ledger.lease is None
    case.put("a")
    assert case.ledger.start_lease(lease)


def test_start_lease_knows_what_its_messages_take() -> None:
    case = LedgerCase()
    for message, size in (("a", 3), ("b", 4), ("c", 5)):
        case.put(message, size=size)
    assert case.lease(2).size == 7
    assert LedgerCase("a").lease().size == 0


def test_end_lease_puts_back_what_is_open_in_its_place() -> None:
    case = LedgerCase("a", "b", "c", "d")
    lease = case.lease(3)
    list(lease)[1].ack()
    case.put("e")
    case.ledger.end_lease(lease)
    assert case.accounts() == {"accepted": 5, "queued": 4, "sent": 1}
    assert case.drain() == ["a", "c", "d", "e"]


def test_end_lease_twice_is_once() -> None:
    case = LedgerCase("a", "b")
    first = case.lease()
    case.ledger.end_lease(first)
    second = case.lease()
    case.ledger.end_lease(first)
    assert case.ledger.lease is second
    case.ledger.end_lease(second)
    assert case.drain() == ["a", "b"]


@pytest.mark.parametrize("outcome", [Outcome.SENT, Outcome.REJECTED, Outcome.UNKNOWN])
def test_settle_ends_a_leased_message(outcome: Outcome) -> None:
    case = LedgerCase()
    for message in "ab":
        delivery = case.put(message, size=3)
    lease = case.lease(2)
    assert case.ledger.settle(lease, delivery, outcome, "result", None)
    assert (delivery.outcome, delivery._result) == (outcome, "result")
    assert case.accounts() == {"accepted": 2, "leased": 1, outcome.value: 1, "size": 3}
    assert (len(lease), lease.size) == (1, 3)
    assert case.ended_now() == ([] if outcome is Outcome.SENT else ["b"])


def test_settle_tells_who_awaits_it() -> None:
    case = LedgerCase("a")
    watch(case.deliveries["a"])
    next(iter(case.lease())).ack()
    assert case.ended_now() == ["a"]


@pytest.mark.parametrize(("doubted", "maybe_sent"), [(None, True), (True, True), (False, False)])
def test_settle_takes_the_doubt_away_if_there_was_an_answer(doubted: bool | None, maybe_sent: bool) -> None:
    case = LedgerCase("a")
    lease = case.lease()
    delivery = case.deliveries["a"]
    delivery.maybe_sent = True
    case.ledger.settle(lease, delivery, Outcome.SENT, None, doubted)
    assert delivery.maybe_sent is maybe_sent


def test_settle_twice_is_late_and_changes_nothing() -> None:
    case = LedgerCase("a", "b")
    lease = case.lease(2)
    entry = next(iter(lease))
    assert entry.ack("first")
    before = case.accounts()
    assert not (entry.ack("second") or entry.reject("no") or entry.unknown("who knows") or entry.defer(5))
    assert case.accounts() == before | {"late": 4}
    assert entry.delivery._result == "first" and len(lease) == 1


def test_settle_after_the_lease_is_late_and_changes_nothing() -> None:
    case = LedgerCase("a", "b")
    lease = case.lease()
    entry = next(iter(lease))
    case.ledger.end_lease(lease)
    other = case.lease()
    assert not (entry.ack() or entry.reject("no") or entry.unknown("who knows") or entry.defer(5))
    assert case.accounts() == {"accepted": 2, "queued": 1, "leased": 1, "late": 4}
    assert case.deliveries["a"].outcome is None and len(other) == 1


# Out


def test_drain_takes_all_in_order_and_leaves_what_is_leased() -> None:
    case = LedgerCase("a", "b")
    case.put("c", size=5)
    case.put("d", ttl=5)
    lease = case.lease()
    watch(case.deliveries["c"])
    assert case.drain() == ["b", "c", "d"]
    assert case.accounts() == {"accepted": 4, "leased": 1, "drained": 3}
    assert case.ended_now() == ["c"]
    case.ledger.end_lease(lease)
    assert case.drain() == ["a"]
    assert case.drain() == []


def test_drain_takes_what_is_held_up() -> None:
    case = LedgerCase()
    case.put_keyed("a1", "b1", "a2")
    lease = case.lease()
    next(iter(lease)).defer(5)
    case.ledger.end_lease(lease)
    assert case.ledger.has_ready()
    case.ledger.cancel(case.deliveries["b1"])
    assert case.drain() == ["a1", "a2"]
    assert case.accounts() == {"accepted": 3, "drained": 2, "cancelled": 1}


def test_cancel_ends_a_queued_message() -> None:
    case = LedgerCase("a")
    case.put("b", size=5)
    case.put("c")
    watch(case.deliveries["c"])
    assert case.ledger.cancel(case.deliveries["b"]) and case.ledger.cancel(case.deliveries["c"])
    assert case.accounts() == {"accepted": 3, "queued": 1, "cancelled": 2}
    assert case.deliveries["b"].reason == "its sender took it back"
    assert case.ended_now() == ["c"]
    assert messages(case.lease(3)) == ["a"]


def test_cancel_of_a_leased_message_is_too_late() -> None:
    case = LedgerCase("a", "b")
    lease = case.lease()
    assert not case.ledger.cancel(case.deliveries["a"])
    assert case.ledger.cancel(case.deliveries["b"])
    case.ledger.end_lease(lease)
    assert case.ledger.cancel(case.deliveries["a"])


def test_cancel_of_a_message_that_has_ended_is_too_late() -> None:
    case = LedgerCase("a")
    case.drain()
    assert not case.ledger.cancel(case.deliveries["a"])
    assert case.accounts() == {"accepted": 1, "drained": 1}


def test_cancel_of_a_deferred_message_is_in_time_once_its_lease_has_ended() -> None:
    case = LedgerCase("a", "b")
    lease = case.lease()
    next(iter(lease)).defer(5)
    assert not case.ledger.cancel(case.deliveries["a"])
    case.ledger.end_lease(lease)
    assert not case.ledger.has_ready()
    assert case.ledger.cancel(case.deliveries["a"])
    case.clock.now = 5
    assert messages(case.lease(2)) == ["b"]


def test_abandon_ends_all_in_order_and_the_lease_with_it() -> None:
    case = LedgerCase()
    case.put_keyed("a1", "b1", "a2")
    lease = case.lease(2)
    entries = list(lease)
    entries[0].defer(5)
    assert [delivery.message for delivery in case.ledger.abandon()] == ["a1", "b1", "a2"]
    assert case.ledger.lease is None
    assert case.accounts() == {"accepted": 3, "abandoned": 3}
    assert case.ended_now() == ["a1", "b1", "a2"]
    assert case.deliveries["a2"].reason == "the buffer was closed"
    assert not entries[1].ack()
    case.ledger.end_lease(lease)
    assert case.ledger.abandon() == []
    assert case.accounts() == {"accepted": 3, "abandoned": 3, "late": 1}


def test_undelivered_messages_are_told_of_even_if_nobody_awaits_them() -> None:
    for outcome in Outcome:
        case = LedgerCase("a")
        case.ledger.end(case.deliveries["a"], outcome, "reason")
        assert case.ended_now() == (["a"] if outcome in UNDELIVERED else [])


# Questions


def test_has_ready_needs_a_message_and_no_lease() -> None:
    case = LedgerCase()
    assert not case.ledger.has_ready() and not case.ledger.is_simply_ready()
    case.put("a")
    case.put("b")
    assert case.ledger.has_ready() and case.ledger.is_simply_ready()
    lease = case.lease()
    assert not case.ledger.has_ready() and not case.ledger.is_simply_ready()
    case.ledger.end_lease(lease)
    assert case.ledger.has_ready() and case.ledger.is_simply_ready()


def test_is_simply_ready_does_not_look_past_what_is_to_be_stepped_over() -> None:
    case = LedgerCase("a", "b")
    case.ledger.cancel(case.deliveries["a"])
    assert not case.ledger.is_simply_ready()
    assert case.ledger.has_ready()
    assert case.ledger.is_simply_ready()


def test_next_ready_is_the_end_of_the_pause_unless_a_lease_is_in_the_way() -> None:
    case = LedgerCase()
    case.put_keyed("a1", "b1")
    lease = case.lease()
    next(iter(lease)).defer(5)
    assert case.ledger.next_ready() is None
    case.ledger.end_lease(lease)
    lease = case.lease()
    next(iter(lease)).ack()
    case.ledger.end_lease(lease)
    assert not case.ledger.has_ready()
    assert case.ledger.next_ready() == 5


def test_open_messages_up_to_an_id_are_queued_or_leased() -> None:
    case = LedgerCase("a", "b", "c", "d")
    lease = case.lease(2)
    assert [case.ledger.count_open(last) for last in range(5)] == [0, 1, 2, 3, 4]
    assert [case.ledger.has_open(last) for last in range(5)] == [False, True, True, True, True]
    next(iter(lease)).ack()
    assert [case.ledger.count_open(last) for last in range(5)] == [0, 0, 1, 2, 3]
    assert [case.ledger.has_open(last) for last in range(5)] == [False, False, True, True, True]
    next(iter(lease)).ack()
    case.ledger.cancel(case.deliveries["d"])
    assert [case.ledger.count_open(last) for last in range(5)] == [0, 0, 0, 1, 1]
    assert [case.ledger.has_open(last) for last in range(5)] == [False, False, False, True, True]
    case.ledger.end_lease(lease)
    case.drain()
    assert not case.ledger.has_open(4) and case.ledger.count_open(4) == 0


def test_open_messages_up_to_an_id_may_be_held_up() -> None:
    case = LedgerCase()
    case.put_keyed("a1", "b1", "b2")
    lease = case.lease()
    next(iter(lease)).defer(60)
    case.ledger.end_lease(lease)
    assert messages(case.lease(3)) == ["b1", "b2"]
    assert case.ledger.has_open(1) and case.ledger.count_open(1) == 1


def test_statistics_tell_who_waits_to_put() -> None:
    assert LedgerCase().ledger.statistics(3).waiting_to_put == 3
