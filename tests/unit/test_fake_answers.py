"""The answers of the daemon to test against, against the table that the real one is held against too."""

from __future__ import annotations

import pytest

from ridethrough.testing import NOTE_TO_SELF, FakeSignalDaemon
from tests.answers import CASES, NUMBER, Case, check_answers
from tests.talk import arrived

pytestmark = pytest.mark.anyio


@pytest.fixture(params=["asyncio", "trio"])
def anyio_backend(request: pytest.FixtureRequest) -> str:
    name: str = request.param
    return name


@pytest.mark.parametrize("case", CASES.values(), ids=CASES)
async def test_answers(case: Case) -> None:
    async with FakeSignalDaemon(accounts=[NUMBER] if case.account else []) as daemon:
        daemon.per_recipient.update(case.failing)
        daemon.service_reachable = case.reachable
        await check_answers(daemon.endpoint, case)
        await arrived(daemon, len(case.arrivals))
        arrivals = [arrival.target for arrival in daemon.sends if arrival.target != NOTE_TO_SELF]
        assert sorted(arrivals) == sorted(case.arrivals)
