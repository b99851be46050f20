"""The real daemon and the one to test against, with the same handles."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Protocol

import pytest
from anyio.to_thread import run_sync

from ridethrough.testing import NOTE_TO_SELF, FakeSignalDaemon, Late
from tests.answers import ANNA, NUMBER
from tests.talk import arrived

from .rig import SignalRig
from .service import Delay, Ok

both = pytest.mark.parametrize("kind", ["real", "fake"])


class Daemon(Protocol):
    """What both can do, and have done to them."""

    endpoint: str
    """A UNIX socket's."""
    http: str

    async def arrivals(self, count: int) -> list[str]:
        """To whom messages have reached Signal, once there are that many."""

    def delay_next(self, seconds: float) -> None:
        """Have the next send, which is for ANNA, answered only after that time."""

    async def push_receipt(self, recipient: str, timestamp: int) -> None:
        """Have it told that a message was delivered."""

    async def stop(self) -> None: ...
    async def start(self) -> None: ...
    def freeze(self) -> None: ...
    def thaw(self) -> None: ...


class Real:
    def __init__(self, rig: SignalRig) -> None:
        self.endpoint, self.http = rig.unix, rig.http
        self.freeze, self.thaw = rig.freeze, rig.thaw
        self._rig = rig

    async def arrivals(self, count: int) -> list[str]:
        service = self._rig.service
        await run_sync(service.wait_for_sends, count)
        taken = [send.recipient for send in service.sends if isinstance(send.mode, Ok | Delay)]
        return [NUMBER if recipient == service.account.uuid else recipient for recipient in taken]

    def delay_next(self, seconds: float) -> None:
        self._rig.service.modes[ANNA] = Delay(seconds)

    async def push_receipt(self, recipient: str, timestamp: int) -> None:
        await run_sync(self._rig.service.push_receipt, recipient, timestamp)

    async def stop(self) -> None:
        await run_sync(self._rig.kill)

    async def start(self) -> None:
        await run_sync(self._rig.start)


class Fake:
    def __init__(self, fake: FakeSignalDaemon) -> None:
        self.endpoint = self.http = fake.endpoint
        self.stop, self.start, self.freeze, self.thaw = fake.stop, fake.start, fake.freeze, fake.thaw
        self._fake = fake

    async def arrivals(self, count: int) -> list[str]:
        await arrived(self._fake, count)
        return [arrival.target for arrival in self._fake.sends if arrival.target != NOTE_TO_SELF]

    def delay_next(self, seconds: float) -> None:
        self._fake.fail_next(Late(seconds))

    async def push_receipt(self, recipient: str, timestamp: int) -> None:
        receipt = {"isDelivery": True, "timestamps": [timestamp]}
        await self._fake.push({"source": recipient, "receiptMessage": receipt})


@asynccontextmanager
async def daemon_of(kind: str, rig: SignalRig, endpoint: str, receive_mode: str = "on-start") -> AsyncIterator[Daemon]:
    """The one daemon or the other.

    Args:
        kind: "real" or "fake".
        rig: the real one.
        endpoint: where the fake one listens, which has no more than one place.
        receive_mode: how both are started.
    """
    if kind == "fake":
        async with FakeSignalDaemon(endpoint, receive_mode=receive_mode) as fake:
            yield Fake(fake)
        return
    if receive_mode != "on-start":
        await run_sync(rig.kill)
        await run_sync(lambda: rig.start(receive_mode=receive_mode))
    yield Real(rig)
    if receive_mode != "on-start":
        await run_sync(rig.kill)
