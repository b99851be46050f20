"""The parts of the shared buffer that need no server: what one host knows, and what it makes of what it is told."""

from __future__ import annotations

import asyncio
import importlib.util
import logging
import sys

import pytest
from nats.errors import Error as NatsError

from ridethrough import Delivery, Outcome, StoreError
from ridethrough.delivery import NO_TERMS, make_delivery
from ridethrough.jetstream.books import Books, Fate
from ridethrough.jetstream.failures import Refused, in_words, is_passing
from ridethrough.jetstream.headers import expiry, name_of, putter, tale, told
from ridethrough.jetstream.intake import partition_of
from ridethrough.jetstream.layout import Asked, prepare
from ridethrough.jetstream.stream import Contents
from ridethrough.jetstream.tasks import Tasks
from ridethrough.signal_cli import make_target


def _delivery(number: int) -> Delivery[str]:
    return make_delivery(None, number, str(number), NO_TERMS)  # type: ignore[arg-type]


def _put(books: Books[str], number: int, *heard: Fate) -> Delivery[str]:
    """Put a message, of which that is heard before it is known to be in."""
    delivery = _delivery(number)
    with books.coming_in(str(number), delivery):
        for fate in heard:
            books.hear(str(number), fate)
        return books.accept(str(number), delivery)


def test_outcome_that_comes_before_the_number_is_kept_for_it() -> None:
    books: Books[str] = Books(None)
    delivery = _put(books, 7, Fate(Outcome.SENT, "ok", 1, False))
    assert (delivery.outcome, delivery._result, delivery.attempts) == (Outcome.SENT, "ok", 1)
    assert books.open == {}


def test_put_that_returns_as_the_buffer_is_closed_has_ended() -> None:
    books: Books[str] = Books(None)
    books.at_closing = Fate(Outcome.ABANDONED, "the buffer was closed")
    delivery = _put(books, 7)
    assert (delivery.outcome, delivery.reason) == (Outcome.ABANDONED, "the buffer was closed")
    assert books.open == {}


def test_outcomes_of_other_messages_are_not_kept() -> None:
    books: Books[str] = Books(None)
    books.hear("1", Fate(Outcome.SENT))
    with books.coming_in("2", _delivery(2)):
        books.hear("1", Fate(Outcome.SENT))
        books.hear("2", Fate(Outcome.SENT))  # and then its put fails
    assert _put(books, 1).outcome is None
    assert _put(books, 2).outcome is None, "that was another put"


def test_message_ends_once() -> None:
    told_of: list[Delivery[str]] = []
    books: Books[str] = Books(told_of.append)
    delivery = _put(books, 1)
    assert books.end(delivery, Fate(Outcome.REJECTED, "no", 2, True))
    assert not books.end(delivery, Fate(Outcome.SENT))
    assert (delivery.outcome, delivery.reason, delivery.attempts, delivery.maybe_sent) == ("rejected", "no", 2, True)
    assert told_of == [delivery]
    statistics = books.statistics()
    assert (statistics.accepted, statistics.rejected, statistics.queued) == (1, 1, 0)


def test_fate_shows_no_result() -> None:
    assert repr(Fate(Outcome.SENT, "+15551234567", 2)) == "<Fate: sent, attempts: 2>"


def test_what_is_leased_counts_once_whoever_has_put_it() -> None:
    books: Books[str] = Books(None)
    own = _put(books, 1)
    books.leased = own
    assert books.statistics()[:3] == (1, 0, 1)
    books.leased = make_delivery(None, 2, "foreign", NO_TERMS)  # type: ignore[arg-type]
    assert books.statistics()[:3] == (2, 1, 1)
    books.end(books.leased, Fate(Outcome.SENT))
    assert books.statistics()[:4] == (2, 1, 0, 1)


@pytest.mark.parametrize(
    "bad", [b"", b"x", b"[]", b"{}", b'{"name": "x-3", "outcome": "no such", "result": null}', b"1", b"\xff"]
)
def test_what_another_host_has_told_and_cannot_be_read_raises(bad: bytes) -> None:
    with pytest.raises((ValueError, TypeError, KeyError)):
        told(bad)


def test_what_a_host_tells_is_what_another_hears() -> None:
    for fate, result in (
        (Fate(Outcome.SENT, b"\x00{}", 2, True), b"\x00{}"),
        (Fate(Outcome.SENT, None, 1, False), None),
        (Fate(Outcome.REJECTED, "no", 5, True), None),
        (Fate(Outcome.DRAINED, "", 0, False), None),
    ):
        assert told(tale("x-3", fate, result)) == ("x-3", fate)


def test_contents_tell_what_is_there() -> None:
    contents = Contents(3, 5, 9, frozenset({6, 8}))
    assert [contents.has(number) for number in range(4, 10)] == [False, True, False, True, False, True]
    assert [contents.count(last) for last in (4, 5, 6, 7, 9, 20)] == [0, 1, 1, 2, 3, 3]
    empty = Contents(0, 10, 9, frozenset())
    assert not empty.has(10)
    assert empty.count(9) == 0
    gaps_unknown = Contents(3, 1, 100_000, frozenset())
    assert (gaps_unknown.count(2), gaps_unknown.count(50)) == (2, 3)


def test_partition_depends_on_the_key_alone() -> None:
    assert {partition_of(f"key {number}", 8) for number in range(100)} == set(range(8))
    assert [partition_of(key, 8) for key in ("a", b"a", 1, None)] == [
        partition_of(key, 8) for key in ("a", b"a", 1, None)
    ]
    known = [partition_of(key, 64) for key in ("+15551234567", "+15550100300", "a", b"a", 7)]
    assert known == [27, 62, 40, 47, 50], "another version must find the same"
    assert partition_of(object(), 1) == 0
    with pytest.raises(TypeError, match=r"key must return a str, .* or a tuple or dataclass of these, not float"):
        partition_of(("a", 0.5), 2)


def test_partition_of_a_key_of_several_parts() -> None:
    people = [make_target(to=f"+155512345{number:02}") for number in range(64)]
    assert {partition_of(person, 8) for person in people} == set(range(8))
    assert partition_of(people[0], 64) == partition_of(make_target(to="+15551234500"), 64) == 14
    pairs = [("a", "bc"), ("ab", "c"), ("abc",), ("", "abc"), ("abc", None), ("abc", ""), ("abc", ("",))]
    assert len({partition_of(pair, 2**60) for pair in pairs}) == len(pairs)


def test_headers_that_are_none_of_ours_say_nothing() -> None:
    assert putter("0123456789abcdef-12") == "0123456789abcdef"
    assert putter("again-12") == "again"
    assert name_of({"Nats-Msg-Id": "0123456789abcdef-12"}) == "0123456789abcdef-12"
    for other in ("", "x", "again", "against-1", "0123456789abcdef", "0123456789ABCDEF-1", "a.>-1"):
        assert putter(other) is None
        assert name_of({"Nats-Msg-Id": other}) == ""
    assert name_of({}) == ""
    assert expiry({"Ridethrough-Expires": "12.5"}) == 12.5
    assert expiry({"Ridethrough-Expires": "soon"}) is None
    assert expiry({}) is None


class _OldServer:
    version = (2, 10)


@pytest.mark.anyio
@pytest.mark.parametrize("anyio_backend", ["asyncio"])
async def test_server_that_is_too_old_is_refused() -> None:
    asked = Asked("outbox", 30.0, True, None, None, None, None, None, None)
    with pytest.raises(StoreError, match=r"the NATS server has version 2\.10 and must have 2\.11"):
        await prepare(_OldServer(), asked, 1.0)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("error", "words"),
    [
        (NatsError("nats: 'Authorization Violation'"), "the credentials are refused"),
        (NatsError('nats: permissions violation for publish to "x"'), "the account lacks a permission"),
        (NatsError("nats: something else"), "the server has ended the connection"),
        (ConnectionRefusedError(111, "Connection refused"), "Connection refused"),
        (KeyError("a body"), "KeyError"),
    ],
)
def test_errors_are_told_in_words_of_our_own(error: Exception, words: str) -> None:
    assert in_words(error) == words


def test_answers_that_pass_and_those_that_do_not() -> None:
    assert is_passing(503, 10008)
    assert is_passing(400, 10158)
    for status, code in ((503, 10077), (503, 10023), (503, 10076), (404, 10059), (400, 0)):
        assert not is_passing(status, code)
    assert Refused(10077, "maximum bytes exceeded").is_full
    assert not Refused(10077, "no space left on device").is_full
    assert Refused(10023, "insufficient resources").no_disk


@pytest.mark.anyio
@pytest.mark.parametrize("anyio_backend", ["asyncio"])
async def test_task_that_fails_is_logged_and_the_others_go_on(caplog: pytest.LogCaptureFixture) -> None:
    async def fail() -> None:
        raise ZeroDivisionError

    async def go_on() -> None:
        await done.wait()

    done = asyncio.Event()
    tasks = Tasks()
    failing, other = tasks.start(fail()), tasks.start(go_on())
    await asyncio.wait({failing})
    done.set()
    await other
    await tasks.aclose()
    (record,) = caplog.records
    assert (record.levelno, record.message) == (logging.ERROR, "a task of the shared buffer failed: ZeroDivisionError")
    assert record.exc_info


def test_extra_that_is_missing_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    spec = importlib.util.find_spec("ridethrough.jetstream.wire")
    assert spec is not None and spec.loader is not None
    monkeypatch.setitem(sys.modules, "nats.aio.client", None)
    with pytest.raises(ImportError, match=r"^the shared buffer needs nats-py: pip install 'ridethrough\[nats\]'$"):
        spec.loader.exec_module(importlib.util.module_from_spec(spec))
