"""What a program has told of its messages, and so which of them must be in its journal, may be, and must not be."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

Line = list[Any]
"""A verb, and what it is about; see :meth:`Account.read`."""

_KEPT = ("dropped", "expired", "rejected", "unknown")
"""How what becomes a dead letter has ended."""


class _Phase(NamedTuple):
    """What the journal is told of a message at some point."""

    line: int
    """What was noted before a line is durable when what begins with that line is."""
    outcome: str | None = None
    attempts: int = 0
    maybe_sent: bool = False


class _Message:
    """A message, and what the journal may hold of it: any of the phases.

    Attributes:
        number: None as long as nobody has told it.
        put: whether it is told to have been put; else there may be nothing of it.
        dead, old_number: the dead letter that it is as long as it is not put again; None: it is not about to be.
    """

    def __init__(self, phase: _Phase, number: int | None = None) -> None:
        self.number = number
        self.put = number is not None
        self.dead: _Phase | None = None
        self.old_number: int | None = None
        self.phases = [phase]

    def settle(self, line: int) -> None:
        """What was noted before that line is durable."""
        while len(self.phases) > 1 and self.phases[1].line < line:
            del self.phases[0]

    def leased(self) -> list[_Phase]:
        """What a lease that has begun makes of it."""
        return [phase._replace(attempts=phase.attempts + 1, maybe_sent=True) for phase in self.phases]


class Account:
    """Reads what programs tell that go on with the same journal, one after the other.

    Attributes:
        puts: how many messages were told to have been put.
        ends: how many were told to end.
    """

    def __init__(self) -> None:
        self.puts = self.ends = 0
        self._line = 0
        self._messages: dict[str, _Message] = {}
        self._over: set[str] = set()
        """Of these there must be nothing: not put, or ended."""
        self._begun: dict[str, tuple[int, list[str]]] = {}
        """Puts under way: since which line, and together with which."""
        self._leasing = 0
        """Since when a lease is being entered; 0: none is."""
        self._highest = 0
        self._numbers: set[int] = set()

    def read(self, line: Line) -> None:
        """Take in a line.

        ``opened waiting dead``: what the journal holds; ``putting name…``, then ``put name number`` of each, or
        ``refused name…``; ``leasing``, then ``leased name…``; ``left [name, attempts, maybe_sent]…``: about to be given
        back; ``ends name outcome attempts maybe_sent``: about to end, or has ended just now. Of dead letters: ``again
        name…``, then ``put name number`` of each, or ``kept name…``; ``forgetting name…``, then ``forgot name…``.

        Raises:
            AssertionError: that cannot be.
        """
        self._line += 1
        verb, *rest = line
        getattr(self, f"_read_{verb}")(*rest)

    @property
    def under_way(self) -> bool:
        """Whether something is being put, or a lease entered."""
        return bool(self._begun or self._leasing)

    # ---------------------------------------------------------------- a program

    def _read_opening(self) -> None:
        """From now on it may be killed."""

    def _read_putting(self, *names: str) -> None:
        for name in names:
            self._begun[name] = self._line, list(names)
            self._messages[name] = _Message(_Phase(self._line))

    def _read_put(self, name: str, number: int | None) -> None:
        if number is not None:
            assert number > self._highest and number not in self._numbers, f"{name} has the number {number}, an old one"
            self._numbers.add(number)
        self.puts += 1
        self._settle(self._begun.pop(name)[0])
        message = self._messages[name]
        message.number, message.put, message.dead = number, True, None

    def _read_refused(self, *names: str) -> None:
        for name in names:
            del self._begun[name], self._messages[name]
        self._over.update(names)

    def _read_again(self, *names: str) -> None:
        for name in names:
            self._begun[name] = self._line, list(names)
            message = self._messages[name]
            message.number, message.old_number = None, message.number
            message.dead = message.phases[-1]
            message.phases = [message.dead._replace(line=self._line, outcome=None)]

    def _read_kept(self, *names: str) -> None:
        for name in names:
            del self._begun[name]
            message = self._messages[name]
            assert message.dead is not None, f"{name} was put again, and was not"
            message.phases, message.dead = [message.dead], None

    def _read_forgetting(self, *names: str) -> None:
        for name in names:
            message = self._messages[name]
            message.phases = [message.phases[-1], _Phase(self._line, "forgotten")]

    def _read_forgot(self, *names: str) -> None:
        for name in names:
            del self._messages[name].phases[:-1]

    def _read_leasing(self) -> None:
        self._leasing = self._line

    def _read_leased(self, *names: str) -> None:
        self._settle(self._leasing)
        self._leasing = 0
        for name in names:
            message = self._messages[name]
            message.put, message.dead = True, None
            message.phases = [message.leased()[-1]]

    def _read_left(self, *states: tuple[str, int, bool]) -> None:
        for name, attempts, maybe_sent in states:
            self._messages[name].phases.append(_Phase(self._line, None, attempts, maybe_sent))

    def _read_ends(self, name: str, outcome: str, attempts: int, maybe_sent: bool) -> None:
        self.ends += 1
        message = self._messages[name]
        message.put, message.dead = True, None
        message.phases.append(_Phase(self._line, outcome, attempts, maybe_sent))

    def _settle(self, line: int) -> None:
        for message in self._messages.values():
            message.settle(line)

    # ---------------------------------------------------------------- the journal

    def _read_opened(self, waiting: list[Line], dead: list[Line]) -> None:
        self.check(waiting, dead)
        begun, known = self._begun, self._messages
        self._begun, self._messages, self._leasing = {}, {}, 0
        for name, number, attempts, maybe_sent in waiting:
            self._messages[name] = _Message(_Phase(self._line, None, attempts, maybe_sent), number)
        for name, number, outcome, attempts, maybe_sent in dead:
            self._messages[name] = _Message(_Phase(self._line, outcome, attempts, maybe_sent), number)
        self._over |= (begun.keys() | known.keys()) - self._messages.keys()
        self._highest = max([self._highest, *self._numbers, *(line[1] for line in (*waiting, *dead))])
        self._numbers = set()

    def check(self, waiting: list[Line], dead: list[Line]) -> None:
        """Object if a journal cannot hold that.

        Args:
            waiting: in the journal's order, of each message its name, its number, its attempts and whether in doubt.
            dead: the same, with the outcome after the number.
        """
        numbers = [line[1] for line in waiting]
        assert numbers == sorted(set(numbers)), f"not in order: {numbers}"
        names = [line[0] for line in (*waiting, *dead)]
        assert len(names) == len(set(names)), f"there twice: {names}"
        assert not self._over & set(names), f"back again: {sorted(self._over & set(names))}"
        assert set(names) <= self._messages.keys(), f"from nowhere: {sorted(set(names) - self._messages.keys())}"
        found: dict[str, tuple[Any, ...]]
        found = {name: (number, None, *state) for name, number, *state in waiting}
        found |= {name: tuple(rest) for name, *rest in dead}
        for name, message in self._messages.items():
            if name in found:
                number, *state = found[name]
                assert message.number in (None, number), f"{name} has the number {number} instead of {message.number}"
                assert self._may_be(message, *state), f"{name} is {state} instead of {message.phases}"
            elif message.put:
                outcomes = {phase.outcome for phase in message.phases}
                assert outcomes - {None, *_KEPT}, f"{name} is lost: {message.phases}"
        for _, together in self._begun.values():
            there = [self._is_there(name, found) for name in together if self._can_tell(name)]
            assert all(there) or not any(there), f"of {together}, {there} are there"

    def _can_tell(self, name: str) -> bool:
        """Whether it would show that a put which is under way has come about: a dead letter's new number does."""
        message = self._messages[name]
        return message.dead is None or message.old_number is not None  # which is not known after it was refused once

    def _is_there(self, name: str, found: Mapping[str, tuple[Any, ...]]) -> bool:
        """Whether a put that is under way has come about, as far as this message tells."""
        message = self._messages[name]
        if message.dead is None:
            return name in found or message.put
        return name in found and found[name][0] != message.old_number

    def _may_be(self, message: _Message, outcome: str | None, attempts: int, maybe_sent: bool) -> bool:
        phases = list(message.phases)
        if self._leasing:
            phases += message.leased()
        if outcome == "dropped" and self._begun:  # by what was being put
            phases += [phase._replace(outcome=outcome) for phase in phases if phase.outcome is None]
        if message.dead is not None:
            phases.append(message.dead)
        return (outcome, attempts, maybe_sent) in [phase[1:] for phase in phases]
