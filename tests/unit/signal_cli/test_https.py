"""http.py: over TLS, with whom the system trusts."""

from __future__ import annotations

import ssl

import pytest
import trustme
from anyio import Event, create_task_group, move_on_after

from ridethrough.signal_cli.endpoints import parse_endpoint
from tests.unit.signal_cli.over_http import (
    UNSENT,
    ask,
    check_lost,
    check_not_opened,
    opened,
)
from tests.unit.signal_cli.scripted_http import (
    HttpPeer,
    answer_all,
    scripted_http,
)

pytestmark = pytest.mark.anyio


@pytest.fixture
def https(monkeypatch: pytest.MonkeyPatch, tmp_path_factory: pytest.TempPathFactory) -> ssl.SSLContext:
    """A context for a server at localhost whom this machine trusts."""
    authority = trustme.CA()
    trusted = tmp_path_factory.mktemp("trust") / "ca.pem"
    authority.cert_pem.write_to_path(str(trusted))
    monkeypatch.setenv("SSL_CERT_FILE", str(trusted))
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("localhost").configure_cert(context)
    return context


async def test_https_is_verified(https: ssl.SSLContext, monkeypatch: pytest.MonkeyPatch) -> None:
    async with scripted_http(answer_all, tls=https) as server:
        async with opened(server.endpoint("https")) as connection:
            assert await ask(connection, n=1) == {"n": 1}
            assert await ask(connection, n=2) == {"n": 2}
        assert server.connections == 1
        await check_not_opened(f"https://127.0.0.1:{server.port}", "CERTIFICATE_VERIFY_FAILED.*127.0.0.1")
        monkeypatch.delenv("SSL_CERT_FILE")
        await check_not_opened(server.endpoint("https"), "CERTIFICATE_VERIFY_FAILED")


async def test_https_where_http_is_spoken() -> None:
    async def refuse(peer: HttpPeer) -> None:
        await peer.respond(400)

    async with scripted_http(refuse) as server:
        await check_not_opened(server.endpoint("https"), "SSL|the connection broke")


async def test_end_in_the_middle_of_the_handshake(https: ssl.SSLContext) -> None:
    async def hang_up(peer: HttpPeer) -> None:
        await peer.stream.receive()
        await peer.stream.aclose()

    async with scripted_http(hang_up, tls=https) as server:
        await check_not_opened(server.endpoint("https"), "UNEXPECTED_EOF|the connection broke")


async def test_trust_that_cannot_be_read(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SSL_CERT_FILE", "/nowhere/ca.pem")
    with pytest.raises(OSError, match="No such file"):
        await parse_endpoint("https://localhost:1").open(print)


async def once(peer: HttpPeer) -> None:
    """A script: one answer, and the end."""
    await peer.hear_any()
    await peer.respond(200, b"", "Connection: close")


stay_deaf = HttpPeer.hear_end
"""A script: there is a connection, and no TLS over it."""


async def test_time_out_while_connecting_is_unsent(https: ssl.SSLContext) -> None:
    async with scripted_http(once, stay_deaf, tls=https) as server, opened(server.endpoint("https")) as connection:
        await server.wait_open(0)
        await check_lost(connection, "no answer within 0.1 s", UNSENT, timeout=0.1)
        await server.wait_open(0)


async def test_call_that_is_connecting_ends_with_the_connection(https: ssl.SSLContext) -> None:
    async with scripted_http(once, stay_deaf, tls=https) as server, opened(server.endpoint("https")) as connection:
        await server.wait_open(0)
        async with create_task_group() as tasks:
            tasks.start_soon(check_lost, connection, "the connection was closed", UNSENT)
            await server.wait_made(2)
            await connection.aclose()
        await server.wait_open(0)


async def test_call_that_connects_when_the_connection_has_ended_has_sent_nothing(https: ssl.SSLContext) -> None:
    ended = Event()
    heard = b""

    async def listen(peer: HttpPeer) -> None:
        nonlocal heard
        await ended.wait()
        await peer.hear()
        heard = b"something"

    async with scripted_http(once, listen, tls=https) as server:
        connection = await parse_endpoint(server.endpoint("https")).open(print)
        await server.wait_open(0)
        async with create_task_group() as tasks:
            tasks.start_soon(check_lost, connection, "the connection is not read any more", UNSENT)
            await server.wait_made(2)
            with move_on_after(0):
                await connection.read()
            ended.set()
        await connection.aclose()
        await server.wait_open(0)
    assert heard == b""
