"""JetStreamMessageBuffer, as far as it needs no server: its arguments, and what it says before it is entered."""

from __future__ import annotations

import subprocess
import sys
from typing import Any

import pytest

from ridethrough import BufferClosed, MessageBuffer, StoreAway
from ridethrough.jetstream import JetStreamMessageBuffer
from tests.conformance.harness import is_asyncio

URL = "nats://127.0.0.1:1"


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("name", "a.b"),
        ("name", ""),
        ("name", "x" * 65),
        ("name", 3),
        ("max_size", 0),
        ("max_size", 1.0),
        ("max_bytes", 0),
        ("max_bytes", True),
        ("ttl", 0),
        ("ttl", "1"),
        ("overflow", "drop"),
        ("key", 3),
        ("encode", 3),
        ("decode", 3),
        ("on_undelivered", 3),
        ("lease_time", 0.5),
        ("replicas", 0),
        ("partitions", 0),
        ("max_dead_letters", 0),
        ("put_timeout", 0),
    ],
)
def test_bad_argument_is_named(name: str, value: object) -> None:
    options: dict[str, Any] = {name: value}
    if name in ("encode", "decode"):
        options = {"encode": str.encode, "decode": bytes.decode, **options}
    with pytest.raises((TypeError, ValueError), match=f"^{name} must be"):
        JetStreamMessageBuffer(URL, **options)


@pytest.mark.parametrize("servers", [[], [3], 3, None])
def test_servers_are_addresses(servers: Any) -> None:
    with pytest.raises(TypeError, match="servers must be the address"):
        JetStreamMessageBuffer(servers)


def test_encode_and_decode_go_together() -> None:
    for options in ({"encode": str.encode}, {"decode": bytes.decode}):
        with pytest.raises(TypeError, match="encode and decode must be given together, or neither"):
            JetStreamMessageBuffer(URL, **options)


@pytest.mark.parametrize("option", ["error_cb", "closed_cb", "pending_size", "servers", "allow_reconnect"])
def test_options_that_are_the_buffers_own_are_refused(option: str) -> None:
    with pytest.raises(ValueError, match=f"options must not have {option}"):
        JetStreamMessageBuffer(URL, options={option: None})


def test_credentials_are_not_shown() -> None:
    options = {"user": "me", "password": "secret", "user_jwt_cb": None}
    buffer: JetStreamMessageBuffer[str] = JetStreamMessageBuffer("nats://me:secret@127.0.0.1", options=options)
    assert repr(buffer) == "<JetStreamMessageBuffer outbox: closed, 0 messages of this host's>"
    assert isinstance(buffer, MessageBuffer)


@pytest.mark.anyio
async def test_it_is_entered_before_it_is_used() -> None:
    buffer: JetStreamMessageBuffer[str] = JetStreamMessageBuffer(URL)
    assert (buffer.state, buffer.reason) == ("closed", "")
    assert buffer.statistics().accepted == 0
    for call in (buffer.put("a"), buffer.put_many("a"), buffer.drain(), buffer.flush(), buffer.count()):
        with pytest.raises(RuntimeError, match="entered with async with before it is used"):
            await call
    with pytest.raises(RuntimeError, match="entered with async with before it is used"):
        buffer.lease()
    assert await buffer.aclose() == []
    with pytest.raises(BufferClosed):
        await buffer.put("a")
    if is_asyncio():
        with pytest.raises(RuntimeError, match="entered once"):
            await buffer.__aenter__()


@pytest.mark.anyio
async def test_on_trio_it_is_refused() -> None:
    buffer: JetStreamMessageBuffer[str] = JetStreamMessageBuffer(URL, put_timeout=0.01)
    if is_asyncio():
        with pytest.raises(StoreAway, match="no NATS server was reached"):
            await buffer.__aenter__()
    else:
        with pytest.raises(RuntimeError, match="runs on asyncio, as nats-py does, and not on trio"):
            await buffer.__aenter__()


def test_missing_extra_is_named() -> None:
    program = "import sys; sys.modules['nats.aio.client'] = None; import ridethrough.jetstream"
    run = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)
    assert run.returncode == 1
    assert "ImportError: the shared buffer needs nats-py: pip install 'ridethrough[nats]'" in run.stderr
