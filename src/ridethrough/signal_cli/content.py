"""What a message is made of besides its text. Each part is checked when it is made; its repr shows nothing of it."""

from __future__ import annotations

import base64
import mimetypes
import re
from bisect import bisect_left
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from enum import StrEnum
from os import PathLike
from pathlib import Path
from stat import S_ISREG
from typing import Self
from urllib.parse import quote as percent_encoded

from ..jsonrpc import MAX_STRING
from .checks import check_int, check_text, check_tuple, check_type
from .references import Reference, check_is_reference
from .targets import read_person

INLINE = 2000
"""How many bytes of a text, in UTF-8, go in the message itself. A longer one is uploaded (signal-cli 0.13.19)."""
_QUOTED = INLINE // 4
"""How many characters are shown of a message that is quoted: so many fit, whichever they are."""
MAX_FILE = 100 * 2**20
"""The largest attachment that Signal's own apps send, in bytes."""
MAX_RANGES = 250
"""How many mentions and styles together Signal's own apps look at; they leave out what is more."""
MAX_INT = 2**31 - 1
"""The largest int that the daemon takes where it does not expect a time."""

_ANY_TYPE = "application/octet-stream"
_MIME_TYPE = re.compile(r"[a-z0-9][a-z0-9!#$&^_.+-]{0,126}/[a-z0-9][a-z0-9!#$&^_.+-]{0,126}", re.IGNORECASE)
"""A type and a subtype by RFC 6838. The daemon takes no parameters beside the file name."""
_PACK_ID = re.compile(r"([0-9a-f]{2}){1,32}", re.IGNORECASE)


@contextmanager
def _nameless() -> Iterator[None]:
    """Have an OSError tell what is wrong and not with which file: the name may say what is in it."""
    try:
        yield
    except OSError as error:
        raise OSError(error.errno, error.strerror) from None


@dataclass(frozen=True, slots=True)
class Attachment:
    """A file that goes with a message: what is in it, or, made by :meth:`from_file`, where the daemon finds it.

    Attributes:
        data: what is in it. As it goes in the request, base64 and name and all, it must not be longer than a string
            there may be, which is some 15 MB.
        name: the file name that the recipient sees; None: none.
        mime_type: what it is, such as ``image/png``.
        path: where the daemon finds it, instead of ``data``; it takes the name and the type from there.
        size: how many bytes the file has at ``path``; of ``data`` it is found out.

    Raises:
        TypeError, ValueError: naming the field and what is allowed.
    """

    data: bytes = field(default=b"", repr=False)
    name: str | None = field(default=None, repr=False)
    mime_type: str = _ANY_TYPE
    path: str | None = field(default=None, repr=False, kw_only=True)
    size: int = field(default=0, kw_only=True)

    def __post_init__(self) -> None:
        check_type("data", self.data, bytes, "bytes")
        check_type("mime_type", self.mime_type, str, "a string")
        if self.name is not None:
            check_text("name", self.name)
        if not _MIME_TYPE.fullmatch(self.mime_type):
            raise ValueError("mime_type must be a type and a subtype such as image/png, without parameters")
        if self.path is None:
            self._check_data()
        else:
            self._check_path(self.path)

    def _check_data(self) -> None:
        if not self.data:
            raise ValueError("data must not be empty: the daemon takes no empty attachment")
        length = len(self._head()) + (len(self.data) + 2) // 3 * 4
        if length > MAX_STRING:
            raise ValueError(f"data must have at most {MAX_STRING} characters in base64, with its name, not {length}")
        object.__setattr__(self, "size", len(self.data))

    def _check_path(self, path: str) -> None:
        check_text("path", path)
        if not Path(path).is_absolute():
            raise ValueError("path must be absolute")
        if self.data or self.name is not None or self.mime_type != _ANY_TYPE:
            raise ValueError("data, name and mime_type cannot go with path: the daemon takes them from the file")
        check_int("size", self.size, 1, MAX_FILE)

    @classmethod
    @_nameless()
    def from_file(
        cls,
        path: str | PathLike[str],
        *,
        by_path: bool = False,
        name: str | None = None,
        mime_type: str | None = None,
    ) -> Self:
        """Read a file now; it blocks as long as that takes.

        Args:
            path: where it is.
            by_path: True to look at it only, and have the daemon read it when the message is sent: the daemon must find
                the same file at the same path, which may then have up to 100 MiB.
            name: the file name that the recipient sees; None: its own.
            mime_type: what it is; None: what the ending of its name says.

        Raises:
            OSError: it cannot be read. The error does not tell its name.
            TypeError, ValueError: it is no regular file, is empty or too large, or another argument is not allowed.
        """
        check_type("path", path, (str, PathLike), "a path")
        file = Path(path).absolute()
        status = file.stat()
        if not S_ISREG(status.st_mode):  # opening a named pipe would wait for its other end
            raise ValueError("path must be of a regular file")
        if not by_path:
            if status.st_size > MAX_STRING:
                raise ValueError(f"path must be of a file that fits into a request: it has {status.st_size} bytes")
            name = file.name if name is None else name
            return cls(file.read_bytes(), name, _type_of(file) if mime_type is None else mime_type)
        if name is not None or mime_type is not None:
            raise ValueError("name and mime_type cannot go with by_path: the daemon takes them from the file")
        if not 0 < status.st_size <= MAX_FILE:
            raise ValueError(f"path must be of a file of 1 to {MAX_FILE} bytes, not {status.st_size}")
        with file.open("rb"):
            return cls(path=str(file), size=status.st_size)

    @property
    def param(self) -> str:
        """How a request names it: its path, or a data URI (RFC 2397) with what is in it.

        The daemon takes one parameter beside ``base64``, and decodes it like a form's (0.13.19).
        """
        return self._head() + base64.b64encode(self.data).decode() if self.path is None else self.path

    def _head(self) -> str:
        name = "" if self.name is None else f";filename={percent_encoded(self.name, safe='')}"
        return f"data:{self.mime_type}{name};base64,"


def _type_of(file: Path) -> str:
    guess, packed = mimetypes.guess_type(f"file{file.suffix}")  # of a whole name, it might take it for a URL
    return _ANY_TYPE if guess is None or packed else guess


class StyleKind(StrEnum):
    """How a part of a text looks."""

    BOLD = "BOLD"
    ITALIC = "ITALIC"
    SPOILER = "SPOILER"
    """Hidden until the reader asks for it."""
    STRIKETHROUGH = "STRIKETHROUGH"
    MONOSPACE = "MONOSPACE"


@dataclass(frozen=True, slots=True)
class _Range:
    """A part of a text.

    Attributes:
        start: where it begins, as a position in the Python string.
        length: how many characters of the Python string it has.
    """

    start: int
    length: int

    def __post_init__(self) -> None:
        check_int("start", self.start, 0, MAX_STRING)
        check_int("length", self.length, 1, MAX_STRING)


@dataclass(frozen=True, slots=True)
class Mention(_Range):
    """Somebody who is mentioned in a text: where it says so, their name of the day is shown.

    Attributes:
        start: where it says so, as a position in the Python string.
        length: how many characters of the Python string stand there for the name.
        person: their telephone number, or their account's UUID.

    Raises:
        TypeError, ValueError: naming the field and what is allowed.
    """

    person: str = field(repr=False)

    def __post_init__(self) -> None:
        _Range.__post_init__(self)
        object.__setattr__(self, "person", read_person("person", self.person))


@dataclass(frozen=True, slots=True)
class Style(_Range):
    """A part of a text that looks different.

    Attributes:
        start: where it begins, as a position in the Python string.
        length: how many characters of the Python string it has.
        kind: how it looks.

    Raises:
        TypeError, ValueError: naming the field and what is allowed.
    """

    kind: StyleKind

    def __post_init__(self) -> None:
        _Range.__post_init__(self)
        check_type("kind", self.kind, StyleKind, "a StyleKind")


def check_ranges(text: str, mentions: tuple[Mention, ...], styles: tuple[Style, ...]) -> None:
    """Refuse mentions and styles that do not lie inside the text that they are of.

    Args:
        text: that text.
        mentions, styles: these.

    Raises:
        TypeError, ValueError: naming what is wrong with them.
    """
    check_tuple("mentions", mentions, Mention)
    check_tuple("styles", styles, Style)
    if len(mentions) + len(styles) > MAX_RANGES:
        raise ValueError(f"mentions and styles must be at most {MAX_RANGES} together")
    if any(each.start + each.length > len(text) for each in (*mentions, *styles)):
        raise ValueError(f"mentions and styles must lie inside the text, which has {len(text)} characters")


def mention_params(text: str, mentions: Sequence[Mention]) -> list[str]:
    """How a request names the mentions in a text."""
    return [f"{where}:{each.person}" for where, each in zip(_in_utf16(text, mentions), mentions, strict=True)]


def style_params(text: str, styles: Sequence[Style]) -> list[str]:
    """How a request names the styles in a text."""
    return [f"{where}:{each.kind}" for where, each in zip(_in_utf16(text, styles), styles, strict=True)]


def _in_utf16(text: str, ranges: Sequence[_Range]) -> list[str]:
    """Where these are, and how long, counted as Java does: what is beyond U+FFFF makes two units."""
    large = [position for position, character in enumerate(text) if character > "\uffff"] if ranges else []
    found = []
    for each in ranges:
        end = each.start + each.length
        start_in_units, end_in_units = each.start + bisect_left(large, each.start), end + bisect_left(large, end)
        found.append(f"{start_in_units}:{end_in_units - start_in_units}")
    return found


@dataclass(frozen=True, slots=True)
class Quote:
    """The message that another one answers, as it is shown above that.

    Attributes:
        of: that message.
        text: what is shown of it. None: of a Delivery, the beginning of its own text with its mentions and styles; of
            others, nothing.
        mentions, styles: who is mentioned, and what looks different, by positions in ``text``.

    Raises:
        TypeError, ValueError: naming the field and what is allowed.
    """

    of: Reference
    text: str | None = field(default=None, repr=False)
    mentions: tuple[Mention, ...] = ()
    styles: tuple[Style, ...] = ()

    def __post_init__(self) -> None:
        check_is_reference("of", self.of)
        if self.text is not None:
            check_text("text", self.text, empty=True, limit=INLINE)
        check_ranges(self.text or "", self.mentions, self.styles)

    @classmethod
    def beginning(
        cls, of: Reference, text: str, mentions: Iterable[Mention] = (), styles: Iterable[Style] = ()
    ) -> Self:
        """A quote that shows the beginning of a text: as much as there is room for, and what lies in there.

        Args:
            of: the message that is quoted.
            text: its text.
            mentions, styles: who is mentioned, and what looks different, by positions in ``text``.

        Raises:
            TypeError, ValueError: naming the field and what is allowed.
        """
        text = text[:_QUOTED]
        return cls(
            of,
            text,
            tuple(each for each in mentions if each.start + each.length <= len(text)),
            tuple(each for each in styles if each.start + each.length <= len(text)),
        )


@dataclass(frozen=True, slots=True)
class LinkPreview:
    """How a link in the text is shown.

    Attributes:
        url: the link, which must stand in the text as it is here. Signal's apps show previews of ``https`` alone.
        title: the page's title.
        description: what it is about.
        image: a picture of it.

    Raises:
        TypeError, ValueError: naming the field and what is allowed.
    """

    url: str = field(repr=False)
    title: str = field(repr=False)
    description: str = field(default="", repr=False)
    image: Attachment | None = None

    def __post_init__(self) -> None:
        check_text("url", self.url, limit=INLINE)
        check_text("title", self.title, limit=INLINE)
        check_text("description", self.description, empty=True, limit=INLINE)
        if not self.url.startswith("https://"):
            raise ValueError("url must begin with https://")
        if self.image is not None:
            check_type("image", self.image, Attachment, "an Attachment or None")


@dataclass(frozen=True, slots=True)
class Sticker:
    """A sticker of a pack that the account has.

    Attributes:
        pack_id: the pack's id, in hexadecimal digits.
        number: which one of the pack, counted from 0.

    Raises:
        TypeError, ValueError: naming the field and what is allowed.
    """

    pack_id: str = field(repr=False)
    number: int = field(repr=False)

    def __post_init__(self) -> None:
        check_type("pack_id", self.pack_id, str, "a string")
        if not _PACK_ID.fullmatch(self.pack_id):
            raise ValueError("pack_id must be the pack's id in hexadecimal digits, two for each byte")
        object.__setattr__(self, "pack_id", self.pack_id.lower())
        check_int("number", self.number, 0, MAX_INT)
