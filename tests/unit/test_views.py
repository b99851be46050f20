"""What a person sees."""

from __future__ import annotations

import io
import sys

import pytest

from ridethrough import AsyncMessageBuffer
from ridethrough.views import LineView, LiveView, LogView, Status, View, make_view


def test_live_view_names_the_extra_that_is_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "rich.console", None)
    with pytest.raises(ImportError, match=r"pip install 'ridethrough\[cli\]'"):
        make_view(Terminal())


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def status() -> Status:
    statistics = AsyncMessageBuffer[str]().statistics()._replace(queued=2, leased=1, sent=4, dropped=5)
    return Status("backing_off", statistics, 12)


def test_view_for_each_output() -> None:
    assert isinstance(make_view(io.StringIO()), LineView)
    assert isinstance(make_view(Terminal()), LiveView)


def test_silent_view() -> None:
    with View() as view:
        view.show(status())
        view.say("nothing")


def test_log_view_writes_what_happens_and_nothing_else() -> None:
    output = io.StringIO()
    with LogView(output) as view:
        view.show(status())
        view.say("It begins.")
    assert output.getvalue() == "It begins.\n"


def test_line_view_writes_lines_with_figures() -> None:
    output = io.StringIO()
    with LineView(output) as view:
        view.say("It begins.")
        view.show(status())
        view.say("It goes on.")
    assert output.getvalue() == "It begins.\nbacking_off  queue   3  sent   4  dropped   5  It goes on.\n"


def test_live_view_keeps_lines_and_takes_the_display_down() -> None:
    output = Terminal()
    with LiveView(output) as view:
        view.show(status())
        view.say("[bold]It begins.[/bold]")
        view.show(status()._replace(state="connected"))
    shown = output.getvalue()
    assert "[bold]It begins.[/bold]" in shown
    assert "queue   3" in shown and "sent   4" in shown and "dropped   5" in shown and "of 12" in shown
    assert "\x1b[?25h" in shown, "the cursor is hidden still"


def test_live_view_where_nobody_knows_how_many_there_will_be() -> None:
    output = Terminal()
    with LiveView(output) as view:
        statistics = status().statistics._replace(rejected=2)
        view.show(Status("backing_off", statistics, note="no link: [bold]gone[/bold]"))
    shown = output.getvalue()
    assert "backing off" in shown and "rejected   2" in shown and "no link: [bold]gone[/bold]" in shown
    assert "expired" not in shown and "of None" not in shown
