"""OutboxClient: puts messages into an outbox of this machine, whoever owns it, and asks what is in it."""

from __future__ import annotations

import base64
import os
import random
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from types import EllipsisType, TracebackType
from typing import TYPE_CHECKING, Any, Generic, Self, TypeVar

from anyio import Lock, current_time, sleep

from ..abc import Overflow
from ..buffer import AsyncMessageBuffer
from ..errors import StoreError, StoreLocked, check_seconds
from .door import Lines, encode_line, error_from_json, knock
from .handler import RequestHandler
from .journal import Durability, SQLiteJournal

if TYPE_CHECKING:
    from typing_extensions import TypeVar as TypeVarWithDefault

    T = TypeVarWithDefault("T", default=Any)
else:
    T = TypeVar("T")

_PAUSES = (0.01, 0.02, 0.04, 0.08, 0.16)
"""Before another try, at most, in seconds; the last again and again."""
_ONCE = frozenset({"retry", "cancel", "forget"})
"""What is not asked again if perhaps it was done: the second answer would not be true of the first."""


class _OwnerGone(Exception):
    """There will be no answer.

    Attributes:
        perhaps_done: whether what was asked for may have been done all the same.
    """

    def __init__(self, *, perhaps_done: bool) -> None:
        super().__init__(perhaps_done)
        self.perhaps_done = perhaps_done


class OutboxClient(Generic[T]):
    """A way into an outbox, as :func:`connect` makes it: through its owner's door, or as its owner.

    Use it with ``async with``, from any number of tasks of one event loop. Whoever has become the owner keeps the file
    from all others until that is left, and sends nothing: so it should not take long.
    """

    def __init__(
        self,
        journal: SQLiteJournal[T],
        make_buffer: Callable[[], AsyncMessageBuffer[T]],
        summarize: Callable[[T], dict[str, Any]] | None,
        timeout: float,
    ) -> None:
        self._journal = journal
        self._make_buffer = make_buffer
        self._summarize = summarize
        self._timeout = timeout
        self._opening = Lock()
        self._buffer: AsyncMessageBuffer[T] | None = None  # the outbox, if this owns it
        self._own: RequestHandler[T] | None = None
        self._idle: Lines | None = None  # a connection to the owner, for the next request
        self._entered = False

    async def __aenter__(self) -> Self:
        """Find the owner, or become it.

        Raises:
            StoreLocked: the outbox is in use, and nobody let this in for as long as its ``timeout``.
            StoreError: nobody owns it, and it cannot be opened.

        **Cancellation** leaves nothing open.
        """
        self._idle = await self._reach(own=True)
        self._entered = True
        return self

    async def __aexit__(
        self, exc_type: type[BaseException] | None, exc: BaseException | None, traceback: TracebackType | None
    ) -> None:
        """Let go of the outbox. **Cancellation** comes to effect afterwards."""
        self._entered = False
        if self._idle is not None:
            self._idle.socket.close()
        if self._buffer is not None:
            await self._buffer.aclose()

    @property
    def is_owner(self) -> bool:
        """Whether this owns the outbox, since nobody else did. It stays so until it is closed."""
        return self._own is not None

    async def put(
        self,
        *messages: T,
        ttl: float | EllipsisType | None = ...,
        overflow: Overflow | str | EllipsisType = ...,
    ) -> list[int]:
        """Put messages into the outbox: all of them or none. They are on the disk when it returns.

        If the owner is killed before it has answered, they are put again, and so perhaps twice.

        Args:
            messages: what to send, in this order.
            ttl: how old they may become, in seconds; None: no limit. By default what the owner's buffer says.
            overflow: what to do if there is no room. By default what the owner's buffer says. If this is the owner,
                ``wait`` is the same as ``reject``: nobody would make room.

        Returns:
            Their numbers. With ``drop_newest`` some may have ended already.

        Raises:
            BufferFull, MessageTooLarge, StoreError: as a put into the owner's buffer; none is put.
            TypeError, ValueError: a bad argument, or a message that cannot be encoded; none is put.
            StoreLocked: the outbox is in use, and nobody let this in for as long as its ``timeout``.

        **Cancellation.** If this is the owner, none is put. Otherwise nobody knows: the owner may have put them.
        """
        params: dict[str, Any] = {
            "bodies": [base64.b64encode(self._journal.encode(message)).decode() for message in messages]
        }
        if not isinstance(ttl, EllipsisType):
            params["ttl"] = ttl
        if not isinstance(overflow, EllipsisType):
            params["overflow"] = overflow
        ids: list[int] = (await self.request("put", **params))["ids"]
        return ids

    async def request(self, method: str, **params: Any) -> Any:
        """Ask for something: see :meth:`RequestHandler.answer`. The owner may take its time for the answer.

        Returns:
            Values of JSON.

        Raises:
            RuntimeError: ``wait``, while there is nobody who sends what waits.
            StoreLocked: the outbox is in use, and nobody let this in for as long as its ``timeout``.
            StoreError: ``retry``, ``cancel`` or ``forget``, and the owner was killed before it answered: perhaps it
                was done. All else is asked again then.
            Exception: as the owner raised it; nothing has changed then.

        **Cancellation.** If this is the owner, as there. Otherwise it may be done all the same.
        """
        while True:
            if not self._entered:
                raise RuntimeError("an OutboxClient is used within its async with")
            connection = await self._reach(own=method != "wait")
            if connection is None:
                if self._own is None or method == "wait":
                    raise RuntimeError(f"nobody sends what waits in {self._journal.path}: its owner does not run")
                if params.get("overflow") == Overflow.WAIT:
                    params["overflow"] = Overflow.REJECT  # nobody makes room as long as this keeps all others out
                return await self._own.answer(method, params)
            try:
                return await self._ask(connection, method, params)
            except _OwnerGone as gone:
                if gone.perhaps_done and method in _ONCE:
                    raise StoreError(
                        f"the owner of {self._journal.path} ended before it answered: see whether that was done"
                    ) from None
            await sleep(random.uniform(0, _PAUSES[-1]))  # noqa: S311

    async def _reach(self, *, own: bool) -> Lines | None:
        """A connection to the owner; None once this is the owner, or if that is not wanted and there is none.

        Raises:
            StoreLocked: the outbox is in use, and nobody let this in for as long as ``timeout``.
        """
        deadline = current_time() + self._timeout
        pauses = iter(_PAUSES)
        pause = 0.0
        while self._own is None:
            idle, self._idle = self._idle, None
            if idle is not None:
                return idle
            door = knock(self._journal.path)
            if door is not None:
                return Lines(door)
            locked = None
            if own:
                async with self._opening:
                    locked = await self._open()
                if locked is None:
                    break
            if current_time() >= deadline:
                if locked is None:
                    break
                raise _not_let_in(self._journal.path, self._timeout, locked) from locked
            pause = next(pauses, pause)
            await sleep(random.uniform(0, pause))  # noqa: S311
        return None

    async def _open(self) -> StoreLocked | None:
        """Become the owner, unless another task has seen to that; returns the error if somebody else is."""
        if self._own is None:
            buffer = self._make_buffer()
            try:
                await buffer.__aenter__()
            except StoreLocked as locked:
                return locked
            self._buffer = buffer
            self._own = RequestHandler(buffer, self._journal, summarize=self._summarize)
        return None

    async def _ask(self, connection: Lines, method: str, params: dict[str, Any]) -> Any:
        """Send a request to the owner, and return or raise its answer.

        Raises:
            _OwnerGone: there will be none.
        """
        sent = usable = False
        try:
            line = encode_line({"id": 1, "method": method, "params": params})
            with suppress(ConnectionError):  # what the owner said last can be read all the same
                await connection.write(line)
                sent = True
            try:
                answer = await connection.read()
            except (EOFError, ValueError):
                raise _OwnerGone(perhaps_done=sent) from None
            if "closing" in answer:
                raise _OwnerGone(perhaps_done=False)
            usable = self._idle is None and self._entered
            if "error" in answer:
                raise error_from_json(answer["error"])
            return answer["result"]
        finally:
            if usable:
                self._idle = connection
            else:
                connection.socket.close()


def connect(
    path: str | os.PathLike[str],
    *,
    max_size: int = 10_000,
    overflow: Overflow | str = Overflow.REJECT,
    durability: Durability = "power-safe",
    encode: Callable[[T], bytes] | None = None,
    decode: Callable[[bytes], T] | None = None,
    summarize: Callable[[T], dict[str, Any]] | None = None,
    timeout: float = 10.0,
) -> OutboxClient[T]:
    """A way into an outbox for a program that does not send what is in it.

    ::

        async with connect("outbox.db") as outbox:
            await outbox.put("hello", "world")

    If the owner serves it (:func:`serve`), all goes through the owner. If nobody has it open, this opens it. If it is
    open and nobody opens the door, the owner is about to start or to close, or another program is at it in this way,
    and this tries again.

    Args:
        path: the file, as for :class:`SQLiteJournal`.
        max_size, overflow: what the outbox holds at most, and what to do if that is reached, when this is the owner;
            ``wait`` is the same as ``reject`` then.
        durability: as for :class:`SQLiteJournal`, when this is the owner.
        encode, decode: as for :class:`SQLiteJournal`, and the same as the owner's.
        summarize: what a list shows of a message, when this is the owner, as for :func:`serve`.
        timeout: for how long to try to get in, in seconds; 0: once.

    Returns:
        The client, to be entered with ``async with``.

    Raises:
        TypeError, ValueError: naming the argument and what is allowed.
    """
    check_seconds("timeout", timeout, zero=True)
    journal = SQLiteJournal[T](path, durability=durability, encode=encode, decode=decode)
    overflow = Overflow.REJECT if overflow == Overflow.WAIT else overflow

    def make_buffer() -> AsyncMessageBuffer[T]:
        return AsyncMessageBuffer[T](max_size, overflow=overflow, journal=journal)

    make_buffer()  # raises here if an argument is wrong
    return OutboxClient(journal, make_buffer, summarize, timeout)


async def put(
    path: str | os.PathLike[str],
    message: T,
    *,
    ttl: float | EllipsisType | None = ...,
    overflow: Overflow | str | EllipsisType = ...,
    max_size: int = 10_000,
    durability: Durability = "power-safe",
    encode: Callable[[T], bytes] | None = None,
    decode: Callable[[bytes], T] | None = None,
    timeout: float = 10.0,
) -> int:
    """Put one message into an outbox of this machine, whoever owns it: see :func:`connect`.

    Args:
        path: the file.
        message: what to send.
        ttl, overflow: as for :meth:`OutboxClient.put`.
        max_size, durability, encode, decode, timeout: as for :func:`connect`.

    Returns:
        The message's number. It is on the disk now.

    Raises:
        BufferFull, MessageTooLarge, StoreError, TypeError, ValueError: it was not put.

    **Cancellation.** If nobody else owns the outbox, it was not put. Otherwise nobody knows: it may have been.
    """
    client = connect(path, max_size=max_size, durability=durability, encode=encode, decode=decode, timeout=timeout)
    async with client:
        (number,) = await client.put(message, ttl=ttl, overflow=overflow)
    return number


def _not_let_in(path: Path, timeout: float, locked: StoreLocked) -> StoreLocked:
    by = "another program" if locked.owner is None else f"process {locked.owner}"
    return StoreLocked(
        f"{path} is in use by {by}, which has let nobody in for {timeout:g} s: end it, or have it serve the outbox",
        owner=locked.owner,
    )
