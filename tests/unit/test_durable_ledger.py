"""durable_ledger.py: what a journal has to be told, and that nothing is accepted before it is written."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from ridethrough.abc import DeadLetter, JournalChanges, JournalRecord
from ridethrough.delivery import NO_TERMS, Outcome, Terms
from ridethrough.durable_ledger import DurableLedger, Proposal
from ridethrough.errors import BufferFull
from tests.by_hand import LedgerCase, NobodyAsks


class Case(LedgerCase):
    """A ledger with what it notes.

    Attributes:
        noted: how often it said that there is something to write.
    """

    ledger: DurableLedger[Any]

    def __init__(self, *messages: str, max_size: int = 10, max_bytes: int | None = None) -> None:
        super().__init__(max_size=max_size, max_bytes=max_bytes)
        self.ledger = DurableLedger(NobodyAsks(), max_size, max_bytes, self.clock)
        self.ledger.on_change = self._note
        self.noted = 0
        if messages:
            self.accept(*messages)
            self.taken()

    def _note(self) -> None:
        self.noted += 1

    def propose(
        self,
        *messages: str,
        drops: bool = False,
        fit: bool = True,
        size: int = 0,
        ttl: float | None = None,
        letters: tuple[DeadLetter, ...] = (),
    ) -> Proposal[Any]:
        """Have these written."""
        proposal: Proposal[Any] = Proposal(letters, drops=drops)
        expires_at = None if ttl is None else self.clock.now + ttl
        terms = Terms(None, size, expires_at) if size or ttl else NO_TERMS
        parts = [(message, terms, message.encode()) for message in messages]
        self.ledger.propose(proposal, parts, None if ttl is None else 1e9 + ttl, fit=fit)
        self.ledger.submit(proposal)
        return proposal

    def accept(self, *messages: str, ttl: float | None = None) -> None:
        """Have these accepted."""
        proposal = self.propose(*messages, ttl=ttl)
        self.ledger.admit(proposal)
        self.deliveries.update({delivery.message: delivery for delivery in proposal})

    def taken(self) -> JournalChanges:
        """What is to be written of accepted messages."""
        changes, _ = self.ledger.take_changes()
        return changes

    def counts(self) -> tuple[int, int, int, int]:
        now = self.ledger.statistics(0)
        assert now.accepted == now.queued + now.leased + now.ended
        return now.accepted, now.queued, now.dropped, now.size


# In


def test_proposal_has_its_number_and_is_not_accepted() -> None:
    case = Case()
    proposal = case.propose("a", "b")
    assert [(delivery.id, delivery.message, delivery.outcome) for delivery in proposal] == [
        (1, "a", None),
        (2, "b", None),
    ]
    assert proposal.records == [JournalRecord(1, b"a"), JournalRecord(2, b"b")]
    assert (case.counts(), case.noted) == ((0, 0, 0, 0), 1)
    assert not case.ledger.has_ready()
    changes, proposals = case.ledger.take_changes()
    assert (bool(changes), proposals) == (False, [proposal])
    assert case.ledger.take_changes()[1] == []


def test_proposal_takes_room_until_it_is_admitted_or_withdrawn() -> None:
    case = Case("a", max_size=3, max_bytes=10)
    first = case.propose("b", size=4)
    assert case.ledger.has_room(1, 6)
    assert not case.ledger.has_room(2, 6)
    assert not case.ledger.has_room(1, 7)
    case.ledger.withdraw(first)
    assert case.ledger.has_room(2, 10)
    second = case.propose("c", size=4)
    case.ledger.admit(second)
    assert case.counts() == (2, 2, 0, 4)
    assert case.ledger.has_room(1, 6)
    assert not case.ledger.has_room(1, 7)


def test_admitted_messages_are_at_the_tail_in_order() -> None:
    case = Case("a")
    first, second = case.propose("b", "c"), case.propose("d")
    case.ledger.admit(first)
    case.ledger.admit(second)
    assert case.ledger.drain() == ["a", "b", "c", "d"]


def test_number_of_what_was_withdrawn_is_nobodys() -> None:
    case = Case("a")
    failed, written = case.propose("b", "c"), case.propose("d")
    case.ledger.withdraw(failed)
    case.ledger.admit(written)
    assert (written[0].id, case.ledger.last_id) == (4, 4)
    assert case.counts() == (2, 2, 0, 0)


def test_what_drops_drops_the_oldest_when_it_is_admitted_and_not_before() -> None:
    case = Case("a", "b", "c", max_size=3)
    case.ledger.drop_oldest_for(2, 0)
    proposal = case.propose("d", "e", drops=True)
    assert (case.counts(), case.taken()) == ((3, 3, 0, 0), JournalChanges())
    case.ledger.admit(proposal)
    assert case.counts() == (5, 3, 2, 0)
    changes = case.taken()
    assert changes.buried == [(1, Outcome.DROPPED, "the buffer was full"), (2, Outcome.DROPPED, "the buffer was full")]
    assert changes.updated == [(1, 0, False), (2, 0, False)], "what it was becomes known with its end"
    assert case.ledger.drain() == ["c", "d", "e"]


def test_what_drops_drops_no_more_than_it_takes() -> None:
    case = Case("a", max_size=3)
    case.ledger.admit(case.propose("b", drops=True))
    assert case.counts() == (2, 2, 0, 0)


def test_what_drops_is_refused_if_all_is_leased_by_then_and_is_erased_again() -> None:
    case = Case("a", "b", max_size=2)
    proposal = case.propose("c", drops=True)
    case.lease(2)
    case.taken()
    with pytest.raises(BufferFull, match="the buffer is full of what is leased and never dropped: 2 of 2 messages"):
        case.ledger.admit(proposal)
    assert case.taken() == JournalChanges(updated=[(3, 0, False)], discarded=[3])
    assert case.counts()[0] == 2


def test_dead_letters_that_are_refused_are_dead_letters_again() -> None:
    letters = (DeadLetter(7, b"x", Outcome.EXPIRED, "too old", 5.0, 3, True),)
    case = Case("a", max_size=1)
    proposal = case.propose("x", drops=True, letters=letters)
    case.lease()
    case.taken()
    with pytest.raises(BufferFull):
        case.ledger.admit(proposal)
    assert case.taken() == JournalChanges(updated=[(2, 3, True)], buried=[(2, Outcome.EXPIRED, "too old")])


def test_what_does_not_fit_is_dropped_when_it_is_admitted() -> None:
    case = Case("a", max_size=1)
    proposal = case.propose("b", "c", fit=False)
    assert (proposal.unfit, proposal.fitting, proposal.size) == ({2, 3}, 0, 0)
    case.ledger.admit(proposal)
    assert [delivery.outcome for delivery in proposal] == [Outcome.DROPPED] * 2
    assert case.counts() == (3, 1, 2, 0)
    assert case.taken().buried == [(number, Outcome.DROPPED, "the buffer was full") for number in (2, 3)]
    assert case.ledger.ended_now == list(proposal)


def test_put_again_keeps_attempts_and_doubt() -> None:
    letters = (
        DeadLetter(7, b"x", Outcome.EXPIRED, "", 5.0, 3, True),
        DeadLetter(5, b"y", Outcome.REJECTED, "", 5.0, 1, False),
    )
    proposal = Case().propose("x", "y", letters=letters)
    assert [(delivery.attempts, delivery.maybe_sent) for delivery in proposal] == [(3, True), (1, False)]
    assert proposal.records == [JournalRecord(1, b"x", 3, True), JournalRecord(2, b"y", 1, False)]


def test_age_is_written_by_the_wall_and_kept_by_the_clock() -> None:
    case = Case()
    proposal = case.propose("a", ttl=5)
    assert proposal.records == [JournalRecord(1, b"a", expires_at=1e9 + 5)]
    case.ledger.admit(proposal)
    case.clock.now = 5
    case.ledger.expire()
    assert proposal[0].outcome is Outcome.EXPIRED
    assert case.taken().buried == [(1, Outcome.EXPIRED, "it was older than its ttl")]


def test_recovered_messages_are_as_they_were() -> None:
    case = Case()
    case.ledger.recover("a", NO_TERMS, JournalRecord(3, b"a", 2, True))
    case.ledger.recover("b", Terms(None, 4, 9.0), JournalRecord(8, b"b"))
    case.ledger.skip_ids(11)
    first, second = case.ledger.waiting()
    assert (first.id, first.attempts, first.maybe_sent) == (3, 2, True)
    assert (second.id, second.attempts, second.maybe_sent) == (8, 0, False)
    assert case.counts() == (2, 2, 0, 4)
    assert (case.ledger.next_expiry(), case.noted, case.taken()) == (9.0, 0, JournalChanges())
    assert case.propose("c")[0].id == 12


# What is noted


def test_lease_is_noted_as_perhaps_sent_before_anything_begins() -> None:
    case = Case("a", "b", "c")
    noted = case.noted
    lease = case.lease(2)
    assert case.taken() == JournalChanges(updated=[(1, 1, True), (2, 1, True)])
    entry = next(iter(lease))
    entry.begin()
    case.ledger.end_lease(lease)
    assert case.taken() == JournalChanges(updated=[(1, 1, True), (2, 0, False)])
    assert case.noted == noted + 2


def test_lease_that_does_not_begin_notes_nothing() -> None:
    case = Case()
    with pytest.raises(AssertionError):
        case.lease()
    assert (case.noted, case.taken()) == (0, JournalChanges())


def test_lease_that_ends_with_nothing_left_notes_no_more() -> None:
    case = Case("a")
    lease = case.lease()
    next(iter(lease)).ack()
    case.taken()
    noted = case.noted
    case.ledger.end_lease(lease)
    case.ledger.end_lease(lease)
    assert (case.noted, case.taken()) == (noted, JournalChanges())


def test_message_that_has_grown_old_in_a_lease_is_noted_once() -> None:
    case = Case()
    case.accept("a", ttl=5)
    lease = case.lease()
    case.clock.now = 6
    case.taken()
    case.ledger.end_lease(lease)
    assert case.taken() == JournalChanges(
        updated=[(1, 0, False)], buried=[(1, Outcome.EXPIRED, "it was older than its ttl")]
    )


@pytest.mark.parametrize("outcome", [Outcome.SENT, Outcome.REJECTED, Outcome.UNKNOWN])
def test_settled_message_is_noted_once(outcome: Outcome) -> None:
    case = Case("a")
    entry = next(iter(case.lease()))
    entry.begin()
    case.taken()
    settle: Callable[[str], bool] = getattr(entry, {"sent": "ack", "rejected": "reject"}.get(outcome, outcome))
    assert settle("so it is")
    changes = case.taken()
    if outcome is Outcome.SENT:
        assert changes == JournalChanges(discarded=[1])
    else:
        doubt = outcome is Outcome.UNKNOWN
        assert changes == JournalChanges(updated=[(1, 1, doubt)], buried=[(1, outcome, "so it is")])
    assert not settle("so it is")
    assert case.taken() == JournalChanges()


def test_reason_that_is_an_error_is_noted_in_words() -> None:
    case = Case("a")
    next(iter(case.lease())).reject(ValueError("what others write may quote the message"))
    assert case.taken().buried == [(1, Outcome.REJECTED, "ValueError")]


def test_cancelled_and_drained_messages_are_erased() -> None:
    case = Case("a", "b", "c")
    assert case.ledger.cancel(case.deliveries["b"])
    assert case.ledger.drain() == ["a", "c"]
    assert case.taken() == JournalChanges(discarded=[2, 1, 3])
    assert case.counts() == (3, 0, 0, 0)


def test_abandoned_messages_stay_and_what_was_leased_is_noted_as_it_is() -> None:
    case = Case("a", "b", "c")
    next(iter(case.lease(2))).begin()
    case.taken()
    assert [delivery.message for delivery in case.ledger.abandon()] == ["a", "b", "c"]
    assert case.taken() == JournalChanges(updated=[(1, 1, True), (2, 0, False)])
    assert case.ledger.abandon() == []
    assert case.taken() == JournalChanges()


def test_what_could_not_be_written_comes_before_what_came_since() -> None:
    case = Case("a", "b", "c", "d", max_size=4)
    lease = case.lease()
    case.ledger.cancel(case.deliveries["b"])
    failed = case.taken()
    failed.forgotten = [70]
    next(iter(lease)).reject("no")
    case.ledger.cancel(case.deliveries["c"])
    case.ledger.changes.forgotten = [71]
    case.ledger.give_back_changes(failed)
    assert case.taken() == JournalChanges(
        updated=[(1, 1, True), (1, 0, False)],
        discarded=[2, 3],
        buried=[(1, Outcome.REJECTED, "no")],
        forgotten=[70, 71],
    )
