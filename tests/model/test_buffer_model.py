"""The buffer in memory against a plain list: order, capacity, conservation and wake-ups after every step."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Coroutine
from types import EllipsisType
from typing import Any, TypeVar

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from ridethrough import AsyncMessageBuffer, BufferClosed, BufferFull, Delivery, Outcome, Overflow
from ridethrough.delivery import UNDELIVERED
from ridethrough.lease import BufferLease, LeasedEntry
from tests.clocks import JumpingClockLoop

from .plain_buffer import Group, Message, PlainBuffer

R = TypeVar("R")

ANY_TEXT = st.sampled_from([key * length for key in "abc" for length in (1, 2, 4)])
TEXTS = st.lists(ANY_TEXT, min_size=1, max_size=3)
KEYS = st.lists(st.sampled_from("abc"), max_size=2)
POLICIES = st.sampled_from(Overflow)
TTLS = st.sampled_from([None, None, 1, 2, 5])
WAITS = st.sampled_from([1, 2, 3, 10])
ANSWERS = st.sampled_from(["ack", "ack", "reject", "unknown", "defer key", "defer all", "nothing"])
STEPS = st.lists(st.tuples(st.booleans(), ANSWERS, WAITS), min_size=1, max_size=3)
OPTIONS: st.SearchStrategy[tuple[int | None, bool, float | None]] = st.sampled_from(  # max_bytes, whether keyed, ttl
    [(None, False, None), (None, False, 2), (None, True, None), (None, True, 5), (4, False, None), (7, True, 2)]
)
ANY = st.integers(0, 10**6)

OUTCOMES = {"ack": Outcome.SENT, "reject": Outcome.REJECTED, "unknown": Outcome.UNKNOWN}


class BufferMachine(RuleBasedStateMachine):
    """Does the same to both, and looks whether they agree.

    The loop runs only within a step. Between steps whoever waits, waits in it.
    """

    def __init__(self) -> None:
        super().__init__()
        self.loop = JumpingClockLoop()
        self.deliveries: dict[Message, Delivery[str]] = {}
        self.putters: dict[Group, asyncio.Task[list[Delivery[str]]]] = {}
        self.taker: asyncio.Task[None] | None = None
        self.flushes: list[tuple[asyncio.Task[None], list[Message]]] = []
        self.lease: BufferLease[str] | None = None
        self.entries: list[tuple[Message, LeasedEntry[str]]] = []  # of all leases so far
        self.position: Message | None = None
        self.reported: list[Delivery[str]] = []

    @initialize(
        max_size=st.integers(1, 8),
        options=OPTIONS,
        policy=POLICIES,
    )
    def make(self, max_size: int, options: tuple[int | None, bool, float | None], policy: Overflow) -> None:
        max_bytes, keyed, ttl = options
        self.model = PlainBuffer(max_size, max_bytes or 10**9, self.loop.time())
        self.keyed, self.ttl, self.policy = keyed, ttl, policy
        key = (lambda text: text[0]) if keyed else None
        self.buffer = AsyncMessageBuffer[str](
            max_size, max_bytes=max_bytes, key=key, ttl=ttl, overflow=policy, on_undelivered=self.reported.append
        )
        self.run(self.buffer.drain())  # from here on it goes by the clock of this loop

    def message(self, text: str, ttl: float | EllipsisType | None, policy: Overflow | EllipsisType) -> Message:
        """A message as the model sees it: what is left open is as the buffer has it."""
        return Message(
            text,
            text[0] if self.keyed else "all",
            self.ttl if isinstance(ttl, EllipsisType) else ttl,
            self.policy if isinstance(policy, EllipsisType) else policy,
        )

    def run(self, coroutine: Coroutine[Any, Any, R]) -> R:
        return self.loop.run_until_complete(coroutine)

    # ---------------------------------------------------------------- in

    @rule(texts=TEXTS)
    def put_plainly(self, texts: list[str]) -> None:
        for text in texts:
            self.put_group([text], ..., ...)

    @rule(texts=TEXTS, ttl=TTLS, policy=POLICIES)
    def put(self, texts: list[str], ttl: float | None, policy: Overflow) -> None:
        for text in texts:
            self.put_group([text], ttl, policy)

    @rule(texts=st.lists(ANY_TEXT, max_size=5), ttl=TTLS, policy=POLICIES)
    def put_many(self, texts: list[str], ttl: float | None, policy: Overflow) -> None:
        self.put_group(texts, ttl, policy, together=True)

    def put_group(
        self,
        texts: list[str],
        ttl: float | EllipsisType | None,
        policy: Overflow | EllipsisType,
        *,
        together: bool = False,
    ) -> None:
        async def put() -> list[Delivery[str]]:
            if together:
                return await self.buffer.put_many(texts, ttl=ttl, overflow=policy)
            return [await self.buffer.put(text, ttl=ttl, overflow=policy) for text in texts]

        group = tuple(self.message(text, ttl, policy) for text in texts)
        expected = self.model.put(group, may_wait=True)
        task = self.loop.create_task(put())
        self.settle()
        if expected == "waits":
            self.putters[group] = task
            self.agree_on_who_waits(ask=False)
            return
        assert task.done(), "it waits though it need not"
        if expected == "full":
            assert isinstance(task.exception(), BufferFull)
        else:
            self.deliveries.update(zip(group, task.result(), strict=True))

    @rule(texts=TEXTS, ttl=TTLS, policy=POLICIES)
    def put_nowait(self, texts: list[str], ttl: float | None, policy: Overflow) -> None:
        for text in texts:
            message = self.message(text, ttl, policy)
            expected = self.model.put((message,), may_wait=False)
            try:
                self.deliveries[message] = self.buffer.put_nowait(text, ttl=ttl, overflow=policy)
            except BufferFull:
                assert expected == "full"
            else:
                assert expected == "in"

    @precondition(lambda self: self.putters)
    @rule(which=ANY)
    def cancel_put(self, which: int) -> None:
        group = list(self.putters)[which % len(self.putters)]
        self.putters.pop(group).cancel()
        self.model.line.remove(group)

    @precondition(lambda self: self.deliveries)
    @rule(which=ANY)
    def cancel_delivery(self, which: int) -> None:
        message = list(self.deliveries)[which % len(self.deliveries)]
        expected = message.outcome is None and not message.leased
        if expected:
            message.outcome = Outcome.CANCELLED
        assert self.deliveries[message].cancel() == expected

    # ---------------------------------------------------------------- out

    @rule()
    def drain(self) -> None:
        expected = self.model.drain()
        assert self.run(self.buffer.drain()) == expected

    @precondition(lambda self: self.lease is None)
    @rule(limit=st.integers(1, 4))
    def start_lease(self, limit: int) -> None:
        lease = self.buffer.lease(limit)
        task = self.loop.create_task(lease.__aenter__())
        self.settle()
        assert task.done() == bool(self.model.ready())
        if task.done():
            self.model.start_lease(limit)
            self.lease, self.position = lease, None
            self.iterator = iter(lease)
        else:
            task.cancel()

    @precondition(lambda self: self.lease is not None)
    @rule(steps=STEPS)
    def use_lease(self, steps: list[tuple[bool, str, int]]) -> None:
        for begins, answer, after in steps:
            expected = self.model.next_entry(self.position)
            entry = next(self.iterator, None)
            assert (None if entry is None else entry.delivery) == (expected and self.deliveries[expected])
            if entry is None or expected is None:
                self.end_lease()
                return
            self.position = expected
            self.entries.append((expected, entry))
            if begins:
                expected.doubt_before, expected.maybe_sent = expected.maybe_sent, True
                expected.attempts += 1
                entry.begin()
            self.answer(expected, entry, answer, after)

    @precondition(lambda self: self.entries)
    @rule(which=ANY, answer=ANSWERS, after=WAITS)
    def answer_once_more(self, which: int, answer: str, after: int) -> None:
        self.answer(*self.entries[-1 - which % len(self.entries)], answer, after)

    def answer(self, message: Message, entry: LeasedEntry[str], answer: str, after: int) -> None:
        if answer == "nothing":
            return
        in_time = self.lease is entry._lease and message.outcome is None
        if not in_time:
            self.model.late += 1
        elif answer.startswith("defer"):
            self.model.defer(message, after, answer.removeprefix("defer "))
        else:
            self.model.settle(message, OUTCOMES[answer])
        if answer == "ack":
            assert entry.ack() == in_time
        elif answer in OUTCOMES:
            assert getattr(entry, answer)("no") == in_time
        else:
            assert entry.defer(after, "all" if answer == "defer all" else "key") == in_time

    @precondition(lambda self: self.lease is not None)
    @rule()
    def end_lease(self) -> None:
        assert self.lease is not None
        self.model.end_lease()
        self.run(self.lease.__aexit__(None, None, None))
        self.lease = None

    @rule(keys=KEYS)
    def resume(self, keys: list[str]) -> None:
        self.model.resume([key if self.keyed else "all" for key in keys])
        self.buffer.resume(*(key if self.keyed else None for key in keys))

    # ---------------------------------------------------------------- waiting

    @precondition(lambda self: self.taker is None)
    @rule()
    def wait_nonempty(self) -> None:
        self.taker = self.loop.create_task(self.buffer.wait_nonempty())

    @precondition(lambda self: len(self.flushes) < 3)
    @rule()
    def flush(self) -> None:
        self.flushes.append((self.loop.create_task(self.buffer.flush()), self.model.open()))

    @rule(seconds=WAITS)
    def sleep(self, seconds: int) -> None:
        end = self.model.now + seconds
        while (event := self.model.next_event()) <= end:
            self.model.now = event
            self.agree_on_who_waits(ask=False)
        self.model.now = end
        self.run(asyncio.sleep(end - self.loop.time()))
        assert self.loop.time() == end

    def settle(self) -> None:
        """Let all run that can."""

        async def turns() -> None:
            for _ in range(10 + 3 * len(self.putters)):  # these are served one after the other
                await asyncio.sleep(0)

        self.run(turns())

    # ---------------------------------------------------------------- looking

    def agree_on_who_waits(self, *, ask: bool) -> None:
        """What time and the last step have brought about, for who waits.

        Args:
            ask: whether the buffer is to be asked, or only the model as of a moment that the loop is yet to come to.
        """
        self.model.expire()
        self.model.serve()
        if self.taker is not None and self.model.ready():
            self.taken = True
        if ask:
            taken = self.taken or bool(self.model.ready())
            assert self.taker is None or self.taker.done() == taken, "wait_nonempty overslept, or returned for nothing"
            if self.taker is not None and self.taker.done():
                self.taker = None
            self.taken = False

    taken = False

    @invariant()
    def agree(self) -> None:
        if not hasattr(self, "model"):
            return
        self.settle()
        self.agree_on_who_waits(ask=True)
        for group, task in list(self.putters.items()):
            assert task.done() == (group not in self.model.line), "a putter overslept, or overtook"
            if group in self.model.refused:
                assert isinstance(task.exception(), BufferFull)
                del self.putters[group]
            elif task.done():
                self.deliveries.update(zip(group, task.result(), strict=True))
                del self.putters[group]
        for flush in list(self.flushes):
            done = flush[0].done()
            assert done == all(message.outcome for message in flush[1]), "flush overslept, or lied"
            if done:
                self.flushes.remove(flush)
        self.agree_on_the_books()

    def agree_on_the_books(self) -> None:
        now, model, outcomes = self.buffer.statistics(), self.model, self.model.outcomes()
        assert now.accepted == now.queued + now.leased + now.ended == len(model.messages)
        assert (now.queued, now.leased) == (len(model.queued()), len(model.leased()))
        assert now.queued + now.leased == len(self.buffer) <= model.max_size
        assert now.size == (sum(message.size for message in model.open()) if model.max_bytes < 10**9 else 0)
        assert (now.waiting_to_put, now.late) == (len(model.line), model.late)
        assert {outcome: getattr(now, outcome) for outcome in Outcome} == {
            outcome: outcomes[outcome] for outcome in Outcome
        }
        for message, delivery in self.deliveries.items():
            assert (delivery.id, delivery.message, delivery.outcome) == (message.number, message.text, message.outcome)
            assert (delivery.attempts, delivery.maybe_sent) == (message.attempts, message.maybe_sent)
        undelivered = [delivery for delivery in self.deliveries.values() if delivery.outcome in UNDELIVERED]
        assert Counter(self.reported) == Counter(undelivered)

    def teardown(self) -> None:
        try:
            if hasattr(self, "model"):
                self.close()
        finally:
            for task in asyncio.all_tasks(self.loop):
                task.cancel()
            self.settle()
            self.loop.close()

    def close(self) -> None:
        self.model.expire()
        expected = self.model.close()
        assert self.run(self.buffer.aclose()) == expected
        self.settle()
        for task in self.putters.values():
            assert isinstance(task.exception(), BufferClosed)
        self.putters.clear()
        assert self.taker is None or isinstance(self.taker.exception(), BufferClosed)
        assert all(task.done() for task, _ in self.flushes)
        self.agree_on_the_books()


TestBuffer = BufferMachine.TestCase
TestBuffer.settings = settings(max_examples=200, stateful_step_count=40, deadline=None)
