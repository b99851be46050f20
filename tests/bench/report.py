"""What a theme reports: lines of a table, and pictures; as plain text, and as Markdown."""

from __future__ import annotations

from typing import NamedTuple

from .pairs import Figure

_WIDTH = 64
_ALIGNED = f"{{:{_WIDTH}}}  {{:>7}}  {{:>17}}  {{:>7}}  {{:4}}  {{}}"


class Line(NamedTuple):
    """A line of the table."""

    name: str
    figure: Figure
    bound: float | None = None
    """The most that the median is meant to be; None: it is only shown."""
    unit: str = ""
    """Empty: it is a ratio."""

    def columns(self) -> tuple[str, ...]:
        """Name, median, quartiles, bound, whether it holds, and unit."""
        places = {"": 3, "ms": 3, "s": 1}.get(self.unit, 0)
        median, low, high = (f"{value:.{places}f}" for value in self.figure)
        bound = "" if self.bound is None else f"{self.bound:g}"
        verdict = "" if self.bound is None else "ok" if self.figure.median <= self.bound else "over"
        return self.name, median, f"{low} to {high}", bound, verdict, self.unit


class Picture(NamedTuple):
    """A picture of what the lines before it tell."""

    name: str
    caption: str
    svg: str


HEAD = ("", "median", "quartiles", "at most", "", "")


def as_text(columns: tuple[str, ...]) -> str:
    """A line for a terminal."""
    return _ALIGNED.format(*columns).rstrip()


def as_markdown(title: str, text: str, lines: list[Line], pictures: list[Picture], folder: str) -> str:
    """A section of a page; ``folder`` holds the pictures."""
    rows = ["| | median | quartiles | at most |", "| --- | ---: | ---: | ---: |"]
    for line in lines:
        name, median, quartiles, bound, verdict, unit = line.columns()
        over = ", **over**" if verdict == "over" else ""
        rows.append(f"| {name} | {median} {unit} | {quartiles} | {bound}{over} |".replace("  ", " "))
    images = [f"![{picture.caption}]({folder}/{picture.name}.svg)" for picture in pictures]
    return "\n\n".join(part for part in (f"## {title}", text, *images, "\n".join(rows)) if part)
