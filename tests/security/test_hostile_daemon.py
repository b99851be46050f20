"""A hostile daemon costs reconnects and bounded memory, and nothing else: afterwards all arrives, in order."""

from __future__ import annotations

import json
import tracemalloc
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any, cast

import pytest
from anyio import fail_after, sleep
from anyio.lowlevel import checkpoint

from ridethrough import AsyncMessageBuffer, Backoff, Delivery, Outcome
from ridethrough.jsonrpc import MAX_LINE
from ridethrough.signal_cli import SendResult, SignalClient, TextMessage
from tests.unit.signal_cli.scripted import Peer, answer_to, scripted

pytestmark = pytest.mark.anyio

PATIENCE = 20
HOME, ANNA = "+491701234567", "11111111-1111-4111-8111-000000000001"
MESSAGES = [str(number) for number in range(1, 6)]
MEBIBYTE = 2**20

Misdeed = Callable[[Peer, dict[str, Any]], Awaitable[None]]
"""What the daemon does instead of answering a request."""


class Honest:
    """A daemon that behaves; keeps the texts that it was told to send."""

    def __init__(self) -> None:
        self.texts: list[str] = []

    def result(self, request: dict[str, Any]) -> Any:
        """What it answers."""
        if request["method"] == "send":
            self.texts.append(request["params"]["message"])
        return what_is_due(request)

    async def serve(self, peer: Peer) -> None:
        """Answer every request."""
        while True:
            request = await peer.hear()
            await peer.answer(request, self.result(request))


def what_is_due(request: dict[str, Any]) -> Any:
    """The result that a request asks for."""
    return {"timestamp": 1, "results": []} if request["method"] == "send" else [{"number": HOME}]


# What it does


def write(text: str | bytes, *, behind: bytes = b"\n") -> Misdeed:
    """Write that, and a newline. In it ID stands for the request's id, and DUE for the result that it asks for."""
    raw = text.encode() if isinstance(text, str) else text

    async def misdeed(peer: Peer, request: dict[str, Any]) -> None:
        due = json.dumps(what_is_due(request)).encode()
        await peer.write(raw.replace(b"ID", str(request["id"]).encode()).replace(b"DUE", due) + behind)

    return misdeed


def response(members: str, request_id: str = "ID") -> Misdeed:
    """Answer with these members, and perhaps another id."""
    return write(f'{{"jsonrpc":"2.0","id":{request_id},{members}}}')


def result(value: str) -> Misdeed:
    """Answer with that result."""
    return response(f'"result":{value}')


def answer_to_id(request_id: str) -> Misdeed:
    """Answer as is due, to that id."""
    return response('"result":DUE', request_id)


async def say_nothing(peer: Peer, request: dict[str, Any]) -> None:
    """And keep the connection."""


async def drip_for_ever(peer: Peer, request: dict[str, Any]) -> None:  # noqa: ARG001
    while True:
        await peer.write(b" ")
        await sleep(0.01)


MISDEEDS: dict[str, Misdeed] = {
    "id of no request": answer_to_id("1ID"),
    "id as string": answer_to_id('"ID"'),
    "id as float": answer_to_id("ID.0"),
    "id as exponent": answer_to_id("IDe0"),
    "id as bool": answer_to_id("true"),
    "id null": answer_to_id("null"),
    "id null, with an error": response('"error":{"code":-32700,"message":"?"}', "null"),
    "id negative": answer_to_id("-ID"),
    "id huge": answer_to_id("9" * 4000),
    "id larger than Python reads": answer_to_id("9" * 5000),
    "id an array": answer_to_id("[ID]"),
    "id twice": response('"id":999,"result":DUE'),
    "id missing": write('{"jsonrpc":"2.0","result":DUE}'),
    "NaN": response('"result":DUE,"more":NaN'),
    "infinity": response('"result":DUE,"more":-Infinity'),
    "number that is none": response('"result":DUE,"more":01'),
    "result and error": response('"result":DUE,"error":{"code":1,"message":""}'),
    "neither": write('{"jsonrpc":"2.0","id":ID}'),
    "a request": write('{"jsonrpc":"2.0","id":ID,"method":"send","params":{}}'),
    "version 1": write('{"id":ID,"result":DUE}'),
    "error as string": response('"error":"no"'),
    "code as string": response('"error":{"code":"-1","message":""}'),
    "code as bool": response('"error":{"code":true,"message":""}'),
    "a batch": write('[{"jsonrpc":"2.0","id":ID,"result":DUE}]'),
    "two on a line": write('{"jsonrpc":"2.0","id":ID,"result":DUE}{"jsonrpc":"2.0","id":ID,"result":DUE}'),
    "null": write("null"),
    "empty line": write(""),
    "carriage return": write("\r"),
    "byte order mark": write('\ufeff{"jsonrpc":"2.0","id":ID,"result":DUE}'),
    "NUL": write(b"\0" * 100),
    "not UTF-8": write(b'{"jsonrpc":"2.0","id":ID,"result":DUE,"more":"\xff"}'),
    "UTF-8 of a surrogate": write(b'{"jsonrpc":"2.0","id":ID,"result":DUE,"more":"\xed\xa0\x80"}'),
    "UTF-16": write('{"jsonrpc":"2.0"}'.encode("utf-16")),
    "half a line, and the end": write('{"jsonrpc":"2.0","id":ID,"res', behind=b""),
    "half a character, and the end": write(b'{"jsonrpc":"2.0","id":ID,"result":"\xc3', behind=b""),
    "bottomless arrays": response('"result":DUE,"more":' + "[" * 200_000),
    "deep arrays": response('"result":DUE,"more":' + "[" * 100_000 + "]" * 100_000),
    "deep objects": response('"result":DUE,"more":' + '{"a":' * 100_000 + "0" + "}" * 100_000),
    "deep error": response('"error":{"code":-1,"message":"","data":' + "[" * 100_000 + "]" * 100_000 + "}"),
    "no accounts, no timestamp": result("[]"),
    "null for a result": result("null"),
    "lone surrogate for a result": result('"\\ud800"'),
    "timestamp as string": result('{"timestamp":"1"}'),
    "timestamp as bool": result('{"timestamp":true}'),
    "timestamp as float": result('{"timestamp":1e999}'),
}

STALLS: dict[str, Misdeed] = {
    "nothing": say_nothing,
    "half a line": write('{"jsonrpc":"2.0","id":ID,"res', behind=b""),
    "slow drip": drip_for_ever,
}


def hostile(honest: Honest, misdeed: Misdeed, at: str, *, stay: bool) -> Callable[[Peer], Awaitable[None]]:
    """A script: honest until that method is called, and what it does then instead. Who stays does not hang up."""

    async def serve(peer: Peer) -> None:
        while (request := await peer.hear())["method"] != at:
            await peer.answer(request, honest.result(request))
        await misdeed(peer, request)
        if stay:
            await peer.hear_end()

    return serve


@asynccontextmanager
async def client_of(endpoint: object, **options: Any) -> AsyncIterator[SignalClient]:
    """A client that is quick to give up and never tired; leaving it waits until all has gone."""
    options = {"poison_after": None, "close_timeout": None, **options}
    with fail_after(PATIENCE):
        async with SignalClient(str(endpoint), backoff=Backoff(0.001, 0.01), **options) as client:
            yield client


async def send_all(client: SignalClient) -> list[Delivery[TextMessage, SendResult]]:
    return [await client.send(text, to=ANNA) for text in MESSAGES]


def check_log(caplog: pytest.LogCaptureFixture) -> None:
    """Nothing that a daemon can say breaks a line of the log in two, or colours it."""
    assert all(record.getMessage().isprintable() for record in caplog.records)


@pytest.mark.parametrize("name", MISDEEDS)
async def test_nonsense_costs_a_reconnect(name: str, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("DEBUG", "ridethrough")
    honest = Honest()
    stay = not name.endswith("and the end")
    at_first, at_send = [hostile(honest, MISDEEDS[name], at, stay=stay) for at in ("listAccounts", "send")]
    async with scripted(at_first, at_send, honest.serve) as endpoint, client_of(endpoint) as client:
        deliveries = await send_all(client)
    assert client.supervisor.attempt == 2
    assert honest.texts == MESSAGES
    assert [each.attempts for each in deliveries] == [2, 1, 1, 1, 1]
    assert [each.maybe_sent for each in deliveries] == [True, False, False, False, False]
    assert all(each.outcome is Outcome.SENT for each in deliveries)
    check_log(caplog)


@pytest.mark.parametrize("name", STALLS)
async def test_stall_costs_a_reconnect_and_the_response_timeout(name: str) -> None:
    honest = Honest()
    at_first, at_send = [hostile(honest, STALLS[name], at, stay=True) for at in ("listAccounts", "send")]
    async with (
        scripted(at_first, at_send, honest.serve) as endpoint,
        client_of(endpoint, response_timeout=0.1) as client,
    ):
        await send_all(client)
    assert honest.texts == MESSAGES
    assert client.supervisor.attempt == 2


async def test_answers_before_questions() -> None:
    async def answer_first(peer: Peer) -> None:
        answers = [answer_to({"id": 1}, result=[{"number": HOME}])]
        answers += [answer_to({"id": number}, result={"timestamp": 1, "results": []}) for number in range(2, 9)]
        await peer.write(b"".join(answers))
        await peer.hear_end()

    honest = Honest()
    async with scripted(answer_first, answer_first, honest.serve) as endpoint, client_of(endpoint) as client:
        deliveries = await send_all(client)
    assert honest.texts == MESSAGES
    assert all(each.outcome is Outcome.SENT for each in deliveries)


async def test_answer_that_comes_twice_counts_once() -> None:
    honest = Honest()

    async def answer_twice(peer: Peer, request: dict[str, Any]) -> None:
        await peer.write(answer_to(request, result=honest.result(request)) * 2)

    bad = hostile(honest, answer_twice, "send", stay=True)
    async with scripted(bad, bad, honest.serve) as endpoint, client_of(endpoint) as client:
        deliveries = await send_all(client)
    assert honest.texts == MESSAGES
    assert client.supervisor.attempt == 2
    assert all(each.outcome is Outcome.SENT for each in deliveries)


async def test_end_after_each_byte() -> None:
    """Of an answer, one byte more at each connection."""
    honest = Honest()
    whole = len(answer_to({"id": 1}, result=[{"number": HOME}]))

    def up_to(length: int) -> Callable[[Peer], Awaitable[None]]:
        async def serve(peer: Peer) -> None:
            request = await peer.hear()
            await peer.write(answer_to(request, result=honest.result(request))[:length])

        return serve

    async with scripted(*map(up_to, range(whole)), honest.serve) as endpoint, client_of(endpoint) as client:
        await send_all(client)
    assert honest.texts == MESSAGES


async def test_answers_byte_by_byte() -> None:
    honest = Honest()

    async def drip(peer: Peer) -> None:
        while True:
            request = await peer.hear()
            for byte in answer_to(request, result=honest.result(request)):
                await peer.write(bytes([byte]))
                await checkpoint()

    async with scripted(drip) as endpoint, client_of(endpoint) as client:
        await send_all(client)
    assert honest.texts == MESSAGES
    assert client.supervisor.attempt == 0


async def test_daemon_that_is_never_anything_but_hostile() -> None:
    """It gets its hands on each message only so often, and closing is as quick as ever."""
    honest = Honest()
    bad = hostile(honest, MISDEEDS["NaN"], "send", stay=True)
    buffer: AsyncMessageBuffer[TextMessage] = AsyncMessageBuffer()
    async with scripted(bad) as endpoint, client_of(endpoint, buffer=buffer, poison_after=2, close_timeout=0) as client:
        deliveries = await send_all(client)
        while deliveries[2].outcome is None:
            await checkpoint()
        left = await client.aclose()
    assert [each.outcome for each in deliveries[:3]] == [Outcome.REJECTED] * 3
    assert deliveries[2].attempts == 2 and "poison" in deliveries[2].reason
    assert [cast("TextMessage", message).text for message in left] == MESSAGES[3:]


# Memory


async def flood(peer: Peer, request: dict[str, Any]) -> None:  # noqa: ARG001
    while True:
        await peer.write(b"x" * MEBIBYTE)


async def flood_of_spaces(peer: Peer, request: dict[str, Any]) -> None:  # noqa: ARG001
    while True:
        await peer.write(b" " * MEBIBYTE)


async def huge_line(peer: Peer, request: dict[str, Any]) -> None:
    before, after = answer_to(request, result="X").split(b"X")
    await peer.write(before)
    for _ in range(MAX_LINE // MEBIBYTE):
        await peer.write(b"x" * MEBIBYTE)
    await peer.write(after)


@asynccontextmanager
async def at_most(mebibytes: float) -> AsyncIterator[None]:
    """The body never takes more memory than that, and has given nearly all of it back in the end."""
    tracemalloc.start()
    try:
        before, _ = tracemalloc.get_traced_memory()
        yield
        after, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak - before < mebibytes * MEBIBYTE
    assert after - before < 2 * MEBIBYTE


@pytest.mark.parametrize("misdeed", [flood, flood_of_spaces, huge_line])
async def test_flood_takes_little_more_memory_than_the_longest_line(misdeed: Misdeed) -> None:
    honest = Honest()
    bad = hostile(honest, misdeed, "send", stay=True)
    async with (
        at_most(1.5 * MAX_LINE / MEBIBYTE),
        scripted(bad, honest.serve) as endpoint,
        client_of(endpoint) as client,
    ):
        await send_all(client)
        await client.buffer.flush()
    assert honest.texts == MESSAGES


async def test_flood_of_notifications_takes_no_memory_and_holds_up_nothing() -> None:
    honest = Honest()
    params = {"envelope": {"dataMessage": {"message": "x" * 1000}}}
    notification = json.dumps({"jsonrpc": "2.0", "method": "receive", "params": params}).encode() + b"\n"

    async def chatter(peer: Peer) -> None:
        while True:
            request = await peer.hear()
            for _ in range(40):
                await peer.write(notification * 20)
            await peer.answer(request, honest.result(request))

    async with at_most(4), scripted(chatter) as endpoint, client_of(endpoint) as client:
        await send_all(client)
        await client.buffer.flush()
    assert honest.texts == MESSAGES
    assert client.supervisor.attempt == 0
