"""The table of transitions against what a supervisor is for, said without a table."""

from __future__ import annotations

import pytest
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from ridethrough import ConnectionEvent, ConnectionState
from ridethrough.state import RUNNING, next_state


class TransitionMachine(RuleBasedStateMachine):
    """A supervisor as its user sees it: whether it runs, has a link, waits, and has ended for good."""

    def __init__(self) -> None:
        super().__init__()
        self.state = ConnectionState.IDLE
        self.running = self.linked = self.waiting = self.refused = self.closed = False

    @rule(event=st.sampled_from(ConnectionEvent))
    def happens(self, event: ConnectionEvent) -> None:
        before = self.state
        if self.allows(event):
            self.state = next_state(self.state, event)
            self.take(event)
        else:
            with pytest.raises(RuntimeError, match=f"{event} cannot happen to a supervisor that is {before}"):
                next_state(self.state, event)
            assert self.state is before

    def allows(self, event: ConnectionEvent) -> bool:
        """Whether it can happen now."""
        trying = self.running and not self.linked and not self.waiting
        match event:
            case ConnectionEvent.RUN:
                return not (self.running or self.refused or self.closed)
            case ConnectionEvent.LINK_READY:
                return trying
            case ConnectionEvent.LINK_LOST | ConnectionEvent.REFUSED:
                return trying or self.linked
            case ConnectionEvent.RETRY | ConnectionEvent.OUTAGE:
                return self.waiting
            case ConnectionEvent.STOP:
                return self.running
            case ConnectionEvent.CLOSE:
                return not self.closed

    def take(self, event: ConnectionEvent) -> None:
        """Let it happen."""
        self.running = self.running and event not in (
            ConnectionEvent.REFUSED, ConnectionEvent.OUTAGE, ConnectionEvent.STOP, ConnectionEvent.CLOSE,
        )  # fmt: skip
        self.running = self.running or event is ConnectionEvent.RUN
        self.linked = event is ConnectionEvent.LINK_READY
        self.waiting = event is ConnectionEvent.LINK_LOST
        self.refused = self.refused or event is ConnectionEvent.REFUSED
        self.closed = event is ConnectionEvent.CLOSE

    @invariant()
    def looks_as_it_is(self) -> None:
        assert (self.state in RUNNING) == self.running
        assert (self.state is ConnectionState.CONNECTED) == self.linked
        assert (self.state is ConnectionState.BACKING_OFF) == self.waiting
        assert (self.state is ConnectionState.CLOSED) == self.closed
        assert (self.state is ConnectionState.FAILED) == (self.refused and not self.closed)


TestTransitions = TransitionMachine.TestCase
