"""lease.py: messages being sent, while the buffer still owns them."""

from __future__ import annotations

from typing import Any

import pytest
from anyio import CancelScope, Event, create_task_group, wait_all_tasks_blocked
from anyio.lowlevel import checkpoint

from ridethrough.delivery import Delivery, Outcome
from ridethrough.errors import Rejected
from ridethrough.lease import BufferLease, LeasedEntry
from tests.by_hand import make_delivery

pytestmark = pytest.mark.anyio

SECRET = "meet me at noon"


class Owner:
    """A buffer that does what a lease asks for, and keeps a record of it."""

    def __init__(self, *deliveries: Delivery[Any], restricted: bool = False) -> None:
        self.deliveries = list(deliveries)
        self.restricted = restricted
        self.refused: set[int] = set()  # ids of what may not be handed out
        self.asked: list[int] = []
        self.calls: list[tuple[object, ...]] = []
        self.filled = Event()
        self.filled.set()

    async def start_lease(self, lease: BufferLease[Any], /) -> None:
        await self.filled.wait()
        lease.fill(self.deliveries[: lease.limit], 10, self.restricted)

    def end_lease(self, lease: BufferLease[Any], /) -> None:
        self.calls.append(("end_lease", [delivery.id for delivery in lease.end()]))

    def may_hand_out(self, lease: BufferLease[Any], delivery: Delivery[Any], /) -> bool:  # noqa: ARG002
        self.asked.append(delivery.id)
        return delivery.id not in self.refused

    def settle(
        self, lease: BufferLease[Any], delivery: Delivery[Any], outcome: Outcome, result: object, doubt: bool | None, /
    ) -> bool:
        if lease.over or delivery.outcome is not None:
            return False
        delivery.outcome = outcome
        lease.unsettled -= 1
        self.calls.append((outcome, delivery.id, result, doubt))
        return True

    def defer(self, lease: BufferLease[Any], delivery: Delivery[Any], after: float, scope: str, /) -> bool:
        if lease.over or delivery.outcome is not None:
            return False
        self.calls.append(("defer", delivery.id, after, scope))
        return True


def deliveries(count: int) -> list[Delivery[Any]]:
    return [make_delivery(number, message=f"message {number}") for number in range(1, count + 1)]


def filled(count: int, **options: Any) -> tuple[Owner, BufferLease[Any]]:
    """A lease that has been entered, of messages with the ids 1, 2, …, and its owner."""
    owner = Owner(*deliveries(count), **options)
    lease: BufferLease[Any] = BufferLease(owner, count)
    lease.fill(owner.deliveries, 0, owner.restricted)
    return owner, lease


def one(**options: Any) -> tuple[Owner, LeasedEntry[Any]]:
    """The entry of a leased message with the id 1, and the owner of it."""
    owner, lease = filled(1, **options)
    return owner, next(iter(lease))


def ids(lease: BufferLease[Any]) -> list[int]:
    return [entry.delivery.id for entry in lease]


# Entering and leaving


async def test_enter_gives_what_the_owner_filled_in() -> None:
    owner = Owner(*deliveries(3))
    async with BufferLease(owner, 2) as lease:
        assert len(lease) == lease.unsettled == lease.limit == 2
        assert lease.size == 10 and not lease.over
        assert [entry.message for entry in lease] == ["message 1", "message 2"]


async def test_leave_gives_back_what_is_open() -> None:
    owner = Owner(*deliveries(3))
    async with BufferLease(owner, 3) as lease:
        list(lease)[1].ack()
    assert owner.calls[1:] == [("end_lease", [1, 3])]
    assert lease.over and len(lease) == lease.size == 0


async def test_leave_by_an_error_gives_back_and_lets_the_error_pass() -> None:
    owner = Owner(*deliveries(1))
    with pytest.raises(KeyError):
        async with BufferLease(owner, 1):
            raise KeyError
    assert owner.calls == [("end_lease", [1])]


async def test_leave_by_cancellation_gives_back() -> None:
    owner = Owner(*deliveries(1))
    with CancelScope() as scope:
        async with BufferLease(owner, 1):
            scope.cancel()
            await checkpoint()
    assert scope.cancelled_caught
    assert owner.calls == [("end_lease", [1])]


async def test_enter_twice_is_refused() -> None:
    lease = BufferLease(Owner(*deliveries(1)), 1)
    async with lease:
        with pytest.raises(RuntimeError, match="a lease is entered once; ask the buffer for another one"):
            await lease.__aenter__()
    with pytest.raises(RuntimeError, match="entered once"):
        await lease.__aenter__()


async def test_enter_while_another_task_is_entering_is_refused() -> None:
    owner = Owner(*deliveries(1))
    owner.filled = Event()
    lease = BufferLease(owner, 1)
    async with create_task_group() as tasks:
        tasks.start_soon(lease.__aenter__)
        await wait_all_tasks_blocked()
        with pytest.raises(RuntimeError, match="entered once"):
            await lease.__aenter__()
        owner.filled.set()
    assert ids(lease) == [1]


async def test_enter_cancelled_has_taken_nothing_and_can_be_tried_again() -> None:
    owner = Owner(*deliveries(1))
    owner.filled = Event()
    lease = BufferLease(owner, 1)
    with CancelScope() as scope:
        scope.cancel()
        await lease.__aenter__()
    assert scope.cancelled_caught and len(lease) == 0
    owner.filled.set()
    async with lease:
        assert ids(lease) == [1]


def test_iterating_before_entering_is_refused() -> None:
    with pytest.raises(RuntimeError, match="entered with async with before it is iterated over"):
        next(iter(BufferLease(Owner(), 1)))


def test_lease_before_entering_holds_nothing() -> None:
    lease = BufferLease(Owner(), 1)
    assert len(lease) == lease.size == 0 and not lease.restricted
    assert list(lease.left()) == [] and lease.oldest_id() is None
    assert not lease.holds(make_delivery(1))
    assert lease.end() == []


# What is handed out


def test_iterating_hands_out_in_order_and_without_asking() -> None:
    owner, lease = filled(3)
    assert ids(lease) == [1, 2, 3]
    assert owner.asked == []


def test_iterating_steps_over_what_has_ended() -> None:
    owner, lease = filled(3)
    owner.deliveries[1].outcome = Outcome.SENT
    assert ids(lease) == [1, 3]
    next(iter(lease)).ack()
    assert ids(lease) == [3]


def test_iterating_over_a_restricted_lease_asks_the_owner_about_each() -> None:
    owner, lease = filled(3, restricted=True)
    owner.refused = {2}
    assert ids(lease) == [1, 3]
    assert owner.asked == [1, 2, 3]


def test_iterating_ends_with_the_lease() -> None:
    _, lease = filled(3)
    entries = iter(lease)
    assert next(entries).delivery.id == 1
    lease.end()
    assert list(entries) == []
    assert ids(lease) == []


def test_step_over_a_key_is_for_the_rest_of_the_lease_and_makes_it_restricted() -> None:
    _, lease = filled(1)
    assert not lease.steps_over(make_delivery(1, key="a"))
    lease.step_over("a")
    assert lease.restricted
    assert lease.steps_over(make_delivery(2, key="a"))
    assert not lease.steps_over(make_delivery(3, key="b"))
    assert not lease.steps_over(make_delivery(4))
    lease.step_over(None)
    assert lease.steps_over(make_delivery(4))


def test_step_over_all_is_for_every_key() -> None:
    _, lease = filled(1)
    lease.step_over_all()
    assert lease.restricted
    assert lease.steps_over(make_delivery(1, key="a")) and lease.steps_over(make_delivery(2))


# What it holds


def test_holds_what_it_was_filled_with_until_it_ends() -> None:
    owner, lease = filled(2)
    assert lease.holds(owner.deliveries[0]) and lease.holds(owner.deliveries[1])
    assert not lease.holds(make_delivery(1))
    lease.end()
    assert not lease.holds(owner.deliveries[0])


def test_left_is_what_is_open_and_nothing_once_it_has_ended() -> None:
    owner, lease = filled(3)
    owner.deliveries[1].outcome = Outcome.SENT
    assert [delivery.id for delivery in lease.left()] == [1, 3]
    assert [delivery.id for delivery in lease.end()] == [1, 3]
    assert list(lease.left()) == lease.end() == []
    assert lease.oldest_id() is None


def test_oldest_id_is_that_of_the_first_open_one() -> None:
    owner, lease = filled(4)
    assert lease.oldest_id() == 1
    for number, oldest in ((2, 1), (1, 3), (3, 4), (4, None)):
        owner.deliveries[number - 1].outcome = Outcome.SENT
        assert lease.oldest_id() == oldest


def test_oldest_id_does_not_go_through_what_has_ended_each_time() -> None:
    class Counted(list[Delivery[Any]]):
        """A list that counts how often it is looked into."""

        looks = 0

        def __getitem__(self, index: Any) -> Any:
            self.looks += 1
            return super().__getitem__(index)

    owner, lease = filled(1000)
    counted = Counted(owner.deliveries)
    lease.fill(counted, 0, restricted=False)
    for delivery in owner.deliveries:
        delivery.outcome = Outcome.SENT
        lease.oldest_id()
    assert counted.looks < 5 * 1000


def test_repr_of_a_lease_shows_counts() -> None:
    _, lease = filled(3)
    next(iter(lease)).ack()
    assert repr(lease) == "<BufferLease of 2 open messages, limit 3>"


# Sending


def test_begin_counts_an_attempt_and_puts_the_message_in_doubt() -> None:
    _, entry = one()
    assert (entry.delivery.attempts, entry.delivery.maybe_sent) == (0, False)
    entry.begin()
    assert (entry.delivery.attempts, entry.delivery.maybe_sent) == (1, True)


def test_begin_twice_is_refused() -> None:
    _, entry = one()
    entry.begin()
    with pytest.raises(RuntimeError, match="the send of message 1 has begun already"):
        entry.begin()
    assert entry.delivery.attempts == 1


def test_begin_after_the_lease_is_refused() -> None:
    _, lease = filled(1)
    entry = next(iter(lease))
    lease.end()
    with pytest.raises(RuntimeError, match="message 1 is not leased any more and must not be sent"):
        entry.begin()
    assert (entry.delivery.attempts, entry.delivery.maybe_sent) == (0, False)


def test_begin_of_a_message_that_has_ended_is_refused() -> None:
    _, entry = one()
    entry.ack()
    with pytest.raises(RuntimeError, match="must not be sent"):
        entry.begin()
    assert entry.delivery.attempts == 0


@pytest.mark.parametrize("doubted", [False, True])
def test_unbegin_takes_begin_back(doubted: bool) -> None:
    _, entry = one()
    entry.delivery.maybe_sent = doubted
    entry.begin()
    assert entry.unbegin() is True
    assert (entry.delivery.attempts, entry.delivery.maybe_sent) == (0, doubted)
    entry.begin()
    assert (entry.delivery.attempts, entry.delivery.maybe_sent) == (1, True)


def test_unbegin_without_begin_is_refused() -> None:
    _, entry = one()
    with pytest.raises(RuntimeError, match="no send of message 1 is under way here"):
        entry.unbegin()
    entry.begin()
    entry.unbegin()
    with pytest.raises(RuntimeError, match="no send of message 1 is under way here"):
        entry.unbegin()
    assert entry.delivery.attempts == 0


def test_unbegin_that_comes_too_late_changes_nothing() -> None:
    _, lease = filled(2)
    first, second = lease
    first.begin()
    second.begin()
    first.delivery.outcome = Outcome.UNKNOWN
    assert first.unbegin() is False
    lease.end()
    assert second.unbegin() is False
    assert (first.delivery.attempts, first.delivery.maybe_sent) == (1, True)
    assert (second.delivery.attempts, second.delivery.maybe_sent) == (1, True)


# Settling


def test_ack_before_begin_leaves_the_doubt_as_it_is() -> None:
    owner, entry = one()
    assert entry.ack() is True
    assert owner.calls == [(Outcome.SENT, 1, None, None)]


@pytest.mark.parametrize("doubted", [False, True])
@pytest.mark.parametrize(("settle", "outcome"), [("ack", Outcome.SENT), ("reject", Outcome.REJECTED)])
def test_an_answer_after_begin_settles_that_attempt_only(settle: str, outcome: Outcome, doubted: bool) -> None:
    owner, entry = one()
    entry.delivery.maybe_sent = doubted
    entry.begin()
    assert getattr(entry, settle)("answer") is True
    assert owner.calls == [(outcome, 1, "answer", doubted)]


def test_unknown_leaves_the_doubt() -> None:
    owner, entry = one()
    entry.begin()
    assert entry.unknown("the link was lost") is True
    assert owner.calls == [(Outcome.UNKNOWN, 1, "the link was lost", None)]


@pytest.mark.parametrize("settle", ["reject", "unknown"])
def test_an_error_is_kept_without_the_frames_that_it_came_through(settle: str) -> None:
    owner, entry = one()
    try:
        raise Rejected("unregistered")
    except Rejected as caught:
        error = caught
    getattr(entry, settle)(error)
    assert owner.calls[0][2] is error
    assert error.__traceback__ is None


@pytest.mark.parametrize("settle", ["reject", "unknown"])
@pytest.mark.parametrize("error", [None, 5, b"unregistered"])
def test_what_is_no_reason_is_refused_and_changes_nothing(settle: str, error: Any) -> None:
    owner, entry = one()
    with pytest.raises(TypeError, match=f"^error must be an exception or a str, not {type(error).__name__}$"):
        getattr(entry, settle)(error)
    assert owner.calls == []


def test_settling_twice_takes_effect_once() -> None:
    owner, entry = one()
    assert entry.ack()
    assert not (entry.ack() or entry.reject("no") or entry.unknown("who knows") or entry.defer(1))
    assert len(owner.calls) == 1


def test_settling_after_the_lease_has_no_effect() -> None:
    owner, lease = filled(1)
    entry = next(iter(lease))
    lease.end()
    assert not (entry.ack() or entry.reject("no") or entry.unknown("who knows") or entry.defer(1))
    assert owner.calls == [] and entry.delivery.outcome is None


# Deferring


def test_defer_pauses_the_key_unless_it_says_otherwise() -> None:
    owner, entry = one()
    assert entry.defer(1.5) is True
    assert entry.defer(0, "all") is True
    assert owner.calls == [("defer", 1, 1.5, "key"), ("defer", 1, 0, "all")]


@pytest.mark.parametrize(("doubted", "in_doubt"), [(False, False), (False, True), (True, False), (True, True)])
def test_defer_settles_the_attempt_unless_it_may_have_arrived(doubted: bool, in_doubt: bool) -> None:
    _, entry = one()
    entry.delivery.maybe_sent = doubted
    entry.begin()
    entry.defer(1, in_doubt=in_doubt)
    assert (entry.delivery.attempts, entry.delivery.maybe_sent) == (1, doubted or in_doubt)
    entry.begin()
    assert (entry.delivery.attempts, entry.delivery.maybe_sent) == (2, True)


def test_defer_that_comes_too_late_leaves_the_doubt() -> None:
    _, lease = filled(1)
    entry = next(iter(lease))
    entry.begin()
    lease.end()
    assert entry.defer(1) is False
    assert entry.delivery.maybe_sent


@pytest.mark.parametrize(
    ("after", "scope", "error"),
    [(-1, "key", ValueError), ("1", "key", TypeError), (None, "all", TypeError), (1, "queue", ValueError)],
)
def test_defer_refuses_what_is_no_pause_and_changes_nothing(after: Any, scope: Any, error: type[Exception]) -> None:
    owner, entry = one()
    entry.begin()
    with pytest.raises(error, match=r"^(after|scope) must be "):
        entry.defer(after, scope)
    assert owner.calls == [] and entry.delivery.maybe_sent


def test_repr_of_an_entry_shows_no_message() -> None:
    lease = BufferLease(Owner(), 1)
    lease.fill([make_delivery(1, message=SECRET)], 0, restricted=False)
    assert repr(next(iter(lease))) == "<LeasedEntry of <Delivery 1: open, attempts: 0>>"
