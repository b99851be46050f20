"""What a buffer has to do, said as plainly as possible: lists that are gone through from the start each time."""

from __future__ import annotations

import math
from collections import Counter
from dataclasses import dataclass, field

from ridethrough import Outcome, Overflow


@dataclass(eq=False)
class Message:
    """A message, accepted or waiting for room."""

    text: str
    key: str
    ttl: float | None
    policy: Overflow
    expires_at: float = math.inf
    number: int = 0
    outcome: Outcome | None = None
    leased: bool = False
    attempts: int = 0
    maybe_sent: bool = False
    doubt_before: bool | None = None

    @property
    def size(self) -> int:
        return len(self.text)


Group = tuple[Message, ...]
"""Messages that are put together, all with the same policy and ttl."""


@dataclass
class PlainBuffer:
    """The buffer in memory, without its shortcuts. Whoever calls :meth:`put` may have to wait: see ``line``."""

    max_size: int
    max_bytes: float
    now: float
    messages: list[Message] = field(default_factory=list)
    line: list[Group] = field(default_factory=list)
    refused: list[Group] = field(default_factory=list)
    lease: list[Message] | None = None
    stepped_over: set[str] = field(default_factory=set)
    paused: dict[str, float] = field(default_factory=dict)
    all_paused: float = -math.inf
    late: int = 0

    # ---------------------------------------------------------------- what there is

    def open(self) -> list[Message]:
        return [message for message in self.messages if message.outcome is None]

    def queued(self) -> list[Message]:
        return [message for message in self.open() if not message.leased]

    def leased(self) -> list[Message]:
        return [message for message in self.open() if message.leased]

    def outcomes(self) -> Counter[Outcome]:
        return Counter(message.outcome for message in self.messages if message.outcome is not None)

    def ready(self) -> list[Message]:
        """What can be leased now, in order."""
        if self.lease is not None or self.now < self.all_paused:
            return []
        return [message for message in self.queued() if self.paused.get(message.key, -math.inf) <= self.now]

    # ---------------------------------------------------------------- in

    def fits(self, group: Group, beside: list[Message]) -> bool:
        everybody = [*group, *beside]
        return len(everybody) <= self.max_size and sum(message.size for message in everybody) <= self.max_bytes

    def put(self, group: Group, may_wait: bool) -> str:
        """Returns "in", "full" or "waits"."""
        policy = group[0].policy if group else Overflow.DROP_NEWEST
        if policy is Overflow.DROP_NEWEST:
            for message in group:
                if self.line or not self.fits((message,), self.open()):
                    message.outcome = Outcome.DROPPED
                self.accept(message)
            return "in"
        if not self.line and self.fits(group, self.open()):
            self.accept(*group)
            return "in"
        if policy is Overflow.REJECT or not self.fits(group, []):
            return "full"
        if policy is Overflow.DROP_OLDEST:
            if not self.fits(group, self.leased()):
                return "full"
            if not self.line:
                self.make_room(group)
                self.accept(*group)
                return "in"
        if not may_wait:
            return "full"
        self.line.append(group)
        return "waits"

    def accept(self, *group: Message) -> None:
        for message in group:
            message.expires_at = math.inf if message.ttl is None else self.now + message.ttl
            message.number = len(self.messages) + 1
            self.messages.append(message)

    def make_room(self, group: Group) -> None:
        while not self.fits(group, self.open()):
            self.queued()[0].outcome = Outcome.DROPPED

    def serve(self) -> None:
        """Let in who waits, as far as there is room, or may be made by whoever drops old messages."""
        while self.line:
            first = self.line[0]
            dropping = any(group[0].policy is Overflow.DROP_OLDEST for group in self.line)
            if self.fits(first, self.leased() if dropping else self.open()):
                self.line.pop(0)
                self.make_room(first)
                self.accept(*first)
            elif first[0].policy is Overflow.DROP_OLDEST:
                self.refused.append(self.line.pop(0))
            else:
                return

    # ---------------------------------------------------------------- out

    def expire(self) -> None:
        for message in self.queued():
            if message.expires_at <= self.now:
                message.outcome = Outcome.EXPIRED

    def drain(self) -> list[str]:
        drained = self.queued()
        for message in drained:
            message.outcome = Outcome.DRAINED
        return [message.text for message in drained]

    def start_lease(self, limit: int) -> None:
        self.lease = self.ready()[:limit]
        self.stepped_over = set()
        for message in self.lease:
            message.leased = True

    def next_entry(self, after: Message | None) -> Message | None:
        """The message that the lease hands out after that one."""
        assert self.lease is not None
        for message in self.lease:
            if message.outcome is not None or (after is not None and message.number <= after.number):
                continue
            if message.expires_at <= self.now:
                message.outcome = Outcome.EXPIRED
            elif message.key not in self.stepped_over and "" not in self.stepped_over:
                message.doubt_before = None
                return message
        return None

    def settle(self, message: Message, outcome: Outcome) -> None:
        message.outcome = outcome
        if message.doubt_before is not None and outcome is not Outcome.UNKNOWN:
            message.maybe_sent = message.doubt_before

    def defer(self, message: Message, after: float, scope: str) -> None:
        if scope == "all":
            self.all_paused = max(self.all_paused, self.now + after)
            self.stepped_over.add("")
        else:
            self.paused[message.key] = max(self.paused.get(message.key, -math.inf), self.now + after)
            self.stepped_over.add(message.key)
        if message.doubt_before is not None:
            message.maybe_sent, message.doubt_before = message.doubt_before, None

    def resume(self, keys: list[str]) -> None:
        if not keys:
            self.all_paused = -math.inf
        for key in keys or list(self.paused):
            self.paused.pop(key, None)

    def end_lease(self) -> None:
        self.lease = None
        for message in self.messages:
            message.leased = False

    def close(self) -> list[str]:
        self.end_lease()
        abandoned = self.queued()
        for message in abandoned:
            message.outcome = Outcome.ABANDONED
        self.refused += self.line
        self.line = []
        return [message.text for message in abandoned]

    # ---------------------------------------------------------------- time

    def next_event(self) -> float:
        """When next something comes about by itself."""
        times = [message.expires_at for message in self.open()] + [*self.paused.values(), self.all_paused]
        return min((time for time in times if time > self.now), default=math.inf)
