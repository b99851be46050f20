"""Stream: one stream of JetStream, and the steps on its messages that any stream has."""

from __future__ import annotations

import json
from base64 import b64decode
from itertools import islice
from typing import Any, NamedTuple

from .failures import Refused
from .tasks import together
from .wire import Wire

_NO_MESSAGE = {10037, 10043, 10057}
_DETAILS = 10_000
"""Up to how many gaps in a stream to ask where they are."""
_AT_ONCE = 50
"""How many messages to ask for at a time, where all are wanted."""


class Kept(NamedTuple):
    """A message in a stream."""

    number: int
    subject: str
    body: bytes
    headers: dict[str, str]

    def __repr__(self) -> str:
        return f"<Kept {self.number}: {len(self.body)} bytes>"


class Contents(NamedTuple):
    """What is in a stream."""

    messages: int
    first: int
    last: int
    deleted: frozenset[int]
    """Numbers between the first and the last that are not there any more; of very many, none."""

    def has(self, number: int) -> bool:
        """Whether that message is there, as far as this tells."""
        return bool(self.messages) and number >= self.first and number not in self.deleted

    def count(self, last: int) -> int:
        """How many are there up to that one; of a stream with very many gaps, at most."""
        before = max(0, last + 1 - self.first) - sum(number <= last for number in self.deleted)
        return min(self.messages, before)


class Stream:
    """One stream. All of its steps can be tried again after they were lost.

    Args:
        wire: leads to it.
        name: which one it is.
        subjects: of its messages, as a pattern.
    """

    def __init__(self, wire: Wire, name: str, subjects: str) -> None:
        self._wire = wire
        self._name = name
        self._subjects = subjects

    async def look(self, number: int) -> Kept | None:
        """The message of that number; None: it is not there."""
        return await self._get(seq=number)

    async def next(self, number: int) -> Kept | None:
        """The first message from that number on."""
        return await self._get(seq=number, next_by_subj=self._subjects)

    async def newest(self, subject: str) -> Kept | None:
        """The last message of a subject."""
        return await self._get(last_by_subj=subject)

    async def all(self) -> list[Kept]:
        """All of its messages, in order. What comes or goes meanwhile is among them or not."""
        contents = await self.contents()
        if contents.last - contents.first >= contents.messages + _DETAILS:  # nearly nothing but gaps
            return await self._one_after_the_other()
        numbers = (number for number in range(contents.first, contents.last + 1) if contents.has(number))
        found: list[Kept] = []
        while some := list(islice(numbers, _AT_ONCE)):
            found += filter(None, await together(*map(self.look, some)))
        return found

    async def _one_after_the_other(self) -> list[Kept]:
        found: list[Kept] = []
        while (kept := await self.next(found[-1].number + 1 if found else 1)) is not None:
            found.append(kept)
        return found

    async def contents(self) -> Contents:
        """What is in it."""
        subject = f"$JS.API.STREAM.INFO.{self._name}"
        state = (await self._wire.call(subject))["state"]
        if 0 < state.get("num_deleted", 0) <= _DETAILS:
            state = (await self._wire.call(subject, json.dumps({"deleted_details": True}).encode()))["state"]
        deleted = frozenset(state.get("deleted") or ())
        return Contents(int(state["messages"]), int(state["first_seq"]), int(state["last_seq"]), deleted)

    async def delete(self, number: int) -> bool:
        """Take a message out; False: it was not there."""
        try:
            await self._wire.call(f"$JS.API.STREAM.MSG.DELETE.{self._name}", json.dumps({"seq": number}).encode())
        except Refused as refused:
            if refused.code in _NO_MESSAGE:
                return False
            raise
        return True

    async def purge(self, subject: str) -> int:
        """Take all messages of a subject out, and return how many there were."""
        document = json.dumps({"filter": subject}).encode()
        return int((await self._wire.call(f"$JS.API.STREAM.PURGE.{self._name}", document))["purged"])

    async def _get(self, **which: Any) -> Kept | None:
        """From the leader: a follower that answers may be behind."""
        try:
            answer = await self._wire.call(f"$JS.API.STREAM.MSG.GET.{self._name}", json.dumps(which).encode())
        except Refused as refused:
            if refused.code in _NO_MESSAGE:
                return None
            raise
        message = answer["message"]
        return Kept(
            int(message["seq"]),
            message["subject"],
            b64decode(message.get("data") or ""),
            _headers(b64decode(message.get("hdrs") or "")),
        )


def _headers(raw: bytes) -> dict[str, str]:
    pairs = (line.partition(":") for line in raw.decode().split("\r\n")[1:] if line)
    return {name.strip(): value.strip() for name, _, value in pairs}
