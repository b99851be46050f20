"""Who is told of the messages that come in."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass
from itertools import count
from typing import Any

from ._clients import Client

MODES = ("on-start", "on-connection", "manual")


@dataclass(frozen=True, slots=True)
class _Subscription:
    account: str | None  # None: every account
    asked_for: bool  # by subscribeReceive, and so named in each message


class Receiving:
    """The clients, and what each has subscribed to.

    Args:
        mode: signal-cli's ``--receive-mode``: ``on-start``: whoever connects is told of messages, and what comes
            while there is nobody is lost; ``on-connection``: the same, but it waits for somebody; ``manual``: it waits
            for somebody who asks.
    """

    def __init__(self, mode: str) -> None:
        if mode not in MODES:
            raise ValueError(f"receive_mode must be one of {', '.join(MODES)}, not {mode!r}")
        self._mode = mode
        self._numbers = count()
        self._subscriptions: dict[Client, dict[int, _Subscription]] = {}
        self._waiting: deque[dict[str, Any]] = deque()

    def __len__(self) -> int:
        return sum(map(bool, self._subscriptions.values()))

    def connected(self, client: Client) -> None:
        """A client has connected."""
        self._subscriptions[client] = {}
        if self._mode != "manual":
            self._add(client, _Subscription(None, asked_for=False))

    def listening(self, client: Client, account: str | None) -> None:
        """A client waits for the messages of an account, or of all, and does nothing else."""
        self._subscriptions[client] = {}
        self._add(client, _Subscription(account, asked_for=False))

    def gone(self, client: Client) -> None:
        """A client has gone."""
        del self._subscriptions[client]

    def subscribe(self, client: Client, account: str | None) -> int:
        """A client asks for the messages of an account, or of all; returns the subscription's number."""
        return self._add(client, _Subscription(account, asked_for=True))

    def unsubscribe(self, client: Client, number: object) -> bool:
        """A client ends a subscription; False if there is none of that number."""
        return isinstance(number, int) and self._subscriptions[client].pop(number, None) is not None

    async def push(self, params: dict[str, Any]) -> None:
        """Tell who is to be told of a message."""
        told = False
        for client, subscriptions in list(self._subscriptions.items()):
            for number, subscription in list(subscriptions.items()):
                if subscription.account in (None, params["account"]):
                    told = True
                    await client.tell({"subscription": number, "result": params} if subscription.asked_for else params)
        if not told and self._mode != "on-start":
            self._waiting.append(params)

    async def push_waiting(self) -> None:
        """Tell of what waited, if there is somebody to be told by now."""
        waiting = list(self._waiting)
        self._waiting.clear()  # at once: this may run twice at the same time
        for each in waiting:
            await self.push(each)

    def _add(self, client: Client, subscription: _Subscription) -> int:
        number = next(self._numbers)
        self._subscriptions[client][number] = subscription
        return number
