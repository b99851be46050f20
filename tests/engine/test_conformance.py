"""The contract, as the shared buffer keeps it on servers in memory: on these, a clock can jump."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any, cast

import pytest
from anyio import fail_after

from tests.clocks import in_real_time
from tests.conformance.harness import Buffer, BufferSuite
from tests.conformance.suite_accounts import ConservationSuite, NoSilentLossSuite
from tests.conformance.suite_cancellation import CancelledWaitSuite, CancelSweepSuite, NoCancellationPointSuite
from tests.conformance.suite_closing import AsyncWithSuite, ClosingSuite
from tests.conformance.suite_lease import DoubtSuite, LeaseSuite
from tests.conformance.suite_order import OrderSuite, PlaceSuite
from tests.conformance.suite_overflow import LeasedSuite, OverflowSuite
from tests.conformance.suite_pauses import ClassifiedFailureSuite
from tests.conformance.suite_put_many import PutManyOverflowSuite, PutManySuite
from tests.conformance.suite_ttl import OldAndNewSuite, TtlInTimeSuite, TtlSuite
from tests.conformance.suite_waiting import AwaitDeliverySuite, FlushSuite, WaitNonemptySuite
from tests.nats.capabilities import CANNOT
from tests.nats.harness import HasLength

from .host import MemoryHost
from .server import MemoryServer

pytestmark = pytest.mark.anyio

MOMENT = 0.16
"""How long it takes those who look ten times a second whether there is room, in seconds."""


NOT_OF_AGE = {
    "its age counts from the call of put": (
        "TestPutManyOverflow::test_age_counts_from_the_end_of_the_wait",
        "TestTtl::test_age_counts_from_acceptance",
        "TestTtlInTime::test_putter_behind_others_gets_in_when_a_message_expires",
    ),
    "a lease is of one message": (
        "TestTtl::test_message_that_grew_old_in_a_lease_is_stepped_over",
        "TestTtl::test_reason_is_the_same_wherever_a_message_grows_old",
    ),
    "it ends at its time, a round trip later, as a task of the buffer's sees to": (
        "TestTtlInTime::test_without_anybody_waiting_it_ends_at_the_next_touch",
        "TestTtlInTime::test_buffer_has_no_task_and_no_timer",
        "TestOldAndNew::test_each_ends_at_its_own_time",
    ),
}
"""What of the tests that need a clock that jumps the shared buffer cannot be held to, and why."""

LEFT_OUT = frozenset(
    [test for what, cannot in CANNOT.items() if what != "clock" for test in cannot.tests]
    + [test for tests in NOT_OF_AGE.values() for test in tests]
)
"""What JetStream cannot promise: see ``tests/nats/capabilities.py`` as well."""


class _OnlyHost(HasLength, MemoryHost[str]): ...


class InMemory(BufferSuite):
    @asynccontextmanager
    async def make(self, **options: Any) -> AsyncIterator[Buffer]:
        with in_real_time(MOMENT), fail_after(1000):
            async with _OnlyHost(MemoryServer(), **options) as buffer:
                yield cast("Buffer", buffer)


def test_what_is_left_out_exists() -> None:
    for name in LEFT_OUT:
        suite, _, test = name.partition("[")[0].partition("::")
        assert not test or hasattr(globals()[suite], test), name


class TestConservation(InMemory, ConservationSuite): ...


class TestNoSilentLoss(InMemory, NoSilentLossSuite): ...


class TestOrder(InMemory, OrderSuite): ...


class TestPlace(InMemory, PlaceSuite): ...


class TestOverflow(InMemory, OverflowSuite): ...


class TestLeased(InMemory, LeasedSuite): ...


class TestPutMany(InMemory, PutManySuite): ...


class TestPutManyOverflow(InMemory, PutManyOverflowSuite): ...


class TestCancelledWait(InMemory, CancelledWaitSuite): ...


class TestNoCancellationPoint(InMemory, NoCancellationPointSuite): ...


class TestCancelSweep(InMemory, CancelSweepSuite): ...


class TestLease(InMemory, LeaseSuite): ...


class TestDoubt(InMemory, DoubtSuite): ...


class TestClassifiedFailure(InMemory, ClassifiedFailureSuite): ...


class TestTtl(InMemory, TtlSuite): ...


class TestTtlInTime(InMemory, TtlInTimeSuite): ...


class TestOldAndNew(InMemory, OldAndNewSuite): ...


class TestWaitNonempty(InMemory, WaitNonemptySuite): ...


class TestFlush(InMemory, FlushSuite): ...


class TestAwaitDelivery(InMemory, AwaitDeliverySuite): ...


class TestClosing(InMemory, ClosingSuite): ...


class TestAsyncWith(InMemory, AsyncWithSuite): ...
