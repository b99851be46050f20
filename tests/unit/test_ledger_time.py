"""ledger.py: what is deferred, what becomes too old, and what is left of it in memory."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any
from weakref import ref

import pytest

from ridethrough.delivery import NO_TERMS, Outcome, Terms
from ridethrough.lease import BufferLease
from ridethrough.ledger import Ledger
from tests.by_hand import Clock, LedgerCase, NobodyAsks, messages

# Deferring


def test_defer_holds_up_its_key_and_the_others_go_on() -> None:
    case = LedgerCase()
    case.put_keyed("a1", "b1", "a2", "b2")
    lease = case.lease()
    assert next(iter(lease)).defer(5)
    assert case.accounts() == {"accepted": 4, "queued": 3, "leased": 1}
    case.ledger.end_lease(lease)
    others = case.lease(10)
    assert messages(others) == ["b1", "b2"]
    case.ledger.end_lease(others)
    case.clock.now = 5
    assert messages(case.lease(10)) == ["a1", "b1", "a2", "b2"]


def test_defer_without_keys_holds_up_everything() -> None:
    case = LedgerCase("a", "b")
    lease = case.lease()
    next(iter(lease)).defer(5)
    case.ledger.end_lease(lease)
    assert not case.ledger.has_ready()
    case.clock.now = 5
    assert messages(case.lease(10)) == ["a", "b"]


def test_defer_of_all_holds_up_everything() -> None:
    case = LedgerCase()
    case.put_keyed("a1", "b1")
    lease = case.lease()
    next(iter(lease)).defer(5, "all")
    case.ledger.end_lease(lease)
    assert not case.ledger.has_ready() and not case.ledger.is_simply_ready()
    case.clock.now = 5
    assert messages(case.lease(10)) == ["a1", "b1"]


@pytest.mark.parametrize(("keys", "ready"), [((), ["a1", "b1"]), (("a",), ["a1"]), (("b", "c"), ["b1"])])
def test_resume_ends_the_pauses_of_these_keys_or_of_all(keys: tuple[str, ...], ready: list[str]) -> None:
    case = LedgerCase()
    case.put_keyed("a1", "b1")
    for _ in range(2):
        lease = case.lease()
        next(iter(lease)).defer(5)
        case.ledger.end_lease(lease)
    case.ledger.resume(*keys)
    assert messages(case.lease(10)) == ready


def test_resumed_message_is_not_overtaken_in_the_lease_that_it_was_deferred_in() -> None:
    case = LedgerCase()
    case.put_keyed("a1", "b1", "a2", "b2")
    lease = case.lease(4)
    entries = iter(lease)
    next(entries).defer(5)
    case.ledger.resume("a")
    assert [entry.message for entry in entries] == ["b1", "b2"]
    case.ledger.end_lease(lease)
    assert messages(case.lease(10)) == ["a1", "b1", "a2", "b2"]


@pytest.mark.parametrize("seconds", [0, 60])
@pytest.mark.parametrize(("scope", "handed_out"), [("key", ["a1", "b1"]), ("all", ["a1"])])
def test_deferred_message_is_not_overtaken_in_the_same_lease(scope: Any, handed_out: list[str], seconds: float) -> None:
    """Not even if the pause is over before the lease is, or is none at all."""
    case = LedgerCase()
    case.put_keyed("a1", "b1", "a2")
    lease = case.lease(3)
    seen = []
    for entry in lease:
        seen.append(entry.message)
        if entry.message == "a1":
            entry.defer(seconds, scope)
            case.clock.now += seconds
    assert seen == handed_out
    assert messages(lease) == [message for message in handed_out if message != "a1"]
    case.ledger.end_lease(lease)
    assert messages(case.lease(3)) == ["a1", "b1", "a2"]


# Age


def test_expire_ends_what_is_too_old() -> None:
    case = LedgerCase("a")
    case.put("b", ttl=5, size=3)
    case.put("c", ttl=6)
    assert case.ledger.next_expiry() == 5
    case.clock.now = 4.999
    case.ledger.expire()
    assert case.accounts() == {"accepted": 3, "queued": 3, "size": 3}
    case.clock.now = 5
    case.ledger.expire()
    assert case.accounts() == {"accepted": 3, "queued": 2, "expired": 1}
    assert case.ended_now() == ["b"] and case.deliveries["b"].reason == "it was older than its ttl"
    assert case.ledger.next_expiry() == 6
    assert messages(case.lease(3)) == ["a", "c"]


def test_expire_reaches_what_is_held_up() -> None:
    case = LedgerCase()
    case.put("a", ttl=5)
    lease = case.lease()
    next(iter(lease)).defer(60)
    case.ledger.end_lease(lease)
    assert not case.ledger.has_ready()
    case.clock.now = 5
    case.ledger.expire()
    assert case.accounts() == {"accepted": 1, "expired": 1}


def test_leased_message_that_becomes_too_old_ends_with_its_lease() -> None:
    case = LedgerCase()
    case.put("a", ttl=5)
    case.put("b", ttl=6)
    lease = case.lease(2)
    entry = next(iter(lease))
    entry.begin()
    case.clock.now = 5
    case.ledger.expire()
    assert case.accounts() == {"accepted": 2, "leased": 2}
    case.ledger.end_lease(lease)
    assert case.accounts() == {"accepted": 2, "queued": 1, "expired": 1}
    assert case.deliveries["a"].maybe_sent, "no answer has come"
    assert case.drain() == ["b"]


def test_leased_message_that_became_too_old_can_still_be_acknowledged() -> None:
    case = LedgerCase()
    case.put("a", ttl=5)
    entry = next(iter(case.lease()))
    case.clock.now = 5
    case.ledger.expire()
    assert entry.ack()
    assert case.accounts() == {"accepted": 1, "sent": 1}


def test_message_that_is_too_old_is_not_handed_out() -> None:
    case = LedgerCase("a")
    case.put("b", ttl=5, size=3)
    case.put("c", ttl=6)
    lease = case.lease(3)
    seen = []
    for entry in lease:
        seen.append(entry.message)
        case.clock.now = 5
    assert seen == ["a", "c"]
    assert case.accounts() == {"accepted": 3, "leased": 2, "expired": 1}
    assert (len(lease), lease.size) == (2, 0)
    assert case.ended_now() == ["b"]


def test_next_expiry_is_none_without_a_ttl() -> None:
    assert LedgerCase("a").ledger.next_expiry() is None


def test_set_clock_keeps_the_time_that_messages_have_left() -> None:
    case = LedgerCase()
    case.clock.now = 100
    case.put("a", ttl=5)
    other = Clock(7000)
    case.ledger.set_clock(other)
    assert case.ledger.next_expiry() == 7005
    other.now = 7004
    assert case.ledger.has_ready()
    lease = case.lease()
    next(iter(lease)).defer(3)
    case.ledger.end_lease(lease)
    assert not case.ledger.has_ready() and case.ledger.next_ready() == 7007
    other.now = 7005
    case.ledger.expire()
    assert case.accounts() == {"accepted": 1, "expired": 1}


# Memory


class Message:
    """Something whose memory can be watched."""


def lease_and_ack(ledger: Ledger[Message]) -> None:
    lease: BufferLease[Message] = BufferLease(LedgerCase(), 10**6)
    ledger.start_lease(lease)
    for delivery in list(lease.left()):
        ledger.settle(lease, delivery, Outcome.SENT, None, None)
    ledger.end_lease(lease)


@pytest.mark.parametrize("end_all", [Ledger.drain, Ledger.abandon, lease_and_ack])
def test_memory_goes_back_after_a_burst_of_messages_with_a_ttl(end_all: Callable[[Ledger[Message]], object]) -> None:
    """At once, and not when their time would have come."""
    ledger: Ledger[Message] = Ledger(NobodyAsks(), 1000, None, Clock())
    burst = [ref(ledger.accept(Message(), Terms(expires_at=3600)).message) for _ in range(1000)]
    assert all(message() is not None for message in burst)
    end_all(ledger)
    ledger.ended_now.clear()
    assert not any(message() is not None for message in burst)
    assert ledger.next_expiry() is None


def test_memory_does_not_grow_with_what_was_cancelled_or_dropped() -> None:
    ledger: Ledger[Message] = Ledger(NobodyAsks(), 20, None, Clock())
    watched = []
    for _ in range(10):
        ledger.accept(Message(), NO_TERMS)
    for number in range(500):
        delivery = ledger.accept(Message(), Terms(expires_at=3600))
        watched.append(ref(delivery.message))
        if number % 2:
            ledger.cancel(delivery)
        else:
            ledger.drop_oldest_for(1, 0)
        del delivery
        ledger.drop_newest(Message(), NO_TERMS)
        ledger.ended_now.clear()
        assert sum(message() is not None for message in watched) <= 3 * ledger.open
