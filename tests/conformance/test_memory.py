"""The contract, as the buffer in memory keeps it."""

from __future__ import annotations

from contextlib import AbstractAsyncContextManager
from typing import Any

import pytest

from ridethrough import AsyncMessageBuffer

from .harness import Buffer, BufferSuite
from .suite_accounts import ConservationSuite, NoSilentLossSuite
from .suite_at_once import AtOncePutSuite, PutNowaitSuite
from .suite_cancellation import CancelledWaitSuite, CancelSweepSuite, NoCancellationPointSuite
from .suite_closing import AsyncWithSuite, ClosingSuite
from .suite_lease import DoubtSuite, LeaseSuite
from .suite_order import OrderSuite, PlaceSuite
from .suite_overflow import BytesSuite, LeasedSuite, OverflowSuite
from .suite_pauses import ClassifiedFailureSuite, KeySuite, PauseWakeSuite
from .suite_put_many import PutManyOverflowSuite, PutManySuite
from .suite_resume import ResumeSuite
from .suite_ttl import OldAndNewSuite, TtlInTimeSuite, TtlSuite
from .suite_waiting import AwaitDeliverySuite, FlushSuite, WaitNonemptySuite

pytestmark = pytest.mark.anyio


class InMemory(BufferSuite):
    def make(self, **options: Any) -> AbstractAsyncContextManager[Buffer]:
        return AsyncMessageBuffer[str](**options)


class TestConservation(InMemory, ConservationSuite): ...


class TestNoSilentLoss(InMemory, NoSilentLossSuite): ...


class TestOrder(InMemory, OrderSuite): ...


class TestPlace(InMemory, PlaceSuite): ...


class TestOverflow(InMemory, OverflowSuite): ...


class TestLeased(InMemory, LeasedSuite): ...


class TestBytes(InMemory, BytesSuite): ...


class TestPutMany(InMemory, PutManySuite): ...


class TestPutManyOverflow(InMemory, PutManyOverflowSuite): ...


class TestAtOncePut(InMemory, AtOncePutSuite): ...


class TestPutNowait(InMemory, PutNowaitSuite): ...


class TestCancelledWait(InMemory, CancelledWaitSuite): ...


class TestNoCancellationPoint(InMemory, NoCancellationPointSuite): ...


class TestCancelSweep(InMemory, CancelSweepSuite): ...


class TestLease(InMemory, LeaseSuite): ...


class TestDoubt(InMemory, DoubtSuite): ...


class TestClassifiedFailure(InMemory, ClassifiedFailureSuite): ...


class TestKey(InMemory, KeySuite): ...


class TestPauseWake(InMemory, PauseWakeSuite): ...


class TestResume(InMemory, ResumeSuite): ...


class TestTtl(InMemory, TtlSuite): ...


class TestTtlInTime(InMemory, TtlInTimeSuite): ...


class TestOldAndNew(InMemory, OldAndNewSuite): ...


class TestWaitNonempty(InMemory, WaitNonemptySuite): ...


class TestFlush(InMemory, FlushSuite): ...


class TestAwaitDelivery(InMemory, AwaitDeliverySuite): ...


class TestClosing(InMemory, ClosingSuite): ...


class TestAsyncWith(InMemory, AsyncWithSuite): ...
