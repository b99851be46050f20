"""The answers of the daemon to test against, against the table that the real one is held against too."""

from __future__ import annotations

import pytest

from ridethrough.testing import NOTE_TO_SELF, FakeSignalDaemon
from tests import answers_of_methods
from tests.answers import ACQUAINTANCES, ANNA, BERT, CASES, FRIENDS, NUMBER, Case, check_answers
from tests.talk import arrived

pytestmark = pytest.mark.anyio


@pytest.fixture(params=["asyncio", "trio"])
def anyio_backend(request: pytest.FixtureRequest) -> str:
    name: str = request.param
    return name


ALL = CASES | answers_of_methods.CASES


@pytest.mark.parametrize("case", ALL.values(), ids=ALL)
async def test_answers(case: Case) -> None:
    async with FakeSignalDaemon(accounts=[NUMBER]) as daemon:
        daemon.call("send", {"recipient": list(ACQUAINTANCES), "message": "hello"})
        daemon.sends.clear()
        daemon.accounts = [NUMBER] if case.account else []
        daemon.groups[FRIENDS] = (ANNA, BERT)
        daemon.per_recipient.update(case.failing)
        daemon.service_reachable, daemon.service_status = case.reachable, case.status
        await check_answers(daemon.endpoint, case)
        await arrived(daemon, len(case.arrivals))
        arrivals = [arrival.target for arrival in daemon.sends if arrival.target != NOTE_TO_SELF]
        assert sorted(arrivals) == sorted(case.arrivals)
