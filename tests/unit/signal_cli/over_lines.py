"""Connections over lines to a scripted daemon, and what is to hold of them."""

from __future__ import annotations

import re
import traceback
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest
from anyio import create_task_group, fail_after
from anyio.abc import SocketStream

from ridethrough import LinkLost
from ridethrough.signal_cli.connection import LineConnection, OnReceive
from tests.unit.signal_cli.scripted import PATIENCE, Script, scripted

SECRET = "meet me at noon"


@asynccontextmanager
async def opened(
    script: Script, on_receive: OnReceive = lambda _: None
) -> AsyncIterator[tuple[LineConnection, SocketStream]]:
    """A connection on which nobody reads yet."""
    async with scripted(script) as endpoint, await endpoint.connect() as stream:
        with fail_after(PATIENCE):
            yield LineConnection(stream, endpoint.after_read, on_receive), stream


@asynccontextmanager
async def connected(script: Script, on_receive: OnReceive = lambda _: None) -> AsyncIterator[LineConnection]:
    async with opened(script, on_receive) as (connection, _), create_task_group() as tasks:
        tasks.start_soon(connection.read)
        yield connection
        tasks.cancel_scope.cancel()


async def ask(connection: LineConnection, method: str = "version", timeout: float = PATIENCE, **params: Any) -> Any:
    return await connection.call(method, params, timeout)


async def check_lost(connection: LineConnection, reason: str, *, unsent: bool = False, **options: Any) -> None:
    """A call that raises LinkLost for that reason."""
    with pytest.raises(LinkLost) as caught:
        await ask(connection, message=SECRET, **options)
    assert str(caught.value) == reason
    assert caught.value.unsent is unsent
    assert SECRET not in "".join(traceback.format_exception(caught.value))


async def check_over(connection: LineConnection, reason: str) -> None:
    """The connection is gone, and nothing is sent over it any more."""
    with pytest.raises(LinkLost, match=f"^{re.escape(reason)}$"):
        await connection.wait_closed()
    await check_lost(connection, reason, unsent=True)
