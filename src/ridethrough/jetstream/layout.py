"""Streams: what the shared buffer keeps its messages in, made where it is missing, and checked where it is not."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator
from typing import Any, NamedTuple

from ..errors import StoreAway, StoreError, StoreGone
from .failures import Lost, Refused
from .wire import Wire

OLDEST = (2, 11)
"""The oldest version of NATS that will do."""

_NANO = 1_000_000_000

_NOT_FOUND = {10014, 10059}
_NO_CLUSTER = 10074
_THERE_WITH_ANOTHER_CONFIGURATION = {10058, 10148}


class Asked(NamedTuple):
    """What a host asks of the streams; None: as it is there, or as usual if it is made now."""

    name: str
    put_timeout: float
    create: bool
    """Whether to make what is missing."""
    max_size: int | None
    max_bytes: int | None
    partitions: int | None
    lease_time: float | None
    max_dead_letters: int | None
    replicas: int | None


class Layout(NamedTuple):
    """Which streams there are, and how they are."""

    name: str
    put_timeout: float
    max_size: int
    max_bytes: int | None
    partitions: int
    lease_time: float
    max_dead_letters: int

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

    @property
    def inlets(self) -> list[str]:
        """Those of all partitions."""
        return [self.inlet(partition) for partition in range(self.partitions)]

    def partition(self, inlet: str) -> int:
        """The partition of a message with that subject."""
        return int(inlet.rpartition(".")[2])

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


async def prepare(wire: Wire, asked: Asked, timeout: float) -> Layout:
    """Make the streams and consumers that are missing, check those that are there, and tell how they are.

    Raises:
        StoreError: the server is too old, or something that is there is not as it must be: the text names all of it.
        StoreGone: something is missing, and is not to be made.
        StoreAway: there was no answer in time.
    """
    if wire.version < OLDEST:
        raise StoreError(
            f"the NATS server has version {'.'.join(map(str, wire.version))} and must have {'.'.join(map(str, OLDEST))}"
        )
    until = asyncio.get_running_loop().time() + timeout
    try:
        found = await _look(wire, asked.name, until)
        layout = _settle(asked, found)
        if problems := _problems(found, layout, asked):
            raise StoreError(f"{'; '.join(problems)}; nothing was changed")
        while missing := [part for part in _parts(layout) if part.label not in found]:
            if not asked.create:
                raise StoreGone("; ".join(f"{part.label} is missing" for part in missing))
            found[missing[0].label] = await _make(wire, missing[0], asked.replicas, until)
            layout = _settle(asked, found)
            if problems := _problems(found, layout, asked):  # another host was quicker, and asks for something else
                raise StoreError("; ".join(problems))
    except Refused as refused:
        raise StoreError(f"JetStream refuses: {refused}") from None
    except Lost as lost:
        raise StoreAway(f"JetStream did not answer in {timeout:g} s: {lost}") from None
    return layout


# ---------------------------------------------------------------- what there must be


class _Part(NamedTuple):
    """A stream or a consumer, as it must be."""

    label: str
    """As people are told of it."""
    subject: str
    """Of requests about it, without what is asked for."""
    config: dict[str, Any]


def _parts(layout: Layout) -> Iterator[_Part]:
    for config in (_queue(layout), _dead(layout), _state(layout)):
        yield _Part(f"stream {config['name']}", f"STREAM.{{}}.{config['name']}", config)
    for partition in range(layout.partitions):
        name = layout.consumer(partition)
        yield _Part(f"consumer {name}", f"CONSUMER.{{}}.{layout.name}.{name}", _consumer(layout, partition))


def _queue(layout: Layout) -> dict[str, Any]:
    return {
        "name": layout.name,
        "subjects": layout.inlets,
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


# ---------------------------------------------------------------- what there is


async def _look(wire: Wire, name: str, until: float) -> dict[str, dict[str, Any]]:
    """How the streams are that are there, and the consumers of the first one, by their labels."""
    found: dict[str, dict[str, Any]] = {}
    for stream in (name, f"{name}-dead", f"{name}-state"):
        if (config := await _find(wire, f"STREAM.INFO.{stream}", until)) is not None:
            found[f"stream {stream}"] = config
    if f"stream {name}" in found:
        listed = await wire.insist(lambda: wire.call(f"$JS.API.CONSUMER.NAMES.{name}"), until)
        for consumer in listed["consumers"] or ():
            if (config := await _find(wire, f"CONSUMER.INFO.{name}.{consumer}", until)) is not None:
                found[f"consumer {consumer}"] = config
    return found


def _settle(asked: Asked, found: dict[str, dict[str, Any]]) -> Layout:
    """How the streams are to be: as it is asked, or else as they are, or else as usual."""
    queue = found.get(f"stream {asked.name}", {})
    dead = found.get(f"stream {asked.name}-dead", {})
    waits = [config.get("ack_wait", 0) / _NANO for label, config in found.items() if label.startswith("consumer ")]
    return Layout(
        asked.name,
        asked.put_timeout,
        max_size=asked.max_size or _positive(queue.get("max_msgs")) or 100,
        max_bytes=asked.max_bytes or _positive(queue.get("max_bytes")),
        partitions=asked.partitions or len(queue.get("subjects") or "1"),
        lease_time=asked.lease_time or (min(waits) if waits and min(waits) >= 1 else 30.0),
        max_dead_letters=asked.max_dead_letters or dead.get("max_msgs", 1000),
    )


def _positive(number: int | None) -> int | None:
    return number if number is not None and number > 0 else None


async def _find(wire: Wire, subject: str, until: float) -> dict[str, Any] | None:
    try:
        config: dict[str, Any] = (await wire.insist(lambda: wire.call(f"$JS.API.{subject}"), until))["config"]
    except Refused as refused:
        if refused.code in _NOT_FOUND:
            return None
        raise
    return config


async def _make(wire: Wire, part: _Part, replicas: int | None, until: float) -> dict[str, Any]:
    """Make something, and tell how it is: as another host has made it, if that was quicker."""
    if "durable_name" in part.config:
        stream, name = part.subject.split(".")[2:]
        return await _create(wire, part, {"stream_name": stream, "config": {**part.config, "name": name}}, until)
    try:
        return await _create(wire, part, {**part.config, "num_replicas": replicas or 3}, until)
    except Refused as refused:
        if refused.code != _NO_CLUSTER or replicas is not None:
            raise
        return await _create(wire, part, {**part.config, "num_replicas": 1}, until)


async def _create(wire: Wire, part: _Part, document: dict[str, Any], until: float) -> dict[str, Any]:
    subject, body = f"$JS.API.{part.subject.format('CREATE')}", json.dumps(document).encode()
    try:
        config: dict[str, Any] = (await wire.insist(lambda: wire.call(subject, body), until))["config"]
    except Refused as refused:
        if refused.code not in _THERE_WITH_ANOTHER_CONFIGURATION:
            raise
        there = await _find(wire, part.subject.format("INFO"), until)
        if there is None:
            raise
        return there
    return config


# ---------------------------------------------------------------- whether that will do


def _problems(found: dict[str, dict[str, Any]], layout: Layout, asked: Asked) -> list[str]:
    """What is there and not as it must be, in words."""
    problems: list[str] = []
    wanted = {part.label: part.config for part in _parts(layout)}
    for label, config in found.items():
        if label not in wanted:
            problems.append(f"stream {layout.name}: {label} must not be there with partitions={layout.partitions}")
            continue
        must = wanted[label]
        if asked.replicas is not None and label.startswith("stream "):
            must = {**must, "num_replicas": asked.replicas}
        problems += [f"{label}: {each}" for each in _differences(config, must)]
    return problems


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
