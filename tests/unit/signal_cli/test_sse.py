"""sse.py: events out of bytes, cut anywhere."""

from __future__ import annotations

import pytest

from ridethrough.jsonrpc import RemoteProtocolError
from ridethrough.signal_cli.sse import EventStream


def events_of(stream: bytes, step: int, max_event: int = 100) -> list[tuple[str, bytes]]:
    """The events of a stream that comes in pieces of that size."""
    events = EventStream(max_event)
    found: list[tuple[str, bytes]] = []
    for at in range(0, len(stream), step):
        found += events.receive_data(stream[at : at + step])
    return found


@pytest.mark.parametrize("step", [1, 2, 3, 5, 1000])
@pytest.mark.parametrize(
    ("stream", "events"),
    [
        (b"event:receive\ndata:{}\n\n", [("receive", b"{}")]),
        (b"event: receive\r\ndata: {}\r\n\r\n", [("receive", b"{}")]),
        (b"data:  a \n\n", [("message", b" a ")]),
        (b"data:a\ndata:\ndata: b\n\n", [("message", b"a\n\nb")]),
        (b"data\n\n", [("message", b"")]),
        (b"data:a\n\nevent:x\ndata:b\n\ndata:c\n\n", [("message", b"a"), ("x", b"b"), ("message", b"c")]),
        (b"event:x\n\ndata:a\n\n", [("message", b"a")]),
        (b"event:x\nevent:y\ndata:a:b\n\n", [("y", b"a:b")]),
        (b":\n:data:a\n\n\n\nid:7\nretry:1\nother\n data:b\n\n", []),
        (b"data:\xc3\xbc\xff\nevent:\xc3\xbc\xff\n\n", [("ü\N{REPLACEMENT CHARACTER}", b"\xc3\xbc\xff")]),
        (b"data:a\n", []),
        (b"data:a", []),
    ],
)
def test_events(stream: bytes, events: list[tuple[str, bytes]], step: int) -> None:
    assert events_of(stream, step) == events


@pytest.mark.parametrize("step", [1, 7, 1000])
@pytest.mark.parametrize("line", [b"x", b":", b"data:x\n", b"event:x"])
def test_event_that_is_too_large(line: bytes, step: int) -> None:
    with pytest.raises(RemoteProtocolError, match="an event is larger than 100 bytes"):
        events_of(b"data:0\n\n" + line * 101, step)


@pytest.mark.parametrize("step", [1, 7, 1000])
def test_event_that_just_fits(step: int) -> None:
    assert events_of(b"data:" + b"x" * 95 + b"\n\n", step) == [("message", b"x" * 95)]
    many = (b":" + b"x" * 90 + b"\n") * 10 + b"data:1\n\n"
    assert events_of(many * 10, step) == [("message", b"1")] * 10


def test_events_before_one_that_is_too_large_are_not_lost() -> None:
    events = EventStream(10).receive_data(b"data:1\n\ndata:2\n\n" + b"x" * 11)
    assert [next(events), next(events)] == [("message", b"1"), ("message", b"2")]
    with pytest.raises(RemoteProtocolError):
        next(events)
