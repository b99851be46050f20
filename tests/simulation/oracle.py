"""Oracle: knows what must hold, is told what happens, and objects."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Hashable, Iterator
from contextlib import contextmanager
from typing import Any

from ridethrough import (
    AsyncMessageBuffer,
    BufferStatistics,
    ConnectionState,
    Delivery,
    Outcome,
    ReconnectSupervisor,
    RetryLater,
)
from ridethrough.state import TRANSITIONS, Transition

from .network import Network

Message = Any
"""Has a ``key``; no two are equal, nor look alike as a str."""

ALL = ""
"""Stands for the key of a pause of everything."""

BAD_ENDS = (Outcome.DROPPED, Outcome.EXPIRED, Outcome.REJECTED, Outcome.ABANDONED, Outcome.UNKNOWN)


class Violation(Exception):
    """A promise was broken."""


class Oracle:
    """Checks the promises of the contract, numbered as there.

    Args:
        story: where to write what happens; None: nowhere.

    Attributes:
        buffer, supervisor, network: what is watched, once it is there.
        clock: tells the time.
        at_most_once: whether ``on_doubt`` is "report".
        recovered: how many messages a journal has brought in; there need not be room for all of them.
    """

    buffer: AsyncMessageBuffer[Message]
    supervisor: ReconnectSupervisor[Message] | None = None
    network: Network | None = None
    at_most_once = False
    recovered = 0

    def __init__(self, clock: Callable[[], float], story: list[str] | None) -> None:
        self.clock = clock
        self._story = story
        self._calls = 0
        self._order: list[tuple[int, Delivery[Any]]] = []  # the number of the call of put, and what came of it
        self.deliveries: dict[Message, Delivery[Any]] = {}
        self.refused: set[Message] = set()  # not accepted: cancelled, or put has raised
        self.arrivals: Counter[Message] = Counter()
        self.taken: list[Message] = []  # by drain
        self.abandoned: list[Message] = []  # handed back by aclose
        self._reported: list[Delivery[Any]] = []
        self._open: set[Delivery[Any]] = set()
        self._ended: dict[Message, Outcome | None] = {}  # how, when that was first seen
        self._under_way: set[Message] = set()  # a send of it began, and is not settled
        self.set_aside: set[Message] = set()  # deferred, in the lease under way
        self._doubtful: set[Message] = set()  # and was never settled before the next one
        self._leased_at: float | None = None  # a lease of several, by hand
        self._pauses: dict[Hashable, float] = {}  # when they end, by the key; ALL: of everything
        self._pauses_of_lease: dict[Hashable, float] = {}  # with what was resumed during the lease: it steps over that
        self._waits: dict[int, tuple[str, Callable[[], bool]]] = {}
        self._transitions: list[Transition] = []

    def tell(self, text: str) -> None:
        """Add a line to the story."""
        if self._story is not None:
            self._story.append(f"{self.clock() - 1000:9.3f} s  {text}")

    def check(self, truth: bool, promise: int, text: str) -> None:
        """Object if it is not so."""
        if not truth:
            raise Violation(f"promise {promise}: {text}")

    # ---------------------------------------------------------------- putting

    def put_called(self) -> int:
        """Number a call of put."""
        self._calls += 1
        return self._calls

    def put_returned(self, call: int, messages: list[Message], deliveries: list[Delivery[Any]]) -> None:
        self.tell(f"put of {_listed(messages)} returns: {_listed(deliveries)}")
        given = [delivery.message for delivery in deliveries]
        self.check(given == messages, 1, f"put of {_listed(messages)} gave {_listed(deliveries)}")
        first = deliveries[0].id if deliveries else 0
        for number, delivery in enumerate(deliveries):
            self.check(delivery.id == first + number, 3, f"something came in between {_listed(deliveries)}")
            self.deliveries[delivery.message] = delivery
            self._open.add(delivery)
            if delivery.outcome is not Outcome.DROPPED:  # the newest may be dropped while others wait in line
                self._order.append((call, delivery))

    def put_refused(self, messages: list[Message], error: BaseException) -> None:
        self.tell(f"put of {_listed(messages)} raises {type(error).__name__}")
        self.refused.update(messages)

    def undelivered(self, delivery: Delivery[Any]) -> None:
        """For ``on_undelivered``."""
        self.tell(f"told of {delivery.message}: {delivery.outcome}")
        self.check(delivery.outcome in BAD_ENDS, 2, f"on_undelivered was told of {delivery!r}")
        self._reported.append(delivery)

    # ---------------------------------------------------------------- sending

    def send_begins(self, message: Message, kind: str) -> None:
        self.tell(f"send of {message} begins, and goes: {kind}")
        self.check(message not in self.refused, 5, f"{message} is sent, though its put did not happen")
        delivery = self._delivery(message)
        self.check(delivery.outcome is None, 1, f"{delivery!r} is sent after its end")
        self.check(delivery.maybe_sent, 7, f"{delivery!r} is being sent, and not in doubt")
        self.check(not (self.at_most_once and message in self._under_way), 7, f"{message} is sent again after doubt")
        self.check_is_first(delivery)
        if message in self._under_way:
            self._doubtful.add(message)
        self._under_way.add(message)

    def check_is_first(self, delivery: Delivery[Any]) -> None:
        """Nothing that is older and open may stand before it, unless its key is paused."""
        now = self.clock()
        message = delivery.message
        pauses = self._pauses if self._leased_at is None else self._pauses_of_lease
        self.check(now >= pauses.get(ALL, 0), 8, f"{message} is handed out while everything pauses")
        self.check(now >= pauses.get(message.key, 0), 9, f"{message} is handed out while its key pauses")
        self.check(not self._is_too_old(delivery), 10, f"{message} is handed out too old")
        for other in self.deliveries.values():
            if other.outcome is None and other.id < delivery.id:
                key = other.message.key
                self.check(key != message.key, 3, f"{message} overtakes {other.message}")
                since = now if self._leased_at is None else self._leased_at
                held_up = other.message in self.set_aside or since < pauses.get(key, 0)
                self.check(held_up, 9, f"{message} overtakes {other.message}, not paused")

    def arrived_text(self, text: str) -> None:
        """A message with this text arrives."""
        self.arrived(next(message for message in self.deliveries if str(message) == text))

    def arrived(self, message: Any) -> None:
        self.tell(f"{message} arrives")
        self.arrivals[message] += 1

    def settled(self, message: Message) -> None:
        """The link is about to answer for it; too late if it has ended."""
        if self.deliveries[message].outcome is None:
            self._under_way.discard(message)

    unsent = settled

    def paused(self, message: Message, pause: RetryLater) -> None:
        if not pause.in_doubt:
            self.settled(message)
        until = self.clock() + pause.after
        key = ALL if pause.scope == "all" else message.key
        for pauses in (self._pauses, self._pauses_of_lease):
            pauses[key] = max(pauses.get(key, 0), until)

    def resumed(self, keys: list[Hashable]) -> None:
        """The pauses of these keys have been ended, or without any, all of them."""
        self.tell(f"resume {_listed(keys) or 'everything'}")
        for key in keys or list(self._pauses):
            self._pauses.pop(key, None)

    def lease_began(self) -> None:
        self.check(self._leased_at is None, 6, "two leases at a time")
        self._leased_at = self.clock()
        self._pauses_of_lease = dict(self._pauses)

    def lease_ends(self) -> None:
        self.set_aside.clear()
        self._leased_at = None

    # ---------------------------------------------------------------- waiting

    @contextmanager
    def waiting(self, what: str, is_over: Callable[[], bool]) -> Iterator[None]:
        """Somebody waits until that is so; nobody may sleep while it is."""
        number = self.put_called()
        self._waits[number] = (what, is_over)
        try:
            yield
        finally:
            del self._waits[number]

    def can_lease(self) -> bool:
        """Whether something can be leased now."""
        now = self.clock()
        if self.peek().leased or now < self._pauses.get(ALL, 0):
            return False
        return any(
            now >= self._pauses.get(delivery.message.key, 0)
            for delivery in self.deliveries.values()
            if delivery.outcome is None and not self._is_too_old(delivery)
        )

    def peek(self) -> BufferStatistics:
        """The books as they stand; to ask the buffer would end what is too old and wake who is due, and hide bugs."""
        return self.buffer._ledger.statistics(len(self.buffer._intake))

    def _is_too_old(self, delivery: Delivery[Any]) -> bool:
        expires_at = delivery._terms.expires_at
        return expires_at is not None and expires_at <= self.clock()

    def flushed(self, before: list[Delivery[Any]], left: int) -> None:
        """A flush has ended; ``left`` of what was put before are open, it says."""
        really = sum(delivery.outcome is None for delivery in before)
        self.check(really == left, 11, f"flush says that {left} are left, and it is {really}")

    # ---------------------------------------------------------------- at each step, and in the end

    def after_step(self) -> None:
        """The books add up, and what has ended stays so."""
        ledger = self.buffer._ledger  # the books themselves: a third of the time would go into statistics() otherwise
        leased = len(ledger.lease) if ledger.lease is not None else 0
        accepted = ledger.last_id - ledger.unused_ids
        if accepted != ledger.open + sum(ledger._ended.values()) or not 0 <= leased <= ledger.open:
            raise Violation(f"promise 1: the books: {self.peek()}")
        if ledger.open > max(ledger.max_size, self.recovered):
            raise Violation(f"promise 4: over the bound: {self.peek()}")
        for delivery in [delivery for delivery in self._open if delivery.outcome is not None]:
            self._open.remove(delivery)
            self._ended[delivery.message] = delivery.outcome

    def at_rest(self) -> None:
        """Everybody sleeps: nobody may be waiting for what is so."""
        for what, is_over in self._waits.values():
            self.check(not is_over(), 11, f"{what} sleeps, though it is so")
        intake = self.buffer._intake
        self.check(not (len(intake) and intake.is_due()), 11, "a putter sleeps, though there is room")
        if self.supervisor and self.network and self.supervisor.state is ConnectionState.CONNECTED:
            link = self.network.links[-1]
            idle = not link.busy and not link.closed.is_set()
            self.check(not (idle and self.can_lease()), 11, "the sender sleeps, though there is something to send")

    def changed_state(self, transition: Transition) -> None:
        self.tell(f"supervisor: {transition.previous} -> {transition.state} by {transition.event}")
        last = self._transitions[-1].state if self._transitions else ConnectionState.IDLE
        self.check(transition.previous is last, 13, f"{transition} does not go on from {last}")
        target = TRANSITIONS.get((transition.previous, transition.event))
        self.check(target is transition.state, 13, f"{transition} is not in the table")
        self._transitions.append(transition)

    def in_the_end(self) -> None:
        """Account for every message."""
        counts = self.peek()
        everybody = list(self.deliveries.values())
        outcomes = Counter(delivery.outcome for delivery in everybody)
        for message, outcome in self._ended.items():
            now = self.deliveries[message].outcome
            self.check(outcome is now, 1, f"{message} ended twice: {outcome}, {now}")
        self.check(None not in outcomes, 12, "closed, and messages are open")
        self.check(counts.accepted == len(everybody), 1, f"{len(everybody)} puts returned, {counts}")
        for outcome in Outcome:
            self.check(getattr(counts, outcome) == outcomes[outcome], 1, f"{outcomes} are counted as {counts}")
        self._check_order_of_puts()
        self._check_reports(everybody)
        for message, delivery in self.deliveries.items():
            self._check_arrivals(message, delivery)
        self.check(not self.refused & set(self.arrivals), 5, "what was not put has arrived")
        self._check_handed_back(Outcome.DRAINED, self.taken)
        self._check_handed_back(Outcome.ABANDONED, self.abandoned)

    def _delivery(self, message: Message) -> Delivery[Any]:
        self.check(message in self.deliveries, 1, f"{message} is handed out before its put has returned")
        return self.deliveries[message]

    def _check_order_of_puts(self) -> None:
        by_call = [delivery.id for _, delivery in sorted(self._order, key=lambda entry: entry[0])]
        self.check(by_call == sorted(by_call), 3, f"accepted in another order than put was called: {by_call}")

    def _check_reports(self, everybody: list[Delivery[Any]]) -> None:
        told = Counter(self._reported)
        for delivery in everybody:
            times = 1 if delivery.outcome in BAD_ENDS else 0
            self.check(told[delivery] == times, 2, f"{delivery!r}: on_undelivered was called {told[delivery]} times")

    def _check_arrivals(self, message: Message, delivery: Delivery[Any]) -> None:
        times = self.arrivals[message]
        if delivery.outcome is Outcome.SENT:
            self.check(times >= 1, 1, f"{delivery!r} has not arrived")
            self.check(times == 1 or delivery.maybe_sent, 7, f"{delivery!r} has arrived {times} times")
        else:
            self.check(times == 0 or delivery.maybe_sent, 7, f"{delivery!r} has arrived, and nobody says so")
        doubt = message in self._under_way | self._doubtful
        self.check(delivery.maybe_sent == doubt, 7, f"{delivery!r}, and its doubt is {doubt}")
        self.check(times <= 1 or not self.at_most_once, 7, f"{message} has arrived {times} times")

    def _check_handed_back(self, outcome: Outcome, messages: list[Message]) -> None:
        ended = [message for message, delivery in self.deliveries.items() if delivery.outcome is outcome]
        self.check(Counter(ended) == Counter(messages), 12, f"{outcome}: {ended}, and handed back: {messages}")


def _listed(things: list[Any]) -> str:
    return ", ".join(map(str, things))
