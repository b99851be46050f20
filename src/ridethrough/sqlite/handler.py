"""RequestHandler: what can be asked of an outbox without owning it, and the answers, as values of JSON."""

from __future__ import annotations

import base64
import json
import os
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import fields, is_dataclass
from typing import Any, Generic, TypeVar

from ..abc import DeadLetter, Journal
from ..buffer import AsyncMessageBuffer
from ..delivery import Delivery, Outcome
from ..errors import Undelivered, describe

T = TypeVar("T")

PARAMS: dict[str, tuple[str, ...]] = {
    "put": ("bodies", "ttl", "overflow"),
    "wait": ("id",),
    "status": (),
    "waiting": ("after", "limit"),
    "dead_letters": ("after", "limit"),
    "retry": ("ids",),
    "cancel": ("ids",),
    "forget": ("ids",),
}
"""The methods, and the parameters that each of them takes."""
_PAGE = 100


class RequestHandler(Generic[T]):
    """Answers the requests of one client, whether they come through a door or from this process.

    Args:
        buffer: the outbox: entered, and with a journal.
        journal: that journal.
        summarize: makes of a message what a list shows of it: values of JSON, and never a whole attachment. By
            default ``{"message": message}``.
        about: what ``status`` tells besides: values of JSON.
    """

    def __init__(
        self,
        buffer: AsyncMessageBuffer[T],
        journal: Journal[T],
        *,
        summarize: Callable[[T], dict[str, Any]] | None = None,
        about: Callable[[], dict[str, Any]] | None = None,
    ) -> None:
        self._buffer = buffer
        self._journal = journal
        self._summarize = summarize or (lambda message: {"message": message})
        self._about = about or dict
        self._last_put: dict[int, Delivery[T]] = {}

    async def answer(self, method: str, params: dict[str, Any]) -> Any:
        """Do what is asked for.

        Args:
            method: one of these:

                - ``put``: ``bodies``, a list of what the journal's ``encode`` makes of messages, in base64; perhaps
                  ``ttl`` and ``overflow``. All are put, or none. Gives ``{"ids": […]}``.
                - ``wait``: ``id``. Returns once that message has ended: ``{"outcome", "reason", "attempts",
                  "maybe_sent", "result"}``, the result of its acknowledgement being null where JSON cannot take it.
                  What has ended before is known of the last put of the same client, and of dead letters; the outcome
                  of any other is null: it does not wait, and nobody knows any more.
                - ``status``: gives ``{"owner", "statistics", "max_size", "dead_letters"}``: the number of the process,
                  what :class:`~ridethrough.BufferStatistics` counts, and how many dead letters there are.
                - ``waiting``: the messages that have not ended, in order: a list of ``{"id", "attempts", "maybe_sent",
                  "summary"}``. The first ``limit`` (by default 100) of those with a number above ``after``.
                - ``dead_letters``: likewise, each also with ``"outcome"``, ``"reason"`` and ``"ended_at"``.
                - ``retry``: ``ids`` of dead letters, which are put again, all or none. Gives the new ``{"ids": […]}``.
                - ``cancel``: ``ids`` of messages. Gives ``{"cancelled": […]}``, those of them that were in time.
                - ``forget``: ``ids`` of dead letters. Gives ``{"forgotten": n}``, how many there were.
            params: its parameters by name.

        Returns:
            Values of JSON.

        Raises:
            TypeError, ValueError: naming the parameter and what is allowed; nothing has changed.
            LookupError: ``retry`` of what is no dead letter; nothing has changed.
            Exception: what the buffer raises, or the journal's ``decode``; nothing has changed.

        **Cancellation.** If ``put`` raises a cancellation, nothing was put.
        """
        if method not in PARAMS:
            raise ValueError(f"method must be one of {', '.join(PARAMS)}, not {method!r}")
        if unknown := params.keys() - set(PARAMS[method]):
            allowed = ", ".join(PARAMS[method]) or "no parameters"
            raise TypeError(f"{method} takes {allowed}, and not {', '.join(sorted(unknown))}")
        return await getattr(self, f"_{method}")(params)

    async def _put(self, params: dict[str, Any]) -> dict[str, Any]:
        messages = [self._journal.decode(body) for body in _bodies(params.get("bodies"))]
        ttl, overflow = params.get("ttl", ...), params.get("overflow", ...)
        deliveries = await self._buffer.put_many(messages, ttl=ttl, overflow=overflow)
        self._last_put = {delivery.id: delivery for delivery in deliveries}
        return {"ids": list(self._last_put)}

    async def _wait(self, params: dict[str, Any]) -> dict[str, Any]:
        number = _whole("id", params.get("id"), at_least=1)
        delivery = self._last_put.get(number) or next((d for d in self._buffer.waiting() if d.id == number), None)
        if delivery is not None:
            result = None
            with suppress(Undelivered):
                result = await delivery
            with suppress(TypeError, ValueError, RecursionError):
                return _fate(delivery, delivery.outcome, _plain(result))
            return _fate(delivery, delivery.outcome, None)
        for letter in await self._buffer.dead_letters():
            if letter.id == number:
                return _fate(letter, letter.outcome, None)
        return {"outcome": None, "reason": "", "attempts": 0, "maybe_sent": False, "result": None}

    async def _status(self, _: dict[str, Any]) -> dict[str, Any]:
        return {
            "owner": os.getpid(),
            "statistics": self._buffer.statistics()._asdict(),
            "max_size": self._buffer.max_size,
            "dead_letters": len(await self._buffer.dead_letters()),
            **_plain(self._about()),
        }

    async def _waiting(self, params: dict[str, Any]) -> list[dict[str, Any]]:
        return [
            {**_attempts(delivery), "summary": self._summary(delivery.message)}
            for delivery in _page(self._buffer.waiting(), params)
        ]

    async def _dead_letters(self, params: dict[str, Any]) -> list[dict[str, Any]]:
        return [
            {
                **_attempts(letter),
                "outcome": letter.outcome,
                "reason": letter.reason,
                "ended_at": letter.ended_at,
                "summary": self._summary_of(letter),
            }
            for letter in _page(await self._buffer.dead_letters(), params)
        ]

    async def _retry(self, params: dict[str, Any]) -> dict[str, Any]:
        deliveries = await self._buffer.put_again(*_ids(params))
        return {"ids": [delivery.id for delivery in deliveries]}

    async def _cancel(self, params: dict[str, Any]) -> dict[str, Any]:
        ids = set(_ids(params))
        return {"cancelled": [d.id for d in self._buffer.waiting() if d.id in ids and d.cancel()]}

    async def _forget(self, params: dict[str, Any]) -> dict[str, Any]:
        return {"forgotten": await self._buffer.forget(*_ids(params))}

    def _summary(self, message: T) -> Any:
        """What a list shows of a message. One that cannot be shown holds up none of the others."""
        try:
            return _plain(self._summarize(message))
        except Exception as error:
            return {"error": f"cannot be shown: {describe(error)}"}

    def _summary_of(self, letter: DeadLetter) -> Any:
        try:
            message = self._journal.decode(letter.body)
        except Exception as error:
            return {"error": f"cannot be decoded: {describe(error)}"}
        return self._summary(message)


def _attempts(message: Delivery[Any] | DeadLetter) -> dict[str, Any]:
    return {"id": message.id, "attempts": message.attempts, "maybe_sent": message.maybe_sent}


def _fate(message: Delivery[Any] | DeadLetter, outcome: Outcome | None, result: Any) -> dict[str, Any]:
    attempts = {"attempts": message.attempts, "maybe_sent": message.maybe_sent}
    return {"outcome": outcome, "reason": message.reason, **attempts, "result": result}


def _plain(value: Any) -> Any:
    """The value as JSON gives it back, dataclasses as dicts; raises TypeError or ValueError where it cannot."""
    return json.loads(json.dumps(value, default=_as_dict, allow_nan=False))


def _as_dict(value: Any) -> dict[str, Any]:
    if is_dataclass(value) and not isinstance(value, type):
        return {field.name: getattr(value, field.name) for field in fields(value)}
    raise TypeError(f"JSON has no {type(value).__name__}")


_M = TypeVar("_M", Delivery[Any], DeadLetter)


def _page(messages: list[_M], params: dict[str, Any]) -> Iterator[_M]:
    after = _whole("after", params.get("after", 0), at_least=0)
    limit = _whole("limit", params.get("limit", _PAGE), at_least=1)
    return iter([message for message in messages if message.id > after][:limit])


def _bodies(value: Any) -> list[bytes]:
    allowed = "bodies must be a list of strings in base64"
    if not isinstance(value, list) or not all(isinstance(each, str) for each in value):
        raise TypeError(allowed)
    try:
        return [base64.b64decode(each, validate=True) for each in value]
    except ValueError:
        raise ValueError(allowed) from None


def _ids(params: dict[str, Any]) -> list[int]:
    value = params.get("ids")
    if not isinstance(value, list):
        raise TypeError(f"ids must be a list of numbers of messages, not {type(value).__name__}")
    return [_whole("ids", each, at_least=1) for each in value]


def _whole(name: str, value: Any, *, at_least: int) -> int:
    if type(value) is not int:  # and no bool
        raise TypeError(f"{name} must be an int of at least {at_least}, not {type(value).__name__}")
    if value < at_least:
        raise ValueError(f"{name} must be an int of at least {at_least}, not {value}")
    return value
