"""How a running client is: at a glance for a person who looks on, and in full for ``ridethrough status``."""

from __future__ import annotations

from typing import Any

from anyio import current_time

from ..abc import BufferStatistics
from ..signal_cli import ServiceState, ServiceStatus, SignalClient, SignalMessage
from ..state import ConnectionState
from ..supervisor import ReconnectSupervisor
from ..views import Status
from .tables import escape, span


def about(client: SignalClient[Any], endpoint: str, account: str | None) -> dict[str, Any]:
    """What ``status`` tells besides the outbox itself, in values of JSON."""
    now = current_time()
    holds = [
        {
            "to": hold.target.address or "note to self",
            "reason": hold.reason,
            "attempt": hold.attempt,
            "next_try": max(0.0, hold.until - now),
            "token": hold.token,
        }
        for hold in client.holds()
    ]
    return {
        "endpoint": endpoint,
        "account": account,
        "link": _link(client.supervisor),
        "service": _link(client.service),
        "holds": holds,
    }


def _link(link: ReconnectSupervisor[SignalMessage] | ServiceStatus) -> dict[str, Any]:
    return {"state": link.state, "reason": link.reason, "attempt": link.attempt, "next_try": link.next_try}


def glance(client: SignalClient[Any], statistics: BufferStatistics, trouble: str) -> Status:
    """What a person sees who looks on.

    Args:
        client: sends.
        statistics: of the outbox.
        trouble: what is the matter with that, in a few words; empty: nothing.
    """
    notes = [trouble] if trouble else []
    if client.supervisor.state is not ConnectionState.CONNECTED and client.supervisor.reason:
        notes.append(_trouble("no link", client.supervisor))
    elif client.service.state is ServiceState.UNREACHABLE:
        notes.append(_trouble("Signal is not reached", client.service))
    if held_up := len(client.holds()):
        notes.append(f"{held_up} held up: see ridethrough status")
    return Status(client.supervisor.state, statistics, note=escape("; ".join(notes)))


def _trouble(what: str, link: ReconnectSupervisor[SignalMessage] | ServiceStatus) -> str:
    text = f"{what}: {link.reason}"
    return text if link.next_try is None else f"{text}; next try in {span(link.next_try)}"
