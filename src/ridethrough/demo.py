"""The demo: messages sent through outages, and an account of each of them."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import AsyncExitStack
from dataclasses import asdict, dataclass
from itertools import pairwise
from typing import cast

from anyio import create_task_group, sleep

from .backoff import Backoff
from .buffer import AsyncMessageBuffer
from .delivery import Delivery, Outcome
from .errors import FlushTimeout, RidethroughError
from .signal_cli import SendResult, SignalClient, SignalMessage, Target, TextMessage, target_of
from .testing import FakeSignalDaemon, Relay
from .views import Status, View

_ROOM = 50
"""Of the buffer, in messages: little, so that it can be seen to overflow."""
_STEADY, _BURST = 20, 80
"""Messages that come one by one in each part of the demo, and all at once in the part with too many."""
_TOTAL = 4 * _STEADY + _BURST
_INTERVAL = 0.03
"""Between two messages that come one by one, in seconds."""

_Sent = Delivery[TextMessage, SendResult]


class DemoFailed(RidethroughError):
    """The demo could not be carried out."""


@dataclass(frozen=True, slots=True)
class Audit:
    """What became of every message.

    Attributes:
        accepted: how many messages the buffer accepted.
        sent, dropped, expired, rejected, unknown: how many of them ended so; whoever put them knows.
        duplicates: how often one arrived that had arrived before. With a real daemon: how many may have, as the link
            was lost under them.
        in_order: whether they arrived in the order in which they were put. With a real daemon: whether their
            timestamps say so.
        lost: how many are in none of these places, or ended as sent and did not arrive.
    """

    accepted: int
    sent: int
    dropped: int
    expired: int
    rejected: int
    unknown: int
    duplicates: int
    in_order: bool
    lost: int

    @property
    def passed(self) -> bool:
        """Whether none was lost and all are in order."""
        return self.lost == 0 and self.in_order

    def as_dict(self) -> dict[str, int | bool]:
        """For JSON."""
        return asdict(self)

    def as_text(self) -> str:
        """For people."""
        ends = ("sent", "dropped", "expired", "rejected", "unknown")
        counts = ", ".join(f"{getattr(self, end)} {end}" for end in ends if getattr(self, end))
        order = "in order" if self.in_order else "OUT OF ORDER"
        return f"{self.accepted} messages accepted: {counts}. {self.lost} lost, {self.duplicates} duplicates, {order}."


def audit(deliveries: Sequence[_Sent], arrivals: Sequence[str] | None, timestamps: Sequence[int]) -> Audit:
    """Account for every message.

    Args:
        deliveries: what was put, in that order.
        arrivals: the texts that arrived, in that order; None if nobody can tell.
        timestamps: of those that were sent, in the order in which they were put; used if nobody can tell.
    """
    count = {outcome: sum(delivery.outcome is outcome for delivery in deliveries) for outcome in Outcome}
    sent = [delivery.message.text for delivery in deliveries if delivery.outcome is Outcome.SENT]
    lost = sum(delivery.outcome is None for delivery in deliveries)
    if arrivals is None:
        duplicates = sum(delivery.maybe_sent for delivery in deliveries if delivery.outcome is Outcome.SENT)
        in_order = all(earlier < later for earlier, later in pairwise(timestamps))
    else:
        first = list(dict.fromkeys(arrivals))
        place = {delivery.message.text: delivery.id for delivery in deliveries}
        lost += len(set(sent) - set(first))
        duplicates = len(arrivals) - len(first)
        in_order = all(place[earlier] < place[later] for earlier, later in pairwise(first))
    ends = (Outcome.SENT, Outcome.DROPPED, Outcome.EXPIRED, Outcome.REJECTED, Outcome.UNKNOWN)
    figures = {end.value: count[end] for end in ends}
    return Audit(accepted=len(deliveries), **figures, duplicates=duplicates, in_order=in_order, lost=lost)


async def run_demo(
    endpoint: str | None, account: str | None, target: Target, view: View, *, patience: float = 30
) -> Audit:
    """Send messages through outages.

    Args:
        endpoint: where a real daemon listens; None: to a fake one.
        account: whose messages to send; None: of the daemon's only account.
        target: whom to send them to.
        view: shows what happens.
        patience: how long to wait for the daemon to begin with, and four times as long for the end, in seconds.

    Returns:
        What became of every message.

    Raises:
        DemoFailed: the daemon, or the account, was not there to begin with, or the messages did not go through in time.

    **Cancellation** stops it: what waits is not sent.
    """
    async with AsyncExitStack() as stack:
        fake = None
        if endpoint is None:
            fake = await stack.enter_async_context(FakeSignalDaemon())
            endpoint = fake.endpoint
        relay = await stack.enter_async_context(Relay(endpoint))
        buffer: AsyncMessageBuffer[SignalMessage] = AsyncMessageBuffer(_ROOM, key=target_of)
        client = SignalClient(
            relay.endpoint, account=account, buffer=buffer, backoff=Backoff(0.2, 1.0), close_timeout=0
        )
        await stack.enter_async_context(client)
        demo = _Demo(client, relay, target, view, patience)
        await demo.run()
        results = [await delivery for delivery in demo.deliveries if delivery.outcome is Outcome.SENT]
        arrivals = None if fake is None else [arrival.text for arrival in fake.sends]
        return audit(demo.deliveries, arrivals, [result.timestamp for result in results])


class _Demo:
    def __init__(self, client: SignalClient, relay: Relay, target: Target, view: View, patience: float) -> None:
        self._client = client
        self._relay = relay
        self._target = target
        self._view = view
        self._patience = patience
        self._reason = "there was no answer"
        self.deliveries: list[_Sent] = []

    async def run(self) -> None:
        failure: DemoFailed | None = None  # raised at the end, so that the task group does not wrap it
        async with create_task_group() as tasks:
            tasks.start_soon(self._watch_link)
            tasks.start_soon(self._refresh)
            try:
                await self._wait_connected()
                await self._play()
            except DemoFailed as error:
                failure = error
            tasks.cancel_scope.cancel()
        if failure is not None:
            raise failure

    async def _play(self) -> None:
        self._say("The link is up: messages go out as they come.")
        await self._put(_STEADY)
        self._say("The link is cut while a message is on its way: nobody knows whether it arrived.")
        self._relay.cut_next_answer()
        await self._put(_STEADY)
        self._say("The daemon goes away. Messages keep coming, and wait.")
        await self._relay.refuse()
        await self._put(_STEADY)
        self._say(f"{_BURST} messages at once, and room for {_ROOM}: the oldest are dropped, and their senders told.")
        await self._put(_BURST, interval=0)
        await sleep(1)
        self._say("The daemon is back.")
        await self._relay.accept()
        await self._put(_STEADY)
        await self._flush()
        self._say("All is done.")

    async def _put(self, count: int, interval: float = _INTERVAL) -> None:
        for _ in range(count):
            text = f"message {len(self.deliveries) + 1}"
            delivery = await self._client.buffer.put(TextMessage(self._target, text))
            self.deliveries.append(cast("_Sent", delivery))
            if interval:
                await sleep(interval)

    async def _wait_connected(self) -> None:
        try:
            await self._client.supervisor.wait_connected(self._patience)
        except TimeoutError:
            raise DemoFailed(f"no link to the daemon within {self._patience:g} s: {self._reason}") from None

    async def _flush(self) -> None:
        try:
            await self._client.buffer.flush(4 * self._patience)
        except FlushTimeout as error:
            raise DemoFailed(f"{error} after {4 * self._patience:g} s: {self._reason}") from None

    async def _watch_link(self) -> None:
        async for step in self._client.supervisor.states():
            if step.delay is not None:
                self._reason = step.reason
                self._say(f"No link ({step.reason}); the next try is in {step.delay:.1f} s.")
            elif step.state == "connected":
                self._say("There is a link.")

    async def _refresh(self) -> None:
        while True:
            self._show()
            await sleep(0.1)

    def _say(self, text: str) -> None:
        self._show()
        self._view.say(text)

    def _show(self) -> None:
        self._view.show(Status(self._client.supervisor.state, self._client.buffer.statistics(), _TOTAL))
