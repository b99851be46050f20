"""The outbox that ``run`` sends from, on this machine's disk or on servers: ``run`` need not know which of these."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from typing import Any, TypeAlias

from ..delivery import Delivery
from .address import Servers
from .disk import DiskOutbox, open_on_disk
from .servers import SharedOutbox, open_on_servers
from .settings import Settings

Owned: TypeAlias = DiskOutbox | SharedOutbox


def own(settings: Settings, on_undelivered: Callable[[Delivery[Any]], object]) -> AbstractAsyncContextManager[Owned]:
    """The outbox, to send from. Entering it takes as long as it takes to get it.

    Args:
        settings: which one.
        on_undelivered: told of what will not be sent.
    """
    if isinstance(settings.outbox, Servers):
        return open_on_servers(settings.outbox, settings, on_undelivered)
    return open_on_disk(settings.outbox, settings, on_undelivered)
