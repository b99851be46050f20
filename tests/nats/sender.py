"""A program that sends: it leases a message, says so, and is never done, until it is killed."""

from __future__ import annotations

import asyncio
import sys

from .harness import Outbox


async def main(server: str, name: str) -> None:
    async with Outbox(server, name).host() as buffer, buffer.lease() as lease:
        (entry,) = lease
        entry.begin()
        print(entry.message, flush=True)
        await asyncio.Event().wait()


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:]))
