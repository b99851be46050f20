"""ConnectionState and the table of transitions. Pure: what may happen when, and nothing of how."""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum
from types import MappingProxyType
from typing import NamedTuple


class ConnectionState(StrEnum):
    """Where a supervisor stands with its link."""

    IDLE = "idle"
    """It does not run."""
    CONNECTING = "connecting"
    """A link is being made."""
    CONNECTED = "connected"
    """The link is ready, and messages are sent."""
    BACKING_OFF = "backing_off"
    """There is no link, and the next try is being waited for."""
    SUSPENDED = "suspended"
    """The outage took longer than ``max_outage``: it has stopped trying, and may be run again."""
    FAILED = "failed"
    """The other side refuses the credentials: it has stopped trying for good."""
    CLOSED = "closed"
    """It was closed for good."""


class ConnectionEvent(StrEnum):
    """What leads from one state to the next."""

    RUN = "run"
    """``run`` was called."""
    LINK_READY = "link_ready"
    """The link was made and says that it is ready."""
    LINK_LOST = "link_lost"
    """The link could not be made, or is gone."""
    RETRY = "retry"
    """The time for the next try has come, or ``retry_now`` was called."""
    REFUSED = "refused"
    """The other side refuses the credentials."""
    OUTAGE = "outage"
    """There was no link for ``max_outage``."""
    STOP = "stop"
    """``run`` was cancelled, or ended by an error that is no matter of the link."""
    CLOSE = "close"
    """``aclose`` was called."""


_S, _E = ConnectionState, ConnectionEvent

TRANSITIONS: Mapping[tuple[ConnectionState, ConnectionEvent], ConnectionState] = MappingProxyType(
    {
        (_S.IDLE, _E.RUN): _S.CONNECTING,
        (_S.IDLE, _E.CLOSE): _S.CLOSED,
        (_S.CONNECTING, _E.LINK_READY): _S.CONNECTED,
        (_S.CONNECTING, _E.LINK_LOST): _S.BACKING_OFF,
        (_S.CONNECTING, _E.REFUSED): _S.FAILED,
        (_S.CONNECTING, _E.STOP): _S.IDLE,
        (_S.CONNECTING, _E.CLOSE): _S.CLOSED,
        (_S.CONNECTED, _E.LINK_LOST): _S.BACKING_OFF,
        (_S.CONNECTED, _E.REFUSED): _S.FAILED,
        (_S.CONNECTED, _E.STOP): _S.IDLE,
        (_S.CONNECTED, _E.CLOSE): _S.CLOSED,
        (_S.BACKING_OFF, _E.RETRY): _S.CONNECTING,
        (_S.BACKING_OFF, _E.OUTAGE): _S.SUSPENDED,
        (_S.BACKING_OFF, _E.STOP): _S.IDLE,
        (_S.BACKING_OFF, _E.CLOSE): _S.CLOSED,
        (_S.SUSPENDED, _E.RUN): _S.CONNECTING,
        (_S.SUSPENDED, _E.CLOSE): _S.CLOSED,
        (_S.FAILED, _E.CLOSE): _S.CLOSED,
    }
)
"""Every transition there is; whatever is not in it cannot happen."""

RUNNING = frozenset({_S.CONNECTING, _S.CONNECTED, _S.BACKING_OFF})
"""The states in which ``run`` is under way."""


class Transition(NamedTuple):
    """One step of a supervisor, as its observers see it."""

    previous: ConnectionState
    event: ConnectionEvent
    state: ConnectionState
    reason: str
    """Why, in a few words; may be empty."""
    attempt: int
    """How many tries in a row have failed, or led to a link that did not last."""
    delay: float | None
    """Seconds until the next try; None if none is planned."""


def next_state(state: ConnectionState, event: ConnectionEvent) -> ConnectionState:
    """Where an event leads.

    Raises:
        RuntimeError: it cannot happen in that state.
    """
    try:
        return TRANSITIONS[state, event]
    except KeyError:
        allowed = ", ".join(sorted(e for s, e in TRANSITIONS if s is state)) or "nothing"
        raise RuntimeError(f"{event} cannot happen to a supervisor that is {state} (only: {allowed})") from None


def diagram() -> str:
    """The table, as a state diagram in the language of Mermaid."""
    lines = ["stateDiagram-v2", f"    [*] --> {ConnectionState.IDLE}"]
    lines += [f"    {state} --> {target}: {event}" for (state, event), target in TRANSITIONS.items()]
    return "\n".join([*lines, f"    {ConnectionState.CLOSED} --> [*]"]) + "\n"
