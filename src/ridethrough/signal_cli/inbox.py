"""Inbox and Mailbox: what came in, kept for whoever wants it, and receipts, kept for whoever will ask for them."""

from __future__ import annotations

import json
from collections import OrderedDict, deque
from collections.abc import Collection
from dataclasses import dataclass, field
from hashlib import blake2b
from logging import DEBUG, WARNING, Logger
from typing import Any, Self, get_args
from weakref import WeakSet

from anyio import Event

from ..abc import Overflow
from ..errors import BufferClosed
from ..intake import policy
from ..logs import get_logger
from .checks import check_int
from .envelopes import Envelope, Receipts, ReceiptStage
from .reading import parse_notification

logger: Logger = get_logger("signal_cli")

_LARGEST_INBOX = 1_000_000
_MAX_BYTES = 64 * 2**20
"""How much JSON waits in an inbox, whatever its ``max_size``: an envelope alone may have as much as a line."""
_DOUBLES = 256
"""How many envelopes are remembered to know them again. A double comes within a few of the first one."""
_RECEIPTS = 1000
"""How many receipts are remembered: of one message by one person."""

_STAGES: tuple[ReceiptStage, ...] = get_args(ReceiptStage)
"""Whatever has come to one of them has come to those before."""


class Inbox:
    """What comes in from now on, one envelope after the other: an async iterator. Made by the client's ``messages``.

    Several readers share what there is. It ends when the client is closed, or by :meth:`close`, once what came before
    was read. An inbox that nobody holds any more is forgotten.

    **Cancellation.** A cancelled wait for the next one has taken nothing.

    Args:
        max_size: how many envelopes it keeps for a slow reader, of together at most 64 MiB of JSON.
        overflow: what to do with more: ``"drop_oldest"`` gives up the oldest, ``"drop_newest"`` what has just come.

    Attributes:
        dropped: how many it has given up so far.

    Raises:
        TypeError, ValueError: naming the argument and what is allowed.
    """

    def __init__(self, max_size: int = 1000, overflow: Overflow | str = Overflow.DROP_OLDEST) -> None:
        check_int("max_size", max_size, 1, _LARGEST_INBOX)
        if policy(overflow) not in (Overflow.DROP_OLDEST, Overflow.DROP_NEWEST):
            raise ValueError(f"overflow must be 'drop_oldest' or 'drop_newest' here, not {overflow!r}")
        self.dropped: int = 0
        self._max_size = max_size
        self._keeps_oldest = overflow == Overflow.DROP_NEWEST
        self._envelopes: deque[tuple[Envelope, int]] = deque()  # each with its size
        self._size = 0  # of all
        self._warned = False  # since it was last empty
        self._arrived: Event | None = None  # set, and forgotten, when there is another one, or the end
        self._over = False

    def __repr__(self) -> str:
        state = "closed" if self._over else "open"
        return f"<Inbox {state}, {len(self._envelopes)} of {self._max_size}, {self.dropped} dropped>"

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> Envelope:
        while not self._envelopes:
            if self._over:
                raise StopAsyncIteration
            if self._arrived is None:
                self._arrived = Event()
            await self._arrived.wait()
        envelope = self._take()
        self._warned = self._warned and bool(self._envelopes)
        return envelope

    def close(self) -> None:
        """Take no more: the iteration ends once what has come was read. Twice is once."""
        self._over = True
        self._wake()

    def _put(self, envelope: Envelope, size: int) -> None:
        """Keep an envelope, and make room for it if need be."""
        if self._over:
            return
        if self._keeps_oldest and not self._has_room(size):
            self._drop()
            return
        while not self._has_room(size):
            self._take()
            self._drop()
        self._envelopes.append((envelope, size))
        self._size += size
        self._wake()

    def _has_room(self, size: int) -> bool:
        if not self._envelopes:
            return True
        return len(self._envelopes) < self._max_size and self._size + size <= _MAX_BYTES

    def _take(self) -> Envelope:
        envelope, size = self._envelopes.popleft()
        self._size -= size
        return envelope

    def _drop(self) -> None:
        self.dropped += 1
        level = DEBUG if self._warned else WARNING
        self._warned = True
        logger.log(level, "an inbox is full: %d envelopes were dropped from it so far", self.dropped)

    def _wake(self) -> None:
        if self._arrived is not None:
            self._arrived.set()
            self._arrived = None


@dataclass(frozen=True, slots=True)
class Confirmation:
    """That a message has got so far.

    Attributes:
        kind: how far.
        when: when that was, in milliseconds since 1970.
        uuid, number: to whom, as far as the daemon says; None if it does not.
    """

    kind: ReceiptStage
    when: int
    uuid: str | None = None
    number: str | None = field(default=None, repr=False)


class _Wait:
    """Somebody waits for a receipt."""

    def __init__(self, kind: ReceiptStage, of: frozenset[str]) -> None:
        self.kind = kind
        self.of = of
        self.over = Event()
        self.confirmation: Confirmation | None = None

    def takes(self, confirmation: Confirmation) -> bool:
        """Whether it is one of those that are waited for."""
        if self.of and not self.of & {confirmation.uuid, confirmation.number}:
            return False
        return _STAGES.index(confirmation.kind) >= _STAGES.index(self.kind)


class Mailbox:
    """Hands what comes in to inboxes, and remembers receipts. One for a client, whatever becomes of its links.

    All of it belongs to one event loop; what does not wait can be called before that runs.

    Args:
        account: the number of one's own account; None: of whichever the daemon has.
    """

    def __init__(self, account: str | None) -> None:
        self._account = account
        self._inboxes: WeakSet[Inbox] = WeakSet()
        self._seen: OrderedDict[bytes, None] = OrderedDict()
        self._confirmations: OrderedDict[tuple[int, str | None], Confirmation] = OrderedDict()
        self._waits: dict[int, list[_Wait]] = {}  # by timestamp
        self._wanted = False
        self._asked: Event | None = None  # set once it is wanted
        self._closed = False

    def __repr__(self) -> str:
        state = "closed" if self._closed else "open"
        return f"<Mailbox {state}, {len(self._inboxes)} inboxes, {len(self._confirmations)} receipts>"

    def deliver(self, params: dict[str, Any]) -> None:
        """Take what a ``receive`` notification tells. It does not raise, and calls nobody.

        Args:
            params: the parameters of the notification, whatever they are.
        """
        envelope = parse_notification(params, self._account)
        if envelope is None:
            return
        try:
            text = json.dumps([envelope.account, envelope.raw], sort_keys=True).encode()
        except RecursionError:
            logger.warning("an envelope that is nested too deep was left out")
            return
        fingerprint = blake2b(text, digest_size=16).digest()
        if fingerprint in self._seen:
            return
        self._seen[fingerprint] = None
        if len(self._seen) > _DOUBLES:
            self._seen.popitem(last=False)
        if isinstance(envelope.content, Receipts):
            self._remember(envelope, envelope.content)
        for inbox in tuple(self._inboxes):
            inbox._put(envelope, len(text))

    def open_inbox(self, max_size: int = 1000, overflow: Overflow | str = Overflow.DROP_OLDEST) -> Inbox:
        """An inbox more, with what comes from now on; see :class:`Inbox`."""
        inbox = Inbox(max_size, overflow)
        if self._closed:
            inbox.close()
        self._inboxes.add(inbox)
        self._want()
        return inbox

    async def wanted(self) -> None:
        """Return as soon as anybody wants what comes in, or has wanted it. **Cancellation** changes nothing."""
        if not self._wanted:
            if self._asked is None:
                self._asked = Event()
            await self._asked.wait()

    async def wait_receipt(
        self, timestamp: int, kind: ReceiptStage = "delivery", *, of: Collection[str] = ()
    ) -> Confirmation:
        """Wait until a message of one's own has got so far, or farther. Of the last thousand receipts it finds each.

        Args:
            timestamp: when the message was sent, in milliseconds since 1970.
            kind: how far: ``"delivery"``, ``"read"`` or ``"viewed"``.
            of: whose receipts count: UUIDs and telephone numbers, as the daemon shows them. Empty: anybody's.

        Returns:
            Who has confirmed it, and when.

        Raises:
            BufferClosed: the mailbox is closed, and there is no such receipt.

        **Cancellation** changes nothing.
        """
        wait = _Wait(kind, frozenset(of))
        for (sent, _), confirmation in self._confirmations.items():
            if sent == timestamp and wait.takes(confirmation):
                return confirmation
        if not self._closed:
            self._want()
            waits = self._waits.setdefault(timestamp, [])
            waits.append(wait)
            try:
                await wait.over.wait()
            finally:
                waits.remove(wait)
                if not waits:
                    del self._waits[timestamp]
        if wait.confirmation is None:
            raise BufferClosed("the client was closed")
        return wait.confirmation

    def close(self) -> None:
        """Nothing comes any more: inboxes end once they were read, and nobody waits for a receipt. Twice is once."""
        self._closed = True
        for inbox in tuple(self._inboxes):
            inbox.close()
        for waits in self._waits.values():
            for wait in waits:
                wait.over.set()

    def _want(self) -> None:
        self._wanted = True
        if self._asked is not None:
            self._asked.set()

    def _remember(self, envelope: Envelope, receipts: Receipts) -> None:
        source = envelope.source
        confirmation = Confirmation(receipts.kind, receipts.when, source.uuid, source.number)
        for timestamp in receipts.timestamps:
            before = self._confirmations.pop((timestamp, source.address), confirmation)
            newer = _STAGES.index(confirmation.kind) > _STAGES.index(before.kind)
            self._confirmations[timestamp, source.address] = confirmation if newer else before
            if len(self._confirmations) > _RECEIPTS:
                self._confirmations.popitem(last=False)
            for wait in self._waits.get(timestamp, ()):
                if wait.confirmation is None and wait.takes(confirmation):
                    wait.confirmation = confirmation
                    wait.over.set()
