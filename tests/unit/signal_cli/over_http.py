"""Connections over HTTP to a scripted daemon, and what is to hold of them."""

from __future__ import annotations

import re
import traceback
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest
from anyio import create_task_group, fail_after

from ridethrough import LinkLost
from ridethrough.signal_cli.connection import Connection, OnReceive
from ridethrough.signal_cli.endpoints import parse_endpoint
from tests.unit.signal_cli.scripted import PATIENCE
from tests.unit.signal_cli.scripted_http import HttpScript, scripted_http

SECRET = "meet me at noon"
IN_DOUBT, UNSENT = False, True


@asynccontextmanager
async def opened(endpoint: str, on_receive: OnReceive = lambda _: None, **options: Any) -> AsyncIterator[Connection]:
    """A connection that is read from."""
    with fail_after(PATIENCE):
        connection = await parse_endpoint(endpoint, **options).open(on_receive)
        try:
            async with create_task_group() as tasks:
                tasks.start_soon(connection.read)
                yield connection
                tasks.cancel_scope.cancel()
        finally:
            await connection.aclose()


@asynccontextmanager
async def connected(*scripts: HttpScript, on_receive: OnReceive = lambda _: None) -> AsyncIterator[Connection]:
    async with scripted_http(*scripts) as server, opened(server.endpoint(), on_receive) as connection:
        yield connection


async def ask(connection: Connection, timeout: float = PATIENCE, **params: Any) -> Any:
    return await connection.call("send", params, timeout)


async def check_lost(connection: Connection, reason: str, unsent: bool, timeout: float = PATIENCE) -> None:
    """A call that raises LinkLost for that reason."""
    with pytest.raises(LinkLost) as caught:
        await ask(connection, timeout, message=SECRET)
    assert (str(caught.value), caught.value.unsent) == (reason, unsent)
    assert SECRET not in "".join(traceback.format_exception(caught.value))
    assert caught.value.__context__ is None, "it hangs on to the request"


async def check_over(connection: Connection, reason: str) -> None:
    """The connection is gone, and nothing is sent over it any more."""
    with pytest.raises(LinkLost, match=f"^{re.escape(reason)}$"):
        await connection.wait_closed()
    await check_lost(connection, reason, UNSENT)


async def check_not_opened(endpoint: str, reason: str) -> None:
    with pytest.raises(LinkLost, match=reason) as caught:
        async with opened(endpoint):
            pass
    assert caught.value.unsent
