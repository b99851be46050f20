"""judge.py: how long is paused, and what is told of whom is held up."""

from __future__ import annotations

import logging
from typing import Any

import pytest
from anyio import current_time, sleep

from ridethrough import Backoff
from ridethrough.signal_cli import Hold, HoldReason, ServiceStatus, Target, make_target
from ridethrough.signal_cli.judge import Judge
from tests.clocks import jumping_backends

from .test_answers import NETWORK, NUMBER, RATE_LIMIT, error, result
from .test_judge import ANNA, BERT, DEVICES, OFFLINE, UNREGISTERED, Court

pytestmark = pytest.mark.anyio


@pytest.fixture(params=[0, 1], ids=["asyncio", "trio"])
def anyio_backend(request: pytest.FixtureRequest) -> Any:
    return jumping_backends()[request.param]


# Pauses


def pauses(court: Court, count: int, target: Target = ANNA) -> list[float]:
    return [court.later(error(-1, result(NETWORK)), target).after for _ in range(count)]


async def test_pauses_of_everything_grow_whoever_they_are_met_by() -> None:
    court = Court()
    assert pauses(court, 2) + pauses(court, 1, BERT) + [court.probe_fails(OFFLINE).after] == [1, 2, 4, 8]


async def test_pauses_of_everything_start_anew_when_a_message_was_sent_and_not_when_signal_was_reached() -> None:
    court = Court()
    pauses(court, 2)
    court.judge.probed(DEVICES, unsent=True)
    assert pauses(court, 1) == [4]
    court.rejected(error(-1, result(UNREGISTERED)), BERT)
    assert pauses(court, 1) == [8], "a refusal has shown nothing"
    court.sent(BERT)
    assert pauses(court, 2) == [1, 2]


async def test_pauses_of_targets_and_of_everything_grow_apart() -> None:
    court = Court()
    assert [court.later(error(-5), target).after for target in (ANNA, ANNA, BERT, ANNA)] == [5, 10, 5, 20]
    assert pauses(court, 2) == [1, 2]
    court.sent(ANNA)
    assert [court.later(error(-5), target).after for target in (ANNA, BERT)] == [5, 10]


async def test_pauses_of_a_target_start_anew_for_another_reason() -> None:
    court = Court()
    assert [court.later(error(-5)).after for _ in range(3)] == [5, 10, 20]
    assert court.later(error(-4)).after == 30
    assert court.later(error(-5)).after == 5


# Holds


@pytest.mark.parametrize("end", ["sent", "rejected"])
async def test_hold_ends_with_the_next_success_or_rejection_of_its_target(end: str) -> None:
    court = Court()
    court.later(error(-5), ANNA)
    court.later(error(-4), BERT)
    if end == "sent":
        court.sent(ANNA)
    else:
        court.rejected(error(-1, result(UNREGISTERED)), ANNA)
    assert [hold.target for hold in court.judge.holds()] == [BERT]


async def test_hold_is_told_of_until_its_time_has_come() -> None:
    court = Court()
    court.later(error(-5))
    await sleep(4)
    assert [hold.until - current_time() for hold in court.judge.holds()] == [1]
    await sleep(1)
    assert court.judge.holds() == ()
    assert court.later(error(-5)).after == 10, "and all the same it counts"


async def test_hold_that_nobody_tries_again_is_forgotten() -> None:
    court = Court()
    for number in range(100):
        court.later(error(-5), make_target(to=f"+49170123{number:04}"))
    court.later(error(-5))
    await sleep(5 + 3599)
    court.later(error(-5), BERT)
    assert len(court.judge._holds) == 102
    await sleep(1)
    court.later(error(-5), BERT)
    assert list(court.judge._holds) == [BERT]
    assert court.later(error(-5)).after == 5


async def test_hold_shows_its_token_and_no_number() -> None:
    hold = Hold(ANNA, HoldReason.CAPTCHA, 1, 5.0, "8f1c")
    assert "8f1c" in repr(hold) and NUMBER not in repr(hold)


async def test_log_warns_of_a_hold_once_and_of_each_token(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG, "ridethrough")
    court = Court()
    for answer in (
        error(-5),
        error(-5),
        error(-5, result(RATE_LIMIT, token="1")),
        error(-5, result(RATE_LIMIT, token="1")),
        error(-5, result(RATE_LIMIT, token="2")),
        error(-5),
    ):
        court.later(answer)
    levels = [record.levelname for record in caplog.records]
    assert levels == ["WARNING", "DEBUG", "WARNING", "DEBUG", "WARNING", "WARNING"]
    assert caplog.messages[0] == "messages for <Target number +49…67> are held up for 5.0 s: rate limited"
    assert NUMBER not in caplog.text
    assert {record.name for record in caplog.records} == {"ridethrough.signal_cli"}


@pytest.mark.parametrize("on_untrusted", ["", "PARK", None, 5])
def test_on_untrusted_that_is_neither_is_refused(on_untrusted: Any) -> None:
    with pytest.raises(ValueError, match=r"^on_untrusted must be 'park' or 'reject', not "):
        Judge(ServiceStatus(), Backoff(), on_untrusted)


async def test_what_somebody_has_seen_to_is_not_held_up_and_starts_anew() -> None:
    court = Court()
    assert [court.later(error(-5), target).after for target in (ANNA, ANNA)] == [5, 10]
    assert court.judge.release(HoldReason.UNTRUSTED) == []
    assert court.judge.release(HoldReason.RATE_LIMITED) == [ANNA]
    assert court.judge.holds() == ()
    assert court.later(error(-5)).after == 0, "it was under way then, and is tried again at once"
    assert court.judge.holds() == ()
    court.judge.begin()
    assert court.later(error(-5)).after == 5
