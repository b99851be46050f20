"""The contract, as the buffer with a journal on disk keeps it: all of it, but that a put takes its time."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pytest

from ridethrough import AsyncMessageBuffer
from ridethrough.sqlite import Durability, SQLiteJournal
from tests.journals import clocks_held_by

from .harness import Buffer, BufferSuite
from .suite_accounts import ConservationSuite, NoSilentLossSuite
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
from .suite_written import PutIsWrittenSuite

pytestmark = pytest.mark.anyio


class OnDisk(BufferSuite):
    durability: Durability = "process-safe"

    @asynccontextmanager
    async def make(self, **options: Any) -> AsyncIterator[Buffer]:
        with TemporaryDirectory() as folder:
            journal = SQLiteJournal[str](Path(folder, "outbox.db"), durability=self.durability)
            buffer = AsyncMessageBuffer[str](journal=journal, **options)
            with clocks_held_by(buffer):
                async with buffer:
                    yield buffer


class OnDiskForPowerCuts(OnDisk):
    durability = "power-safe"


class TestConservation(OnDisk, ConservationSuite): ...


class TestNoSilentLoss(OnDisk, NoSilentLossSuite): ...


class TestOrder(OnDisk, OrderSuite): ...


class TestPlace(OnDisk, PlaceSuite): ...


class TestOverflow(OnDisk, OverflowSuite): ...


class TestLeased(OnDisk, LeasedSuite): ...


class TestBytes(OnDisk, BytesSuite): ...


class TestPutMany(OnDisk, PutManySuite): ...


class TestPutManyOverflow(OnDisk, PutManyOverflowSuite): ...


class TestCancelledWait(OnDisk, CancelledWaitSuite): ...


class TestNoCancellationPoint(OnDisk, NoCancellationPointSuite): ...


class TestCancelSweep(OnDisk, CancelSweepSuite): ...


class TestLease(OnDisk, LeaseSuite): ...


class TestDoubt(OnDisk, DoubtSuite): ...


class TestClassifiedFailure(OnDisk, ClassifiedFailureSuite): ...


class TestKey(OnDisk, KeySuite): ...


class TestPauseWake(OnDisk, PauseWakeSuite): ...


class TestResume(OnDisk, ResumeSuite): ...


class TestTtl(OnDisk, TtlSuite): ...


class TestTtlInTime(OnDisk, TtlInTimeSuite): ...


class TestOldAndNew(OnDisk, OldAndNewSuite): ...


class TestWaitNonempty(OnDisk, WaitNonemptySuite): ...


class TestFlush(OnDisk, FlushSuite): ...


class TestAwaitDelivery(OnDisk, AwaitDeliverySuite): ...


class TestClosing(OnDisk, ClosingSuite): ...


class TestAsyncWith(OnDisk, AsyncWithSuite): ...


class TestPutIsWritten(OnDisk, PutIsWrittenSuite): ...


class TestConservationForPowerCuts(OnDiskForPowerCuts, ConservationSuite): ...


class TestOrderForPowerCuts(OnDiskForPowerCuts, OrderSuite): ...


class TestPutIsWrittenForPowerCuts(OnDiskForPowerCuts, PutIsWrittenSuite): ...
