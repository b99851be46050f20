"""Text for terminals: tables, and what comes from others made harmless. No text shown here can move the cursor."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import accumulate
from unicodedata import category, east_asian_width

_JOINERS = "\u200c\u200d"
"""Of scripts and emoji: they show nothing of their own, and reorder nothing."""
_SHORT = {"\n": "\\n", "\r": "\\r", "\t": "\\t"}
_GAP = "  "
_NARROWEST = 12
"""What the last column gets, in cells, however narrow the terminal is."""


def escape(text: str) -> str:
    """The text with everything written out that a terminal would obey, or that changes the order of what is read."""
    if text.isascii() and text.isprintable():
        return text
    return "".join(_escaped(character) for character in text)


def _escaped(character: str) -> str:
    if category(character) not in ("Cc", "Cf", "Cs", "Zl", "Zp") or character in _JOINERS:
        return character
    if character in _SHORT:
        return _SHORT[character]
    number = ord(character)
    if number < 0x100:
        return f"\\x{number:02x}"
    return f"\\u{number:04x}" if number < 0x10000 else f"\\U{number:08x}"


def width(text: str) -> int:
    """How many cells of a terminal the text takes, about: terminals do not agree on emoji that are joined."""
    if text.isascii():
        return len(text)
    return sum(_cells(character) for character in text)


def _cells(character: str) -> int:
    if category(character) in ("Mn", "Me", "Cf"):
        return 0
    return 2 if east_asian_width(character) in "WF" else 1


def cut(text: str, room: int) -> str:
    """The text, or as much of its beginning as fits into so many cells with an ellipsis behind it."""
    if width(text) <= room:
        return text
    fitting = sum(cells < room for cells in accumulate(map(_cells, text)))
    return text[:fitting] + "…"


def table(headings: Sequence[str], rows: Sequence[Sequence[object]], *, room: int | None = None) -> str:
    """A table with a line for each row, whatever is in it; ints stand to the right.

    Args:
        headings: of the columns.
        rows: what is in them.
        room: how many cells a line may take, at the cost of the last column; None: as many as it needs.
    """
    lines = [list(headings), *([escape(str(cell)) for cell in row] for row in rows)]
    widths = [max(map(width, column)) for column in zip(*lines, strict=True)]
    right = [bool(rows) and isinstance(rows[0][column], int) for column in range(len(headings))]
    if room is not None:
        widths[-1] = max(_NARROWEST, room - sum(widths[:-1]) - len(_GAP) * (len(widths) - 1))
    text = ""
    for line in lines:
        *first, last = line
        cells = [_padded(cell, wide, at_right) for cell, wide, at_right in zip(first, widths, right, strict=False)]
        text += _GAP.join([*cells, cut(last, widths[-1])]).rstrip() + "\n"
    return text


def _padded(cell: str, wide: int, at_right: bool) -> str:
    space = " " * (wide - width(cell))
    return space + cell if at_right else cell + space


def facts(pairs: Sequence[tuple[str, str]]) -> str:
    """A line for each pair: what it is, and how it is; a name stands only where it is another one than above."""
    wide = max(len(name) for name, _ in pairs)
    lines, above = "", None
    for name, value in pairs:
        lines += f"{'' if name == above else name:<{wide}}{_GAP}{escape(value)}\n"
        above = name
    return lines


def span(seconds: float) -> str:
    """A length of time, in the unit that fits."""
    if seconds < 10:
        return f"{seconds:.1f} s"
    for unit, size, limit in (("s", 1, 120), ("min", 60, 7200), ("h", 3600, 172_800)):
        if seconds < limit:
            return f"{seconds / size:.0f} {unit}"
    return f"{seconds / 86_400:.0f} d"


def count(number: int, noun: str) -> str:
    """So many of them: ``1 message``, ``2 messages``."""
    return f"{number} {noun}{'' if number == 1 else 's'}"
