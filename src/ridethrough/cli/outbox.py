"""Reaching an outbox, on this machine's disk or on servers: nobody else has to know which of these it is."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any, ParamSpec, TypeAlias

import anyio

from ..errors import RidethroughError
from ..signal_cli.codec import decode_message, encode_message, summarize
from ..signal_cli.messages import SignalMessage
from ..sqlite.client import OutboxClient, connect
from .address import Servers
from .exits import CommandFailed, UsageError
from .servers import SharedClient
from .settings import MAX_SIZE, Settings

Client: TypeAlias = OutboxClient[SignalMessage] | SharedClient
P = ParamSpec("P")
_PAGE = 100


def perform(work: Callable[P, Awaitable[int]], *args: P.args, **kwargs: P.kwargs) -> int:
    """Run a command's part that needs an event loop, and return its exit status.

    Raises:
        CommandFailed: it could not be done, and this is why.
    """

    async def run() -> int:
        return await work(*args, **kwargs)

    try:
        return anyio.run(run)
    except (CommandFailed, UsageError):
        raise
    except (RidethroughError, OSError, ValueError) as error:
        raise CommandFailed(str(error)) from error
    except (LookupError, RuntimeError) as error:
        if type(error) not in (LookupError, RuntimeError):  # those are mistakes in the program
            raise
        raise CommandFailed(str(error)) from error


@asynccontextmanager
async def reach(settings: Settings, *, create: bool = False) -> AsyncIterator[Client]:
    """A client of the outbox: through its owner, or, if it has none, by owning it for a moment; or by way of servers.

    Args:
        settings: which one.
        create: whether it may be made now; otherwise it must be there: a wrong name makes no file, and no streams.
    """
    if isinstance(settings.outbox, Servers):
        async with SharedClient(settings.outbox, settings, create=create) as shared:
            yield shared
        return
    if not create and not settings.outbox.exists():
        raise CommandFailed(f"there is no outbox {settings.outbox}")
    terms: dict[str, Any] = {} if settings.overflow is None else {"overflow": settings.overflow}
    async with connect(
        settings.outbox,
        max_size=settings.max_size or MAX_SIZE,
        encode=encode_message,
        decode=decode_message,
        summarize=summarize,
        **terms,
    ) as client:
        yield client


def is_missing(settings: Settings) -> bool:
    """Whether there is no file of that name yet; of an outbox on servers, the client tells once it has reached them."""
    return not isinstance(settings.outbox, Servers) and not settings.outbox.exists()


async def entries(client: Client, method: str) -> list[dict[str, Any]]:
    """All that ``waiting`` or ``dead_letters`` list, page by page."""
    found: list[dict[str, Any]] = []
    if isinstance(client, SharedClient):
        found += await client.request(method)
        return found
    limit = _PAGE
    while True:
        try:
            page = await client.request(method, after=found[-1]["id"] if found else 0, limit=limit)
        except ValueError:  # together they are too long for a line through the door
            if limit == 1:
                raise
            limit //= 10
            continue
        if not page:
            return found
        found += page
