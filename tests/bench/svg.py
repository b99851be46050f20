"""Small plots as SVG, for light and dark pages: panels with lines, bars and bands."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from xml.sax.saxutils import escape

_STYLE = """
text { font: 12px system-ui, sans-serif; fill: #57606a }
.title { font-weight: 600; fill: #1f2328 }
.grid, .band { fill: #8c959f; fill-opacity: .12; stroke: #8c959f; stroke-opacity: .3 }
.band { stroke: none }
.main { fill: #0969da; stroke: #0969da }
.other { fill: #8c959f; stroke: #8c959f }
.bars { stroke: none }
.line { fill: none; stroke-width: 2 }
@media (prefers-color-scheme: dark) {
  text { fill: #9198a1 } .title { fill: #f0f6fc } .main { fill: #4493f8; stroke: #4493f8 }
}
""".strip()


class Panel:
    """A plot, which turns values into places on the page; all lengths are in pixels.

    Args:
        left, top, width, height: where it is.
        x_range, y_range: the values at its edges.
        log_x: whether equal factors, rather than equal steps, are equally far apart on the x axis.
    """

    def __init__(
        self,
        left: float,
        top: float,
        width: float,
        height: float,
        *,
        x_range: tuple[float, float],
        y_range: tuple[float, float],
        log_x: bool = False,
    ) -> None:
        self._left, self._top, self._width, self._height = left, top, width, height
        self._scale = math.log10 if log_x else float
        self._x_range = self._scale(x_range[0]), self._scale(x_range[1])
        self._y_range = y_range
        self.parts: list[str] = []

    def x(self, value: float) -> str:
        low, high = self._x_range
        return f"{self._left + self._width * (self._scale(value) - low) / (high - low):.1f}"

    def y(self, value: float) -> str:
        low, high = self._y_range
        return f"{self._top + self._height * (high - value) / (high - low):.1f}"

    def text(self, x: str, y: str, text: str, anchor: str = "middle", style: str = "") -> None:
        self.parts.append(f'<text class="{style}" x="{x}" y="{y}" text-anchor="{anchor}">{escape(text)}</text>')

    def frame(self, title: str, x_ticks: Mapping[float, str], y_ticks: Mapping[float, str]) -> None:
        """The title, the labels of both axes, and a line across for each of the y axis."""
        self.text(f"{self._left:.1f}", f"{self._top - 12:.1f}", title, "start", "title")
        for value, label in y_ticks.items():
            self.parts.append(f'<path class="grid" d="M{self._left:.1f} {self.y(value)}h{self._width:.1f}"/>')
            self.text(f"{self._left - 6:.1f}", f"{float(self.y(value)) + 4:.1f}", label, "end")
        for value, label in x_ticks.items():
            self.text(self.x(value), f"{self._top + self._height + 16:.1f}", label)

    def band(self, low: float, high: float, label: str) -> None:
        """A part of the x axis that is not like the rest."""
        path = f"M{self.x(low)} {self._top:.1f}H{self.x(high)}v{self._height:.1f}H{self.x(low)}z"
        self.parts.append(f'<path class="band" d="{path}"/>')
        self.text(f"{float(self.x(high)) - 6:.1f}", f"{self._top + 16:.1f}", label, "end")

    def line(self, points: Sequence[tuple[float, float, float, float]]) -> None:
        """A line through points, each with its x, its y, and the lowest and the highest that y may be."""
        path = "L".join(f"{self.x(x)} {self.y(y)}" for x, y, _, _ in points)
        ranges = "".join(f"M{self.x(x)} {self.y(low)}V{self.y(high)}" for x, _, low, high in points)
        self.parts.append(f'<path class="main line" d="M{path}{ranges}"/>')
        self.parts += [f'<circle class="main" cx="{self.x(x)}" cy="{self.y(y)}" r="2.5"/>' for x, y, _, _ in points]

    def bars(self, counts: Mapping[float, int], width: float, style: str) -> None:
        """A bar for each x, which is its left edge; ``width`` is on the x axis."""
        path = "".join(
            f"M{self.x(x)} {self.y(0)}V{self.y(count)}H{self.x(x + width)}V{self.y(0)}z" for x, count in counts.items()
        )
        self.parts.append(f'<path class="{style} bars" d="{path}"/>')


def page(width: int, height: int, caption: str, panels: Sequence[Panel]) -> str:
    """The whole picture, with its caption at the top; that takes 30 pixels."""
    head = f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" width="{width}" height="{height}">'
    parts = [part for panel in panels for part in panel.parts]
    words = f'<text x="10" y="20">{escape(caption)}</text>'
    return "\n".join([head, f"<style>{_STYLE}</style>", words, *parts, "</svg>"]) + "\n"
