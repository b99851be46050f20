"""state.py: the table of transitions, and the page that is made from it."""

from __future__ import annotations

import re
from itertools import product
from pathlib import Path

import pytest

from ridethrough.state import RUNNING, TRANSITIONS, ConnectionEvent, ConnectionState, Transition, diagram, next_state

PAGE = Path(__file__).parents[2] / "docs" / "states.md"

S, E = ConnectionState, ConnectionEvent

PAIRS = list(product(ConnectionState, ConnectionEvent))


def reachable(start: ConnectionState) -> set[ConnectionState]:
    """Where one may come from there, however many steps it takes."""
    found: set[ConnectionState] = set()
    new = {start}
    while new:
        found |= new
        new = {target for (state, _), target in TRANSITIONS.items() if state in new} - found
    return found


@pytest.mark.parametrize(("state", "event"), [pair for pair in PAIRS if pair in TRANSITIONS])
def test_events_in_the_table_lead_where_it_says(state: ConnectionState, event: ConnectionEvent) -> None:
    assert next_state(state, event) is TRANSITIONS[state, event]


@pytest.mark.parametrize(("state", "event"), [pair for pair in PAIRS if pair not in TRANSITIONS])
def test_all_other_events_raise_and_change_nothing(state: ConnectionState, event: ConnectionEvent) -> None:
    before = dict(TRANSITIONS)
    with pytest.raises(RuntimeError, match=f"^{event} cannot happen to a supervisor that is {state} ") as caught:
        next_state(state, event)
    assert caught.value.__cause__ is None and caught.value.__suppress_context__
    assert before == TRANSITIONS


def test_errors_tell_what_may_happen_instead() -> None:
    with pytest.raises(RuntimeError, match=re.escape("(only: close, outage, retry, stop)")):
        next_state(S.BACKING_OFF, E.LINK_READY)
    with pytest.raises(RuntimeError, match=re.escape("(only: nothing)")):
        next_state(S.CLOSED, E.CLOSE)


def test_table_cannot_be_written_to() -> None:
    with pytest.raises(TypeError):
        TRANSITIONS[S.CLOSED, E.RUN] = S.CONNECTING  # type: ignore[index]


def test_every_state_is_reachable_from_the_first() -> None:
    assert reachable(S.IDLE) == set(ConnectionState)


def test_every_event_happens_somewhere() -> None:
    assert {event for _, event in TRANSITIONS} == set(ConnectionEvent)


def test_every_state_but_closed_can_be_closed_and_closed_is_final() -> None:
    for state in ConnectionState:
        if state is S.CLOSED:
            assert reachable(state) == {S.CLOSED}
        else:
            assert next_state(state, E.CLOSE) is S.CLOSED


def test_failed_can_only_be_closed() -> None:
    assert {event for state, event in TRANSITIONS if state is S.FAILED} == {E.CLOSE}


def test_sending_starts_only_when_the_link_says_that_it_is_ready() -> None:
    assert [pair for pair, target in TRANSITIONS.items() if target is S.CONNECTED] == [(S.CONNECTING, E.LINK_READY)]


def test_a_lost_link_always_leads_through_a_backoff() -> None:
    assert {TRANSITIONS[pair] for pair in TRANSITIONS if pair[1] is E.LINK_LOST} == {S.BACKING_OFF}
    into_connecting = {pair for pair, target in TRANSITIONS.items() if target is S.CONNECTING}
    assert into_connecting == {(S.IDLE, E.RUN), (S.SUSPENDED, E.RUN), (S.BACKING_OFF, E.RETRY)}


def test_running_states_are_those_that_run_leads_into_and_stop_leads_out_of() -> None:
    assert {state for state, event in TRANSITIONS if event is E.STOP} == RUNNING
    assert {target for (_, event), target in TRANSITIONS.items() if event in (E.RUN, E.LINK_READY, E.RETRY)} <= RUNNING
    assert {target for (_, event), target in TRANSITIONS.items() if event is E.STOP} == {S.IDLE}
    assert not {state for state, event in TRANSITIONS if event is E.RUN} & RUNNING


def test_transition_carries_what_observers_see() -> None:
    transition = Transition(S.CONNECTED, E.LINK_LOST, S.BACKING_OFF, "reset by peer", 1, 0.25)
    assert transition._asdict() == {
        "previous": "connected",
        "event": "link_lost",
        "state": "backing_off",
        "reason": "reset by peer",
        "attempt": 1,
        "delay": 0.25,
    }


def test_diagram_has_an_arrow_for_each_transition_and_no_other() -> None:
    head, start, *arrows, end = diagram().splitlines()
    assert (head, start, end) == ("stateDiagram-v2", "    [*] --> idle", "    closed --> [*]")
    found = [re.fullmatch(r"    (\w+) --> (\w+): (\w+)", arrow) for arrow in arrows]
    drawn = {(S(match[1]), E(match[3])): S(match[2]) for match in found if match}
    assert drawn == TRANSITIONS and len(arrows) == len(TRANSITIONS)


def test_page_shows_the_diagram_as_it_is() -> None:
    fences = re.findall(r"^```mermaid\n(.*?)^```$", PAGE.read_text(encoding="utf-8"), re.DOTALL | re.MULTILINE)
    assert fences == [diagram()]


def test_page_describes_each_state() -> None:
    described = re.findall(r"^- \*\*(\w+)\*\*: \w", PAGE.read_text(encoding="utf-8"), re.MULTILINE)
    assert described == [state.value for state in ConnectionState]
