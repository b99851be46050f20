"""Streams: what the shared buffer keeps its messages in, made where it is missing, and checked where it is not."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator
from typing import Any, NamedTuple

from ..errors import StoreAway, StoreError
from .failures import Lost, Refused
from .wire import Wire

OLDEST = (2, 11)
"""The oldest version of NATS that will do."""

_NANO = 1_000_000_000

_NOT_FOUND = {10014, 10059}
_NO_CLUSTER = 10074
_THERE_WITH_ANOTHER_CONFIGURATION = {10058, 10148}


class Layout(NamedTuple):
    """Which streams there are, and how they are to be."""

    name: str
    max_size: int
    max_bytes: int | None
    partitions: int
    lease_time: float
    put_timeout: float
    max_dead_letters: int
    replicas: int | None

    @property
    def dead(self) -> str:
        """The stream of dead letters."""
        return f"{self.name}-dead"

    @property
    def state(self) -> str:
        """The stream of what is known of messages that were given back."""
        return f"{self.name}-state"

    def inlet(self, partition: int) -> str:
        """The subject of messages of a partition."""
        return f"{self.name}.in.{partition}"

    def consumer(self, partition: int) -> str:
        """The consumer that hands them out."""
        return f"sender-{partition}"

    def of_dead(self, number: int | str) -> str:
        """The subject of a message's dead letter."""
        return f"{self.name}.dead.{number}"

    def of_state(self, number: int) -> str:
        """The subject of what is known of a message."""
        return f"{self.name}.state.{number}"

    def ended(self, host: str) -> str:
        """The subject on which a host learns what became of the messages that it put."""
        return f"{self.name}.ended.{host}"

    @property
    def window(self) -> float:
        """For how long JetStream has to know a message again that is put once more, in seconds."""
        return max(120.0, 2 * self.put_timeout)


async def prepare(wire: Wire, layout: Layout, timeout: float) -> None:
    """Make the streams and consumers that are missing, and check those that are there.

    Raises:
        StoreError: the server is too old, or something that is there is not as it must be: the text names all of it.
        StoreAway: there was no answer in time.
    """
    if wire.version < OLDEST:
        raise StoreError(
            f"the NATS server has version {'.'.join(map(str, wire.version))} and must have {'.'.join(map(str, OLDEST))}"
        )
    until = asyncio.get_running_loop().time() + timeout
    problems: list[str] = []
    try:
        for wanted in (_queue(layout), _dead(layout), _state(layout)):
            problems += await _stream(wire, layout, wanted, until)
        if not problems:
            problems += await _consumers(wire, layout, until)
    except Refused as refused:
        raise StoreError(f"JetStream refuses: {refused}") from None
    except Lost as lost:
        raise StoreAway(f"JetStream did not answer in {timeout:g} s: {lost}") from None
    if problems:
        raise StoreError("; ".join(problems) + "; nothing was changed")


def _queue(layout: Layout) -> dict[str, Any]:
    return {
        "name": layout.name,
        "subjects": [layout.inlet(partition) for partition in range(layout.partitions)],
        "retention": "workqueue",
        "storage": "file",
        "discard": "new",
        "max_msgs": layout.max_size,
        "max_bytes": -1 if layout.max_bytes is None else layout.max_bytes,
        "max_age": 0,
        "max_msgs_per_subject": -1,
        "duplicate_window": int(layout.window * _NANO),
    }


def _dead(layout: Layout) -> dict[str, Any]:
    return {
        "name": layout.dead,
        "subjects": [layout.of_dead("*")],
        "retention": "limits",
        "storage": "file",
        "discard": "old",
        "max_msgs": layout.max_dead_letters,
        "max_bytes": -1,
        "duplicate_window": int(layout.window * _NANO),
    }


def _state(layout: Layout) -> dict[str, Any]:
    return {
        "name": layout.state,
        "subjects": [f"{layout.name}.state.*"],
        "retention": "limits",
        "storage": "file",
        "discard": "old",
        "max_msgs": 10 * layout.max_size,  # one for each that was given back, and a few that nobody could remove
        "max_msgs_per_subject": 1,
        "max_age": 0,
    }


def _consumer(layout: Layout, partition: int) -> dict[str, Any]:
    return {
        "durable_name": layout.consumer(partition),
        "filter_subject": layout.inlet(partition),
        "deliver_policy": "all",
        "ack_policy": "explicit",
        "ack_wait": int(layout.lease_time * _NANO),
        "max_ack_pending": 1,
        "max_deliver": -1,
        "replay_policy": "instant",
    }


async def _stream(wire: Wire, layout: Layout, wanted: dict[str, Any], until: float) -> list[str]:
    name = wanted["name"]
    found = await _find(wire, f"STREAM.INFO.{name}", until)
    if found is None:
        replicas = layout.replicas or 3
        try:
            found = await _make(wire, f"STREAM.CREATE.{name}", {**wanted, "num_replicas": replicas}, until)
        except Refused as refused:
            if refused.code != _NO_CLUSTER or layout.replicas is not None:
                raise
            found = await _make(wire, f"STREAM.CREATE.{name}", {**wanted, "num_replicas": 1}, until)
    if layout.replicas is not None:
        wanted = {**wanted, "num_replicas": layout.replicas}
    return [f"stream {name}: {each}" for each in _differences(found["config"], wanted)]


async def _consumers(wire: Wire, layout: Layout, until: float) -> list[str]:
    names = [layout.consumer(partition) for partition in range(layout.partitions)]
    listed = await wire.insist(lambda: wire.call(f"$JS.API.CONSUMER.NAMES.{layout.name}"), until)
    problems = [
        f"stream {layout.name}: consumer {other} must not be there with partitions={layout.partitions}"
        for other in sorted(set(listed["consumers"] or ()) - set(names))
    ]
    for partition, name in enumerate(names):
        wanted = _consumer(layout, partition)
        found = await _find(wire, f"CONSUMER.INFO.{layout.name}.{name}", until)
        if found is None:
            document = {"stream_name": layout.name, "config": {**wanted, "name": name}}
            found = await _make(wire, f"CONSUMER.CREATE.{layout.name}.{name}", document, until)
        problems += [f"consumer {name}: {each}" for each in _differences(found["config"], wanted)]
    return problems


async def _find(wire: Wire, subject: str, until: float) -> dict[str, Any] | None:
    try:
        return await wire.insist(lambda: wire.call(f"$JS.API.{subject}"), until)
    except Refused as refused:
        if refused.code in _NOT_FOUND:
            return None
        raise


async def _make(wire: Wire, subject: str, document: dict[str, Any], until: float) -> dict[str, Any]:
    body = json.dumps(document).encode()
    try:
        return await wire.insist(lambda: wire.call(f"$JS.API.{subject}", body), until)
    except Refused as refused:
        if refused.code not in _THERE_WITH_ANOTHER_CONFIGURATION:
            raise
        found = await _find(wire, subject.replace(".CREATE.", ".INFO."), until)  # another host was quicker
        if found is None:
            raise
        return found


def _differences(found: dict[str, Any], wanted: dict[str, Any]) -> Iterator[str]:
    """What is not as it must be, in words."""
    for key, value in wanted.items():
        there = found.get(key)
        if key in ("duplicate_window", "ack_wait"):
            if (there or 0) < value:
                yield f"{key} is {(there or 0) / _NANO:g} s and must be at least {value / _NANO:g} s"
        elif key == "max_msgs" and found.get("max_msgs_per_subject") == 1:
            if there != -1 and there < value:
                yield f"{key} is {there} and must be at least {value}"
        elif there != value:
            yield f"{key} is {_shown(there)} and must be {_shown(value)}"
    for key, value in (("sealed", True), ("deny_delete", True), ("deny_purge", True), ("headers_only", True)):
        if found.get(key, False) is value:
            yield f"{key} must not be set"
    for key in ("mirror", "sources", "subject_transform", "deliver_subject", "backoff", "republish"):
        if found.get(key):
            yield f"{key} must not be set"


def _shown(value: object) -> str:
    return json.dumps(value) if isinstance(value, list | int) else str(value)
