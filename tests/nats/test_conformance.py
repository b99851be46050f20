"""The contract, as JetStream lets the shared buffer keep it: one host, in real time.

What it cannot keep is in ``capabilities.py``, with the reason; those tests are not collected.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from itertools import count
from typing import Any, cast

import pytest

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
from tests.conformance.suite_waiting import AwaitDeliverySuite, FlushSuite, WaitNonemptySuite

from .capabilities import CANNOT, LEFT_OUT
from .harness import HasLength
from .servers import Server

pytestmark = pytest.mark.anyio

MOMENT = 0.16
"""How long to wait for a server, and for those who look ten times a second whether there is room, in seconds."""
PATIENCE = 10
"""How long a test may take, in seconds."""

_names = count(1)


class OnJetStream(BufferSuite):
    @pytest.fixture(autouse=True)
    def _shared(self, server: Server) -> None:
        self._url = server.url

    @asynccontextmanager
    async def make(self, **options: Any) -> AsyncIterator[Buffer]:
        with in_real_time(MOMENT):
            async with asyncio.timeout(PATIENCE), HasLength(self._url, f"suite-{next(_names)}", **options) as buffer:
                yield cast("Buffer", buffer)


def test_what_is_left_out_exists_and_has_a_reason() -> None:
    for name in LEFT_OUT:
        suite, _, test = name.partition("[")[0].partition("::")
        if test:
            assert hasattr(globals()[suite], test), name
        else:
            assert f"Test{suite.removesuffix('Suite')}" not in globals(), name
    assert all(cannot.reason for cannot in CANNOT.values())
    assert len(LEFT_OUT) == sum(len(cannot.tests) for cannot in CANNOT.values()), "one reason is enough"


class TestConservation(OnJetStream, ConservationSuite): ...


class TestNoSilentLoss(OnJetStream, NoSilentLossSuite): ...


class TestOrder(OnJetStream, OrderSuite): ...


class TestPlace(OnJetStream, PlaceSuite): ...


class TestOverflow(OnJetStream, OverflowSuite): ...


class TestLeased(OnJetStream, LeasedSuite): ...


class TestPutMany(OnJetStream, PutManySuite): ...


class TestPutManyOverflow(OnJetStream, PutManyOverflowSuite): ...


class TestCancelledWait(OnJetStream, CancelledWaitSuite): ...


class TestNoCancellationPoint(OnJetStream, NoCancellationPointSuite): ...


class TestCancelSweep(OnJetStream, CancelSweepSuite): ...


class TestLease(OnJetStream, LeaseSuite): ...


class TestDoubt(OnJetStream, DoubtSuite): ...


class TestClassifiedFailure(OnJetStream, ClassifiedFailureSuite): ...


class TestWaitNonempty(OnJetStream, WaitNonemptySuite): ...


class TestFlush(OnJetStream, FlushSuite): ...


class TestAwaitDelivery(OnJetStream, AwaitDeliverySuite): ...


class TestClosing(OnJetStream, ClosingSuite): ...


class TestAsyncWith(OnJetStream, AsyncWithSuite): ...
