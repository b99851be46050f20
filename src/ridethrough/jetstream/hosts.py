"""Hosts: what they tell each other of the messages that one has put and another has ended."""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Generic, TypeVar

from ..delivery import Outcome
from ..logs import get_logger
from .books import Books, Fate
from .headers import AGAIN, HEADROOM, putter, tale, told
from .layout import Layout
from .wire import Wire

if TYPE_CHECKING:
    from nats.aio.msg import Msg

T = TypeVar("T")

_log: logging.Logger = get_logger("jetstream")


class Hosts(Generic[T]):
    """Tells the others, and hears from them. What is lost of it, the one that has put a message looks for.

    Args:
        wire, layout, books: as their names say.
        host: this one's name.
        encode_result, decode_result: as for the buffer.
    """

    def __init__(
        self,
        wire: Wire,
        layout: Layout,
        books: Books[T],
        host: str,
        *,
        encode_result: Callable[[Any], bytes],
        decode_result: Callable[[bytes], Any],
    ) -> None:
        self._wire = wire
        self._layout = layout
        self._books = books
        self._host = host
        self._encode_result = encode_result
        self._decode_result = decode_result

    async def listen(self) -> None:
        """Begin to hear what others tell of messages that were put here, and of all that were put again."""
        for host in (self._host, AGAIN):
            await self._wire.subscribe(self._layout.ended(host), self._hear)

    async def tell(self, name: str, fate: Fate) -> None:
        """Tell whoever has put the message of that name what became of it, if that is another one.

        Raises:
            Lost: there is no connection.
        """
        host = putter(name)
        if host is None or host == self._host:
            return
        await self._wire.send(self._layout.ended(host), tale(name, fate, self._encoded(fate)))

    def _encoded(self, fate: Fate) -> bytes | None:
        """The result of an acknowledgement, for another host; None: there is none, or it cannot be told."""
        if fate.outcome is not Outcome.SENT or fate.result is None:
            return None
        try:
            result = self._encode_result(fate.result)
        except Exception as error:
            _log.debug("a result is not told to the host that put the message: %s", type(error).__name__)
            return None
        return result if len(result) < (self._wire.max_payload - HEADROOM) * 3 // 4 else None  # for base64 takes more

    def _hear(self, message: Msg) -> None:
        try:
            name, fate = told(message.data)
            if isinstance(fate.result, bytes):
                fate = fate._replace(result=self._decode_result(fate.result))
        except Exception as error:
            _log.warning("what another host has told cannot be read: %s", type(error).__name__)
        else:
            self._books.hear(name, fate)
