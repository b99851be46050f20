"""What must hold of an outbox that many hosts share, whichever of them puts, sends, dies or is cut off."""

from __future__ import annotations

import json
from asyncio import CancelledError
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from ridethrough import BufferClosed, Delivery, Outcome, StoreAway
from ridethrough.delivery import UNDELIVERED
from ridethrough.jetstream.books import Books, Fate
from tests.engine.server import MemoryServer

from .oracle import Violation

NAME = "outbox"
KEPT = (Outcome.DROPPED, Outcome.EXPIRED, Outcome.REJECTED, Outcome.UNKNOWN)
"""How what becomes a dead letter has ended."""


@dataclass(eq=False)
class Send:
    """One try to send a message.

    Attributes:
        host: whose.
        is_over: whether the lease, in which it is, is over on that host's own clock.
        may_have_arrived: until it is known that it did not.
    """

    host: str
    is_over: Callable[[], bool]
    may_have_arrived: bool = True


@dataclass(eq=False)
class Fact:
    """What is known of one message.

    Attributes:
        host: where it was put.
        above: the highest number of all whose put had returned before this one was called.
        expires_at: on the loop's clock.
        state: ``"under way"``, ``"put"``, ``"refused"``: it is nowhere; or ``"in doubt"``: nobody knows.
        sends: those that have begun.
        under_way: those that have not ended.
        arrived: how often it has.
        acknowledged: by which hosts.
        drained: how often a drain has returned it.
        taken: whether a drain, or a cancellation, has taken it out, or may have.
        out: whether it is certain that one has.
        is_untold: whether it may have been, by a host that closed meanwhile and could not tell.
    """

    message: str
    host: str
    above: int
    expires_at: float | None
    state: str = "under way"
    delivery: Delivery[str] | None = None
    sends: list[Send] = field(default_factory=list)
    under_way: list[Send] = field(default_factory=list)
    arrived: int = 0
    acknowledged: set[str] = field(default_factory=set)
    drained: int = 0
    taken: bool = False
    out: bool = False
    is_untold: bool = False


class SharedOracle:
    """Checks the promises of the contract, numbered as there, for all hosts together.

    Args:
        clock: tells the time.
        story: where to write what happens; None: nowhere.

    Attributes:
        server: holds the streams, which are the truth.
        fair: whether nothing is lost on the way, and no host dies: what the documentation excepts for that case is
            not excepted then.
        punctual: whether nothing is held up for long, neither on the way nor on a host.
        held_up: whether a message may be under way to a host for longer than a lease lasts, which that cannot know: so
            another one may have had it since.
        slow: whether the clock may jump although a host has something to do.
        closed: hosts that have been closed, or are being.
        dead: hosts that have died: what they see does not count any more.
    """

    server: MemoryServer

    def __init__(self, clock: Callable[[], float], story: list[str] | None) -> None:
        self.clock = clock
        self.fair = self.punctual = True
        self.slow = self.held_up = False
        self.dead: set[str] = set()
        self.facts: dict[str, Fact] = {}
        self._story = story
        self._highest = 0
        self._told: Counter[Delivery[Any]] = Counter()
        self._leases: Counter[str] = Counter()
        self.closed: set[str] = set()
        self._taking: dict[int, tuple[Fact, ...]] = {}
        self._number = 0

    def tell(self, host: str, text: str) -> None:
        """Add a line to the story."""
        if self._story is not None:
            dead = " (dead)" if host in self.dead else ""
            self._story.append(f"{self.clock() - 1000:9.3f} s  {host}{dead}: {text}")

    def check(self, host: str, truth: bool, promise: int, text: str) -> None:
        """Object if it is not so, and the host that saw it is alive."""
        if not truth and host not in self.dead:
            raise Violation(f"promise {promise}: {host}: {text}")

    def stored(self) -> dict[str, int]:
        """What is in the stream, and its numbers."""
        return {json.loads(each.data): number for number, each in self.server.jetstream.streams[NAME].messages.items()}

    def letters(self) -> dict[str, list[str]]:
        """The dead letters, and the outcomes that they tell."""
        letters: dict[str, list[str]] = {}
        for each in self.server.jetstream.streams[f"{NAME}-dead"].messages.values():
            outcome = json.loads((each.headers or {})["Ridethrough-Fate"])["outcome"]
            letters.setdefault(json.loads(each.data), []).append(outcome)
        return letters

    # ---------------------------------------------------------------- putting

    def put_called(self, host: str, message: str, ttl: float | None) -> None:
        self.tell(host, f"put {message}")
        expires_at = None if ttl is None else self.clock() + ttl
        self.facts[message] = Fact(message, host, self._highest, expires_at)

    def put_returned(self, host: str, message: str, delivery: Delivery[str]) -> None:
        self.tell(host, f"put of {message} returns {delivery!r}")
        fact = self.facts[message]
        self.check(host, delivery.message == message, 1, f"put of {message} gave {delivery!r}")
        fact.state, fact.delivery = "put", delivery
        if delivery.id > 0:
            self.check(host, delivery.id > fact.above, 3, f"{delivery!r} of {message}, after {fact.above}")
            self._highest = max(self._highest, delivery.id)
        else:
            self.check(host, delivery.outcome is Outcome.DROPPED, 1, f"{delivery!r} of {message} has no number")

    def put_raised(self, host: str, message: str, error: BaseException) -> None:
        self.tell(host, f"put of {message} raises {_shown(error)}")
        in_doubt = host in self.dead or (isinstance(error, StoreAway) and "may have been put" in str(error))
        self.facts[message].state = "in doubt" if in_doubt else "refused"
        if not in_doubt:
            self.check(
                host, message not in self.stored(), 5, f"put of {message} raises {_shown(error)}, and it is there"
            )
        if isinstance(error, BufferClosed):
            self.check(host, host in self.closed, 12, f"put of {message} raises {_shown(error)}")
        if isinstance(error, StoreAway):
            self.check(
                host, not self.fair or self.slow or host in self.closed, 3, f"put of {message} raises {_shown(error)}"
            )

    # ---------------------------------------------------------------- sending

    def leased(self, host: str) -> None:
        self._leases[host] += 1
        self.check(host, self._leases[host] == 1, 6, "two leases at a time")

    def lease_left(self, host: str) -> None:
        self._leases[host] -= 1

    def send_begins(self, host: str, entry: Any, kind: str, is_over: Callable[[], bool], *, late: bool) -> Send:
        """A send begins, and has not been told to the entry yet.

        Args:
            late: whether the message was under way to that host for longer than a lease lasts, which the host cannot
                know; so another one may have had it since.
        """
        delivery, message = entry.delivery, entry.message
        self.tell(host, f"send of {message} begins, {delivery!r}, and goes: {kind}")
        send = Send(host, is_over)
        fact = self.facts.get(message)
        if fact is None:
            raise Violation(f"promise 1: {message} was never put")
        self.check(host, fact.state != "refused", 5, f"{message} is sent, though its put did not happen")
        old = fact.expires_at is not None and fact.expires_at <= self.clock()
        self.check(host, not old, 10, f"{message} is handed out too old")
        self.check(host, host not in fact.acknowledged, 6, f"{message} is sent again by the host that has sent it")
        doubt = any(each.may_have_arrived for each in fact.sends)
        self.check(host, delivery.maybe_sent or not doubt or late, 7, f"{message} may have arrived, and nobody says so")
        exact = self.fair and not self.slow and not self.closed  # or one was handed it as it closed, and noted nothing
        guessed = delivery.maybe_sent and not doubt and exact
        self.check(
            host, not guessed, 7, f"{message} has not arrived, as a host has noted, and is in doubt all the same"
        )
        self.check(host, not (self.fair and fact.out), 1, f"{message} is sent, and was taken out")
        again = self.fair and not self.slow and fact.acknowledged
        self.check(host, not again, 6, f"{message} is sent again, though {fact.acknowledged} has acknowledged it")
        if self.punctual:
            for other in fact.under_way:
                fine = (other.is_over() and not self.fair) or other.host in self.dead | self.closed
                self.check(host, fine, 6, f"{message} is being sent by {other.host}")
        for earlier in self.facts.values():
            if earlier.delivery is not None and fact.delivery is not None and not fact.sends:
                before = 0 < earlier.delivery.id <= fact.above and earlier.message[0] == message[0]
                waits = before and not earlier.sends and earlier.message in self.stored()
                self.check(host, not waits, 3, f"{message} overtakes {earlier.message}")
        fact.sends.append(send)
        fact.under_way.append(send)
        return send

    def did_not_arrive(self, send: Send) -> None:
        send.may_have_arrived = False

    def arrives(self, host: str, message: str) -> None:
        self.tell(host, f"{message} arrives")
        self.facts[message].arrived += 1

    def acknowledged(self, host: str, message: str, in_time: bool, *, is_last: bool) -> None:
        """A send was acknowledged.

        Args:
            in_time: whether that counts.
            is_last: whether the message was handed out to nobody else since.
        """
        self.tell(host, f"{message} is acknowledged{'' if in_time else ', too late'}")
        self.check(host, is_last or not in_time or self.held_up, 6, f"{message} is acknowledged, and others have it")
        if in_time:
            self.facts[message].acknowledged.add(host)

    def send_ended(self, message: str, send: Send) -> None:
        self.facts[message].under_way.remove(send)

    # ---------------------------------------------------------------- taking out

    @contextmanager
    def taking(self, host: str, *facts: Fact) -> Iterator[None]:
        """A host takes these messages out, or all; if it ends meanwhile, it may not say so."""
        number = self._number = self._number + 1
        self._taking[number] = facts
        try:
            yield
        except StoreAway:
            if facts:
                self._in_doubt(facts)
            raise
        finally:
            del self._taking[number]
            if host in self.dead:
                self._in_doubt(facts)
            if host in self.closed:
                for fact in facts or self.facts.values():
                    fact.is_untold = True

    def drained(self, host: str, messages: list[str]) -> None:
        self.tell(host, f"drained: {', '.join(messages)}")
        for message in messages:
            fact = self.facts[message]
            self.check(host, fact.state != "refused", 5, f"{message} is drained, though its put did not happen")
            self.check(host, not (self.fair and fact.drained), 1, f"{message} is drained twice")
            if self.fair or message not in self.stored():  # or else another host has it since: no answer came in time
                self._check_nobody_sends(host, fact, "drained")
            fact.drained += 1
            fact.taken, fact.out = True, host not in self.closed  # or else it could not say so

    def _check_nobody_sends(self, host: str, fact: Fact, what: str) -> None:
        if self.punctual:
            busy = [each.host for each in fact.under_way if each.host not in self.dead and not each.is_over()]
            self.check(host, not busy, 4, f"{fact.message} is {what} while {busy} sends it")

    def _in_doubt(self, facts: tuple[Fact, ...]) -> None:
        for fact in facts or self.facts.values():
            fact.taken = True

    def _is_being_taken(self, fact: Fact) -> bool:
        return any(not facts or fact in facts for facts in self._taking.values())

    def cancelled(self, host: str, fact: Fact, done: bool) -> None:
        """A message was taken back, or could not be."""
        self.tell(host, f"cancel of {fact.message}: {done}")
        if done:
            in_that_moment = fact.delivery is not None and fact.delivery.maybe_sent
            if not in_that_moment:
                self._check_nobody_sends(host, fact, "taken back")
            fact.taken, fact.out = True, not in_that_moment

    # ---------------------------------------------------------------- outcomes

    def ended(self, host: str, delivery: Delivery[str]) -> None:
        """A Delivery has reached its outcome."""
        self.tell(host, f"{delivery.message} ends: {delivery!r}")
        fact = self.facts[delivery.message]
        if delivery.outcome is Outcome.SENT:
            taken = not self.fair and (fact.taken or self._is_being_taken(fact))
            fine = fact.arrived > 0 or taken or fact.is_untold
            self.check(host, fine, 1, f"{delivery.message} ends SENT, and has not arrived")
            fine = fact.arrived <= 1 or delivery.maybe_sent or not self.fair
            self.check(host, fine, 7, f"{delivery!r} has arrived {fact.arrived} times")
        elif delivery.outcome in (Outcome.CANCELLED, Outcome.DROPPED, Outcome.EXPIRED) and not self.held_up:
            if not self.fair and delivery.message in self.stored():
                return  # the servers did not answer until the lease was over, and another host may have it since
            doubt = any(each.may_have_arrived for each in fact.sends)
            self.check(host, delivery.maybe_sent or not doubt, 7, f"{delivery!r}, which may have been sent")

    def learnt(self, host: str, delivery: Delivery[str], result: object) -> None:
        """Who has awaited a Delivery has learnt this."""
        expected = f"took {delivery.message}" if delivery.outcome is Outcome.SENT else None
        fine = result == expected or (result is None and (self.slow or not self.fair))
        self.check(host, fine, 1, f"{delivery!r} of {delivery.message} gives {result!r}")

    def undelivered(self, host: str, delivery: Delivery[str]) -> None:
        """For ``on_undelivered``."""
        self._told[delivery] += 1
        self.check(host, delivery.outcome in UNDELIVERED, 2, f"on_undelivered was told of {delivery!r}")
        self.check(host, self._told[delivery] == 1, 2, f"on_undelivered was told twice of {delivery!r}")

    # ---------------------------------------------------------------- waiting

    def put_by_now(self) -> list[Fact]:
        """The messages whose put has returned."""
        return [fact for fact in self.facts.values() if fact.state == "put"]

    def flushed(self, host: str, before: list[Fact]) -> None:
        """A flush has returned, which began when these had been put."""
        self.tell(host, "flush returns")
        stored = self.stored()
        for fact in before:
            self.check(host, fact.message not in stored, 11, f"flush returns, and {fact.message} waits")
            open_here = fact.host == host and fact.delivery is not None and fact.delivery.outcome is None
            self.check(host, not open_here, 11, f"flush returns, and {fact.delivery!r} is open")

    def closing(self, host: str) -> None:
        self.tell(host, "closes")
        self.closed.add(host)

    # ---------------------------------------------------------------- in the end

    def in_the_end(self) -> None:
        """Account for every message; the stream is empty."""
        stored, letters = self.stored(), self.letters()
        for message, fact in self.facts.items():
            if fact.state == "refused":
                traces = message in stored or fact.arrived or fact.drained
                self.check(fact.host, not traces, 5, f"the put of {message} raised, and it was put")
            elif fact.state == "put":
                found = message in stored or fact.arrived or fact.taken or message in letters
                self.check("all", bool(found), 2, f"{message} is lost: {fact.delivery!r}")
                if fact.host not in self.dead:
                    self._check_outcome(fact, letters.get(message, []))

    def _check_outcome(self, fact: Fact, letters: list[str]) -> None:
        delivery, host = fact.delivery, fact.host
        assert delivery is not None
        self.check(host, delivery.outcome is not None, 12, f"{delivery!r} of {fact.message} is open for ever")
        times = int(delivery.outcome in UNDELIVERED)
        self.check(host, self._told[delivery] == times, 2, f"{delivery!r}: {self._told[delivery]} times told")
        if delivery.outcome in KEPT:
            fine = delivery.outcome in letters or not self.fair
            self.check(host, fine, 2, f"{delivery!r} of {fact.message} has these dead letters: {letters}")
        if delivery.outcome is Outcome.ABANDONED:
            self.check(host, host in self.closed, 1, f"{delivery!r}, and its host is open")
        if delivery.outcome in (Outcome.DRAINED, Outcome.CANCELLED):
            self.check(host, fact.taken, 1, f"{delivery!r} of {fact.message}, which nobody has taken out")
        if self.fair and delivery.outcome in (Outcome.DROPPED, Outcome.EXPIRED, Outcome.CANCELLED, Outcome.REJECTED):
            self.check(host, not fact.arrived or delivery.maybe_sent, 7, f"{delivery!r}, which has arrived")


def _shown(error: BaseException) -> str:
    """Of a cancellation, the text has a number that is another one each time."""
    return type(error).__name__ if isinstance(error, CancelledError) else repr(error)


class WatchedBooks(Books[str]):
    """Tells the oracle of each end."""

    def __init__(self, host: str, oracle: SharedOracle) -> None:
        super().__init__(lambda delivery: oracle.undelivered(host, delivery))
        self._host = host
        self._oracle = oracle

    def end(self, delivery: Delivery[str], fate: Fate) -> bool:
        done = super().end(delivery, fate)
        if done:
            self._oracle.ended(self._host, delivery)
        return done
