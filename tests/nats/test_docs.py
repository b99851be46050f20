"""What docs/jetstream.md shows works as it stands."""

from __future__ import annotations

import asyncio
import json
import re
import textwrap
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from ridethrough.jetstream import JetStreamMessageBuffer

from .harness import Outbox, put_all, send_all, send_next
from .servers import Server, connected, one_server

pytestmark = pytest.mark.anyio

DOCS = Path(__file__, "../../../docs").resolve()
PAGE = (DOCS / "jetstream.md").read_text()


class _Pager:
    async def send(self, message: object) -> dict[str, object]:
        return {"paged": message}

    async def wait_closed(self) -> None:
        await asyncio.Event().wait()


@asynccontextmanager
async def _connect() -> AsyncIterator[_Pager]:
    yield _Pager()


async def test_one_host_puts_and_another_sends(own_server: Server, capsys: pytest.CaptureFixture[str]) -> None:
    put, send, _, letters = re.findall(r"```python\n(.*?)```", PAGE, re.DOTALL)
    listed = re.search(r"servers = \[.*\]", put)
    assert listed is not None
    put = put.replace(listed[0], "")
    names: dict[str, Any] = {"servers": own_server.url, "connect": _connect}
    for name, text in (("put", put + textwrap.indent(letters, "    ")), ("send", send)):
        exec(f"async def {name}():\n{textwrap.indent(text, '    ')}", names)
    sending = asyncio.create_task(names["send"]())
    async with asyncio.timeout(10):
        await names["put"]()
    sending.cancel()
    await asyncio.wait({sending})
    assert capsys.readouterr().out == "{'paged': {'to': 'pager', 'text': 'disk full'}}\n"


def test_outbox_for_signal() -> None:
    text = re.findall(r"```python\n(.*?)```", PAGE, re.DOTALL)[2]
    names: dict[str, Any] = {"servers": "nats://127.0.0.1:4222", "JetStreamMessageBuffer": JetStreamMessageBuffer}
    exec(f"from ridethrough.signal_cli import *\n{text}", names)
    assert repr(names["outbox"]) == "<JetStreamMessageBuffer alerts: closed, 0 messages of this host's>"


async def test_administrator_makes_the_streams_and_hosts_have_the_permissions_for_the_rest() -> None:
    conf = (DOCS / "jetstream" / "nats.conf").read_text()
    assert "sync_interval: always" in conf
    host = re.search(r"(?s)\{\s*user: host.*\}(?=\]\n\})", conf)
    assert host is not None
    users = host[0].replace("$HOST_PASSWORD", "secret")
    admin = "{ user: admin, password: secret }"
    with one_server(extra=f"authorization {{ users: [{admin}, {users}] }}") as server:
        async with connected(server.url.replace("//", "//admin:secret@")) as client:
            for stream in ("outbox", "outbox-dead", "outbox-state"):
                await _make(client, f"STREAM.CREATE.{stream}", _file(stream))
            await _make(
                client, "CONSUMER.CREATE.outbox.sender-0", {"stream_name": "outbox", "config": _file("sender-0")}
            )
        outbox = Outbox(server.url)
        options = {"lease_time": 30.0, "options": {"user": "host", "password": "secret"}, "on_undelivered": None}
        async with outbox.two(**options) as (one, other):
            deliveries = await put_all(one, "abcdef")
            assert await send_next(other) == "a"
            async with other.lease() as lease:
                next(iter(lease)).begin()
            async with one.lease() as lease:
                next(iter(lease)).reject("no")
            assert await one.cancel(deliveries[2])
            assert await other.drain() == ["d", "e", "f"]
            await put_all(one, [str(number) for number in range(101)])
            first, second = await one.dead_letters()
            assert await one.forget(first.id) == 1
            assert await send_all(other, 1) == "1"
            await other.put_again(second.id)
            assert [each.body for each in await other.waiting()][-2:] == [b'"100"', b'"0"']
            assert await one.dead_letters() == []
            assert await one.count() == 100
            assert one.state == other.state == "connected"


def _file(name: str) -> dict[str, Any]:
    config: dict[str, Any] = json.loads((DOCS / "jetstream" / f"{name}.json").read_text())
    if "num_replicas" in config:
        config["num_replicas"] = 1  # here is one server
    return config


async def _make(client: Any, subject: str, config: dict[str, Any]) -> None:
    answer = json.loads((await client.request(f"$JS.API.{subject}", json.dumps(config).encode(), timeout=5)).data)
    assert "error" not in answer
