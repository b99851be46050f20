"""What a person sees while a command runs: a live display on a terminal, lines otherwise."""

from __future__ import annotations

from types import TracebackType
from typing import TYPE_CHECKING, NamedTuple, Self, TextIO

from .abc import BufferStatistics

if TYPE_CHECKING:
    from rich.console import RenderableType


class Status(NamedTuple):
    """What there is to see at one moment."""

    state: str
    """The link's."""
    statistics: BufferStatistics
    total: int | None = None
    """How many messages there will be in all; None: nobody knows."""
    note: str = ""
    """What else there is to say of it, in a line."""


class View:
    """Shows nothing, and is what the others are made from.

    Attributes:
        interval: how often there is something to show, in seconds.
    """

    interval: float = 1.0

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, exc_type: type[BaseException] | None, exc: BaseException | None, traceback: TracebackType | None
    ) -> None:
        """Nothing to take down."""

    def say(self, text: str) -> None:
        """Tell what happens."""

    def show(self, status: Status) -> None:
        """Show where the messages are."""


class LogView(View):
    """Writes what happens, a line each, and nothing else."""

    def __init__(self, output: TextIO) -> None:
        self._output = output

    def say(self, text: str) -> None:
        """Write a line."""
        self._output.write(f"{text}\n")
        self._output.flush()


class LineView(View):
    """Writes a line for each thing that happens, with the figures of that moment."""

    def __init__(self, output: TextIO) -> None:
        self._output = output
        self._status: Status | None = None

    def say(self, text: str) -> None:
        """Write a line."""
        self._output.write(f"{_figures(self._status)}{text}\n")
        self._output.flush()

    def show(self, status: Status) -> None:
        """Keep it for the next line."""
        self._status = status


def _figures(status: Status | None) -> str:
    if status is None:
        return ""
    counts = status.statistics
    waiting = counts.queued + counts.leased
    return f"{status.state:<12} queue {waiting:>3}  sent {counts.sent:>3}  dropped {counts.dropped:>3}  "


class LiveView(View):
    """A display with a progress bar that stays in its place, and lines above it."""

    interval: float = 0.1

    def __init__(self, output: TextIO) -> None:
        try:
            from rich.console import Console  # noqa: PLC0415, it comes with the extra
            from rich.live import Live  # noqa: PLC0415
        except ImportError as error:
            raise ImportError("the live display needs rich: pip install 'ridethrough[cli]'") from error
        self._console = Console(file=output)
        self._live = Live(console=self._console, refresh_per_second=10, transient=True)

    def __enter__(self) -> Self:
        self._live.start()
        return self

    def __exit__(
        self, exc_type: type[BaseException] | None, exc: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._live.stop()

    def say(self, text: str) -> None:
        """Write a line above the display."""
        self._console.print(text, markup=False, highlight=False)

    def show(self, status: Status) -> None:
        """Draw the display anew."""
        self._live.update(self._draw(status))

    def _draw(self, status: Status) -> RenderableType:
        from rich.progress_bar import ProgressBar  # noqa: PLC0415
        from rich.table import Table  # noqa: PLC0415
        from rich.text import Text  # noqa: PLC0415

        counts = status.statistics
        colour = "green" if status.state == "connected" else "yellow"
        more = [(end, getattr(counts, end)) for end in ("expired", "rejected", "unknown", "cancelled")]
        line = Text.assemble(
            (f" {status.state.replace('_', ' '):<13}", f"bold {colour}"),
            f"queue {counts.queued + counts.leased:>3}   ",
            (f"sent {counts.sent:>3}   ", "green"),
            (f"dropped {counts.dropped:>3}   ", "red" if counts.dropped else "default"),
            *((f"{end} {number:>3}   ", "yellow") for end, number in more if number),
            "" if status.total is None else f"of {status.total}",
        )
        display = Table.grid()
        if status.total is not None:
            display.add_row(ProgressBar(total=status.total, completed=counts.ended))
        display.add_row(line)
        if status.note:
            display.add_row(Text(f" {status.note}", style="dim", overflow="ellipsis", no_wrap=True))
        return display


def make_view(output: TextIO) -> View:
    """A live display if the output is a terminal, and lines otherwise."""
    return LiveView(output) if output.isatty() else LineView(output)
