"""Faults: what goes wrong with single requests to JetStream, as a test has it."""

from __future__ import annotations

import asyncio
import json
from collections import Counter
from collections.abc import Callable
from fnmatch import fnmatchcase

from .jetstream import JetStream
from .message import Message
from .server import MemoryServer

ALWAYS = 1_000_000


class Held:
    """A request that is kept until a test lets it go.

    Attributes:
        there: set when it has come.
    """

    def __init__(self) -> None:
        self.there = asyncio.Event()
        self._go_on: Callable[[], object] | None = None

    def keep(self, go_on: Callable[[], object]) -> None:
        self._go_on = go_on
        self.there.set()

    def let_go(self) -> None:
        """Have it carried out, or its answer sent, now."""
        assert self._go_on is not None, "it has not come yet"
        self._go_on()


class _Fault:
    def __init__(self, subject: str, times: int, happen: Callable[[Message], bool]) -> None:
        self._subject = subject
        self.left = times
        self.happen = happen

    def befalls(self, message: Message) -> bool:
        return self.left > 0 and fnmatchcase(message.subject, self._subject)


class Faults(JetStream):
    """JetStream, and what a test does to the next requests to a subject, which may have wildcards as file names have.

    Args:
        server: whose JetStream this is from now on.

    Attributes:
        asked: how often each subject was asked, faults included.
    """

    def __init__(self, server: MemoryServer) -> None:
        super().__init__(server.weather, server.deliver, server.listens)
        server.jetstream = self
        self.asked: Counter[str] = Counter()
        self._faults: list[_Fault] = []
        self._answers: list[tuple[Message, str]] | None = None

    def lose(self, subject: str, times: int = 1, *, happen: Callable[[], object] = lambda: None) -> None:
        """Lose requests, and have something else happen."""

        def lose(_: Message) -> bool:
            happen()
            return True

        self._add(subject, times, lose)

    def lose_answers(self, subject: str, times: int = 1) -> None:
        """Carry requests out, and lose the answers."""
        self._add(subject, times, lambda message: self._do(message._replace(reply="")))

    def refuse(self, subject: str, code: int, text: str, *, status: int = 400, times: int = 1) -> None:
        """Answer with an error."""
        data = json.dumps({"error": {"code": status, "err_code": code, "description": text}}).encode()

        def refuse(message: Message) -> bool:
            self._send(Message(message.reply, "", data, None), message.reply)
            return True

        self._add(subject, times, refuse)

    def before(self, subject: str, happen: Callable[[], object]) -> None:
        """Have something happen before a request is carried out."""

        def first(message: Message) -> bool:
            happen()
            return self._do(message)

        self._add(subject, 1, first)

    def hold(self, subject: str) -> Held:
        """Keep a request until it is let go."""
        held = Held()

        def keep(message: Message) -> bool:
            held.keep(lambda: self._do(message))
            return True

        self._add(subject, 1, keep)
        return held

    def hold_answer(self, subject: str) -> Held:
        """Carry a request out, and keep the answer until it is let go."""
        held = Held()

        def keep(message: Message) -> bool:
            answers: list[tuple[Message, str]] = []
            self._answers = answers
            done = self._do(message)
            self._answers = None

            def answer() -> None:
                for each in answers:
                    self._send(*each)

            held.keep(answer)
            return done

        self._add(subject, 1, keep)
        return held

    def no_more(self) -> None:
        """From now on, nothing goes wrong."""
        self._faults.clear()

    # ---------------------------------------------------------------- how it does it

    def take(self, message: Message) -> bool:
        """See :meth:`JetStream.take`."""
        self.asked[message.subject] += 1
        for fault in self._faults:
            if fault.befalls(message):
                fault.left -= 1
                return fault.happen(message)
        return self._do(message)

    def _do(self, message: Message) -> bool:
        return super().take(message)

    def _send(self, message: Message, to: str) -> None:
        if self._answers is None:
            super()._send(message, to)
        else:
            self._answers.append((message, to))

    def _add(self, subject: str, times: int, happen: Callable[[Message], bool]) -> None:
        self._faults.append(_Fault(subject, times, happen))
