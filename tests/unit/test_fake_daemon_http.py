"""The daemon to test against, over HTTP: as a client sees it that knows nothing of it."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from typing import Any

import httpx2
import pytest
from anyio import BrokenResourceError, EndOfStream, connect_tcp, create_task_group, fail_after, move_on_after
from anyio.abc import SocketStream
from anyio.lowlevel import checkpoint

from ridethrough.testing import (
    CutAfter,
    CutBefore,
    CutInAnswer,
    Failure,
    FakeSignalDaemon,
    Fault,
    Flood,
    Garbage,
    Late,
    Refuse,
    Stall,
    WrongId,
)
from tests.talk import PATIENCE, arrived, request, results_of, send

pytestmark = pytest.mark.anyio

ANNA, HOME, WORK = "+15550100200", "+15550001111", "+15550001112"
HTTP = "http://127.0.0.1:0"
ENDED = (EndOfStream, BrokenResourceError)


@pytest.fixture(params=["asyncio", "trio"])
def anyio_backend(request: pytest.FixtureRequest) -> str:
    name: str = request.param
    return name


@asynccontextmanager
async def client_of(daemon: FakeSignalDaemon) -> AsyncIterator[httpx2.AsyncClient]:
    base = f"{daemon.endpoint}/api/v1/"
    with fail_after(PATIENCE):
        async with httpx2.AsyncClient(base_url=base, trust_env=False, timeout=PATIENCE) as client:
            yield client


@asynccontextmanager
async def fake_and_client(
    *faults: Fault, endpoint: str = HTTP, **options: Any
) -> AsyncIterator[tuple[FakeSignalDaemon, httpx2.AsyncClient]]:
    async with FakeSignalDaemon(endpoint, **options) as daemon, client_of(daemon) as client:
        daemon.fail_next(*faults)
        yield daemon, client


async def ask(client: httpx2.AsyncClient, message: Any) -> Any:
    response = await client.post("rpc", json=message)
    assert response.status_code == 200
    assert response.headers["content-type"] == "application/json"
    return response.json()


@asynccontextmanager
async def connected(daemon: FakeSignalDaemon) -> AsyncIterator[SocketStream]:
    """A connection on which to say anything."""
    host, port = daemon.endpoint.removeprefix("http://").split(":")
    with fail_after(PATIENCE):
        async with await connect_tcp(host, int(port)) as stream:
            yield stream


# What it answers


async def test_check() -> None:
    async with fake_and_client() as (_, client):
        response = await client.get("check")
        assert (response.status_code, response.content) == (200, b"")


async def test_calls() -> None:
    async with fake_and_client() as (daemon, client):
        assert await ask(client, request("version")) == {"jsonrpc": "2.0", "result": {"version": "0.13.19"}, "id": "1"}
        for number in range(3):
            assert results_of(await ask(client, send(str(number), ANNA))) == ["SUCCESS"]
        assert [arrival.text for arrival in daemon.sends] == ["0", "1", "2"]


async def test_prefix() -> None:
    async with fake_and_client(endpoint=f"{HTTP}/signal/cli/") as (daemon, client):
        assert daemon.endpoint.endswith("/signal/cli")
        assert (await ask(client, request("version")))["result"]
        base = daemon.endpoint.removesuffix("/signal/cli")
        for path in ("/api/v1/check", "/signal/clix/api/v1/check", "/"):
            assert (await client.get(base + path)).status_code == 404


@pytest.mark.parametrize(
    ("method", "path", "headers", "status"),
    [
        ("GET", "", {}, 404),
        ("GET", "check/", {}, 404),
        ("POST", "check", {}, 405),
        ("GET", "rpc", {}, 405),
        ("POST", "events", {}, 405),
        ("POST", "rpc", {}, 415),
        ("POST", "rpc", {"Content-Type": "text/json"}, 415),
        ("POST", "rpc", {"Content-Type": "application/json; charset=utf-8"}, 200),
        ("GET", "events?account=%2B15550009999", {}, 400),
    ],
)
async def test_what_is_turned_away(method: str, path: str, headers: dict[str, str], status: int) -> None:
    async with fake_and_client() as (_, client):
        response = await client.request(method, path, headers=headers, content=b"{}")
        assert response.status_code == status
        assert (await client.get("check")).status_code == 200


async def test_notification_is_performed_and_gets_no_answer() -> None:
    async with fake_and_client() as (daemon, client):
        message = send("hello", ANNA)
        del message["id"]
        for each in (message, [message]):
            response = await client.post("rpc", json=each)
            assert (response.status_code, response.content) == (201, b"")
        assert [arrival.text for arrival in daemon.sends] == ["hello", "hello"]


async def test_batch() -> None:
    async with fake_and_client() as (_, client):
        answers = await ask(client, [request("version", 1), request("version", 2)])
        assert [answer["id"] for answer in answers] == [1, 2]


@pytest.mark.parametrize(
    ("body", "code"),
    [(b"", -32700), (b"{", -32700), (b"1", -32600), (b"\xff", -32603), (b"[" * 2000 + b"]" * 2000, -32603)],
)
async def test_what_it_cannot_read(body: bytes, code: int) -> None:
    async with fake_and_client() as (_, client):
        response = await client.post("rpc", content=body, headers={"Content-Type": "application/json"})
        assert response.status_code == 200
        assert (response.json()["error"]["code"], response.json()["id"]) == (code, None)
        assert (await ask(client, request("version")))["result"]


@pytest.mark.parametrize("method", ["subscribeReceive", "unsubscribeReceive"])
async def test_nothing_to_subscribe_to_by_a_call(method: str) -> None:
    async with fake_and_client() as (_, client):
        assert (await ask(client, request(method)))["error"]["code"] == -32601


@pytest.mark.parametrize(
    "said",
    [
        b"nonsense\r\n\r\n",
        b"GET /api/v1/check HTTP/1.1 more\r\n\r\n",
        b"POST /api/v1/rpc HTTP/1.1\r\nContent-Length: many\r\n\r\n",
        b"POST /api/v1/rpc HTTP/1.1\r\nContent-Length: -1\r\n\r\n",
        b"x" * 70_000,
    ],
    ids=["line", "words", "length", "negative", "head"],
)
async def test_what_is_no_http_ends_the_connection(said: bytes) -> None:
    async with FakeSignalDaemon(HTTP) as daemon, connected(daemon) as stream:
        await stream.send(said)
        with pytest.raises(ENDED):
            await stream.receive()


async def test_end_in_the_middle_of_a_request() -> None:
    async with FakeSignalDaemon(HTTP) as daemon, connected(daemon) as stream:
        await stream.send(b"POST /api/v1/rpc HTTP/1.1\r\nContent-Length: 10\r\n\r\n{")
        await stream.send_eof()
        with pytest.raises(ENDED):
            await stream.receive()


# Its faults


@pytest.mark.parametrize(("fault", "performed"), [(CutBefore(), False), (CutAfter(), True), (CutInAnswer(), True)])
async def test_cut(fault: Fault, performed: bool) -> None:
    async with fake_and_client(fault) as (daemon, client):
        with pytest.raises(httpx2.RemoteProtocolError):
            await client.post("rpc", json=send("hello", ANNA))
        assert [arrival.text for arrival in daemon.sends] == ["hello"] * performed
        assert (await ask(client, send("again", ANNA)))["result"]


def as_http(message: dict[str, Any]) -> bytes:
    body = json.dumps(message).encode()
    head = f"POST /api/v1/rpc HTTP/1.1\r\nContent-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n"
    return head.encode() + body


async def test_cut_in_the_answer_comes_behind_its_first_half() -> None:
    async with FakeSignalDaemon(HTTP) as daemon, connected(daemon) as stream:
        daemon.fail_next(CutInAnswer())
        await stream.send(as_http(send("hello", ANNA)))
        heard = b""
        with suppress(*ENDED):
            while True:
                heard += await stream.receive()
        fields, _, half = heard.partition(b"\r\n\r\n")
        length = int(fields.rpartition(b": ")[2])
        assert len(half) == length - length // 2


async def test_stall_and_late() -> None:
    async with fake_and_client(Stall(), Late(0.1)) as (daemon, client):
        with move_on_after(0.1) as patience:
            await client.post("rpc", json=send("stall", ANNA))
        assert patience.cancelled_caught
        assert (await ask(client, send("late", ANNA)))["result"]
        assert [arrival.text for arrival in daemon.sends] == ["stall", "late"]


async def test_answers_that_are_none() -> None:
    async with fake_and_client(Garbage(b"nonsense"), WrongId(), Refuse(-3), Failure()) as (_, client):
        assert (await client.post("rpc", json=send("garbage", ANNA))).content == b"nonsense"
        assert (await ask(client, send("wrong", ANNA)))["id"] == -1
        assert (await ask(client, send("refuse", ANNA)))["error"]["code"] == -3
        assert results_of(await ask(client, send("fail", ANNA))) == ["NETWORK_FAILURE"]


async def test_flood() -> None:
    async with FakeSignalDaemon(HTTP) as daemon, connected(daemon) as stream:
        daemon.fail_next(Flood())
        await stream.send(as_http(send("hello", ANNA)))
        size = 0
        while size < 10**7:
            size += len(await stream.receive())
        assert len(daemon.sends) == 1


async def test_frozen_and_thawed() -> None:
    async with fake_and_client() as (daemon, client):
        daemon.freeze()
        with move_on_after(0.1) as patience:
            await client.get("check")
        assert patience.cancelled_caught
        daemon.thaw()
        assert (await client.get("check")).status_code == 200


async def test_what_was_read_is_performed_though_the_client_has_gone() -> None:
    async with FakeSignalDaemon(HTTP) as daemon:
        daemon.freeze()
        async with client_of(daemon) as client:
            with move_on_after(0.1):
                await client.post("rpc", json=send("hello", ANNA))
        daemon.thaw()
        assert await arrived(daemon, 1) == ["hello"]


async def test_stopped_and_started() -> None:
    async with fake_and_client() as (daemon, client):
        await daemon.stop()
        with pytest.raises(httpx2.ConnectError):
            await client.get("check")
        await daemon.start()
        assert (await client.get("check")).status_code == 200


# Incoming messages


class Listener:
    """Who waits for events."""

    def __init__(self) -> None:
        self.heard: list[Any] = []
        self.status = 0

    async def listen(self, client: httpx2.AsyncClient, path: str = "events") -> None:
        async with client.sse(path) as source:
            self.status = source.response.status_code
            async for event in source:
                self.heard.append((event.event, event.json()))

    async def wait(self, count: int) -> list[Any]:
        with fail_after(PATIENCE):
            while len(self.heard) < count or not self.status:
                await checkpoint()
        return self.heard


async def test_events() -> None:
    one, two = Listener(), Listener()
    async with fake_and_client(accounts=[HOME, WORK]) as (daemon, client), create_task_group() as tasks:
        await daemon.push({"n": 0})  # nobody is there
        tasks.start_soon(one.listen, client)
        tasks.start_soon(two.listen, client, "events?account=%2B15550001112")
        for listener in (one, two):
            await listener.wait(0)
        while daemon.listeners < 2:
            await checkpoint()
        await daemon.push({"n": 1})
        await daemon.push({"n": 2}, WORK)
        both = [{"envelope": {"n": 1}, "account": HOME}, {"envelope": {"n": 2}, "account": WORK}]
        assert await one.wait(2) == [("receive", each) for each in both]
        assert await two.wait(1) == [("receive", both[1])]
        tasks.cancel_scope.cancel()
    async with fake_and_client() as (daemon, client):
        assert (await ask(client, request("version")))["result"]


@pytest.mark.parametrize("mode", ["on-connection", "manual"])
async def test_events_that_waited(mode: str) -> None:
    listener = Listener()
    async with fake_and_client(receive_mode=mode) as (daemon, client), create_task_group() as tasks:
        await daemon.push({"n": 1})
        assert (await ask(client, request("version")))["result"], "who only calls is not who waits"
        tasks.start_soon(listener.listen, client)
        assert len(await listener.wait(1)) == 1
        tasks.cancel_scope.cancel()


async def test_listener_that_goes_is_told_nothing() -> None:
    listener = Listener()
    async with fake_and_client(receive_mode="on-connection") as (daemon, client):
        async with create_task_group() as tasks:
            tasks.start_soon(listener.listen, client)
            await listener.wait(0)
            tasks.cancel_scope.cancel()
        while daemon.listeners:
            await checkpoint()
        await daemon.push({"n": 1})
        async with create_task_group() as tasks:
            tasks.start_soon(listener.listen, client)
            assert len(await listener.wait(1)) == 1
            tasks.cancel_scope.cancel()


async def test_stop_ends_events() -> None:
    async with fake_and_client() as (daemon, client), client.sse("events") as source:
        await daemon.stop()
        with pytest.raises(httpx2.TransportError):
            async for _ in source:
                pass


@pytest.mark.parametrize("endpoint", ["https://127.0.0.1:0", "http://127.0.0.1:0?", "http://127.0.0.1:00/"])
def test_endpoint_that_is_none(endpoint: str) -> None:
    with pytest.raises(ValueError, match="endpoint must"):
        FakeSignalDaemon(endpoint)
