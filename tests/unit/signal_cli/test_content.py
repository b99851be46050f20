"""content.py: what messages are made of, and what is refused before it gets into one."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ridethrough.signal_cli.content import (
    Attachment,
    LinkPreview,
    Mention,
    Quote,
    Sticker,
    Style,
    StyleKind,
    check_ranges,
    mention_params,
    style_params,
)
from ridethrough.signal_cli.references import MessageId
from ridethrough.signal_cli.targets import Target, TargetKind
from tests.by_hand import make_delivery
from tests.unit.signal_cli.refusing import ACI, NUMBER, SECRET, refused

BOLD = StyleKind.BOLD
ONE = MessageId(Target(TargetKind.SELF), None, 1_700_000_000_000)

letters = st.sampled_from("a\u00fc\u20ac\ufffc\U0001f600\u200d\U00020000 \n") | st.characters(codec="utf-8")
texts = st.text(letters, min_size=1)


@st.composite
def parts(draw: st.DrawFn) -> tuple[str, list[tuple[int, int]]]:
    """A text, and where parts of it are."""
    text = draw(texts)
    found = []
    for _ in range(draw(st.integers(0, 5))):
        start = draw(st.integers(0, len(text) - 1))
        found.append((start, draw(st.integers(1, len(text) - start))))
    return text, found


# Mentions and styles


@given(parts())
def test_positions_are_sent_in_utf16(case: tuple[str, list[tuple[int, int]]]) -> None:
    """In the units that Java counts in, they are of the same parts of the text."""
    text, found = case
    units = text.encode("utf-16-le")
    mentions = [Mention(start, length, ACI) for start, length in found]
    styles = [Style(start, length, StyleKind.SPOILER) for start, length in found]
    sent = [param.split(":") for param in mention_params(text, mentions)]
    assert [param.rsplit(":", 1)[0].split(":") for param in style_params(text, styles)] == [each[:2] for each in sent]
    assert [
        units[2 * int(start) : 2 * (int(start) + int(length))].decode("utf-16-le") for start, length, _ in sent
    ] == [text[start : start + length] for start, length in found]


@pytest.mark.parametrize(
    ("text", "start", "length", "where"),
    [
        ("hello", 0, 5, "0:5"),
        ("\u00fc\u20ac\uffff", 1, 2, "1:2"),
        ("\U0001f600", 0, 1, "0:2"),
        ("\U0001f600 Anna \U0001f600", 2, 4, "3:4"),
        ("a\U0001f468\u200d\U0001f469\u200d\U0001f467b", 1, 5, "1:8"),
        ("\U0001f1e9\U0001f1ea!", 2, 1, "4:1"),
    ],
)
def test_positions_beside_emoji(text: str, start: int, length: int, where: str) -> None:
    assert mention_params(text, [Mention(start, length, NUMBER)]) == [f"{where}:{NUMBER}"]
    assert style_params(text, [Style(start, length, BOLD)]) == [f"{where}:BOLD"]


def test_mention_takes_a_uuid_in_one_form() -> None:
    assert Mention(0, 1, ACI.upper()) == Mention(0, 1, ACI)


def test_styles_are_those_that_the_daemon_knows() -> None:
    assert {f"{kind}" for kind in StyleKind} == {"BOLD", "ITALIC", "SPOILER", "STRIKETHROUGH", "MONOSPACE"}


@pytest.mark.parametrize(
    ("start", "length", "error", "pattern"),
    [
        (-1, 1, ValueError, "start must be an int from 0 to 20000000"),
        (0, 0, ValueError, "length must be an int from 1 to 20000000"),
        ("0", 1, TypeError, "start must be an int from .*, not str"),
        (0, 1.0, TypeError, "length must be an int from .*, not float"),
    ],
    ids=str,
)
def test_positions_that_are_none(start: Any, length: Any, error: type[Exception], pattern: str) -> None:
    with refused(error, pattern, NUMBER):
        Mention(start, length, NUMBER)
    with refused(error, pattern):
        Style(start, length, BOLD)


def test_mention_of_nobody() -> None:
    with refused(ValueError, "person must be a telephone number such as .*, or a UUID", NUMBER):
        Mention(0, 1, f"{NUMBER}:2")


@pytest.mark.parametrize("kind", ["BOLD", "LOUD", None], ids=repr)
def test_style_that_is_none(kind: Any) -> None:
    with refused(TypeError, f"kind must be a StyleKind, not {type(kind).__name__}"):
        Style(0, 1, kind)


@pytest.mark.parametrize(("start", "length"), [(0, 5), (4, 1), (1, 3)])
def test_ranges_inside_the_text(start: int, length: int) -> None:
    check_ranges("hell\U0001f600", (Mention(start, length, NUMBER),), (Style(start, length, BOLD),))


@pytest.mark.parametrize(("start", "length"), [(0, 6), (5, 1), (4, 2), (20_000_000, 20_000_000)])
def test_ranges_outside_the_text(start: int, length: int) -> None:
    pattern = "mentions and styles must lie inside the text, which has 5 characters"
    with refused(ValueError, pattern, NUMBER):
        check_ranges("hell\U0001f600", (Mention(start, length, NUMBER),), ())
    with refused(ValueError, pattern):
        check_ranges("hell\U0001f600", (), (Style(start, length, BOLD),))


def test_as_many_ranges_as_are_looked_at() -> None:
    mentions, styles = (Mention(0, 1, NUMBER),) * 100, (Style(0, 1, BOLD),) * 150
    check_ranges("x", mentions, styles)
    with refused(ValueError, "mentions and styles must be at most 250 together", NUMBER):
        check_ranges("x", mentions, (*styles, styles[0]))


@pytest.mark.parametrize("name", ["mentions", "styles"])
def test_ranges_that_are_none(name: str) -> None:
    kind = name.removesuffix("s").title()
    arguments: dict[str, Any] = {"mentions": (), "styles": ()}
    with refused(TypeError, f"{name} must be a tuple of {kind}, not list"):
        check_ranges("x", **{**arguments, name: []})
    with refused(TypeError, f"{name} must be a tuple of {kind} alone, not str", NUMBER):
        check_ranges("x", **{**arguments, name: (NUMBER,)})


# Quotes, previews and stickers


@pytest.mark.parametrize("of", [ONE, make_delivery(1)], ids=["id", "delivery"])
def test_quote(of: Any) -> None:
    assert Quote(of).text is None
    assert Quote(of, "").text == ""
    Quote(of, "\U0001f600" * 500, (Mention(499, 1, NUMBER),), (Style(0, 500, BOLD),))


@pytest.mark.parametrize(
    ("arguments", "error", "pattern"),
    [
        ((None,), TypeError, "of must be a MessageId or a Delivery, not NoneType"),
        ((ONE, SECRET.encode()), TypeError, "text must be a string, not bytes"),
        ((ONE, SECRET * 200), ValueError, "text must have at most 2000 bytes in UTF-8, not 3000"),
        ((ONE, SECRET + "\ud83d"), ValueError, "text must be valid Unicode: .*"),
        ((ONE, "abc", (Mention(2, 2, NUMBER),)), ValueError, "mentions and styles must lie inside the text, .*"),
        ((ONE, None, (Mention(0, 1, NUMBER),)), ValueError, "mentions and styles must lie inside the text, .*"),
        ((ONE, "abc", (), [Style(0, 1, BOLD)]), TypeError, "styles must be a tuple of Style, not list"),
    ],
    ids=lambda value: repr(value)[:40],
)
def test_quote_that_cannot_be_sent(arguments: Any, error: type[Exception], pattern: str) -> None:
    with refused(error, pattern, SECRET, NUMBER):
        Quote(*arguments)


def test_quote_of_the_beginning_of_a_text() -> None:
    """What does not lie in there is left out."""
    bold, mention = Style(498, 2, BOLD), Mention(499, 1, NUMBER)
    quote = Quote.beginning(ONE, "\U0001f600" * 501, [Mention(500, 1, NUMBER), mention], [Style(499, 2, BOLD), bold])
    assert quote == Quote(ONE, "\U0001f600" * 500, (mention,), (bold,))
    assert Quote.beginning(ONE, "") == Quote(ONE, "")


URL = "https://example.org/"


def test_preview() -> None:
    LinkPreview(URL, "Title")
    LinkPreview(URL, "T" * 2000, "D" * 2000, Attachment(b"picture"))


@pytest.mark.parametrize(
    ("arguments", "error", "pattern"),
    [
        (("", "T"), ValueError, "url must not be empty"),
        (("http://example.org/", "T"), ValueError, "url must begin with https://"),
        ((URL + SECRET * 200, "T"), ValueError, "url must have at most 2000 bytes in UTF-8, not 3020"),
        ((URL, ""), ValueError, "title must not be empty"),
        ((URL, SECRET * 200), ValueError, "title must have at most 2000 bytes in UTF-8, not 3000"),
        ((URL, "T", None), TypeError, "description must be a string, not NoneType"),
        ((URL, "T", SECRET * 200), ValueError, "description must have at most 2000 bytes in UTF-8, not 3000"),
        ((URL, "T", "", SECRET.encode()), TypeError, "image must be an Attachment or None, not bytes"),
    ],
    ids=lambda value: repr(value)[:40],
)
def test_preview_that_cannot_be_sent(arguments: Any, error: type[Exception], pattern: str) -> None:
    with refused(error, pattern, SECRET):
        LinkPreview(*arguments)


def test_sticker() -> None:
    assert Sticker("AABB", 0) == Sticker("aabb", 0)
    Sticker("ab" * 32, 2**31 - 1)


@pytest.mark.parametrize("pack_id", ["", "a", "abc", "ab:1", "0xab", "gg", "ab" * 33, "ab\n", "\u0661\u0661"])
def test_sticker_of_no_pack(pack_id: str) -> None:
    with refused(ValueError, "pack_id must be the pack's id in hexadecimal digits, two for each byte"):
        Sticker(pack_id, 0)


def test_sticker_that_is_none() -> None:
    with refused(TypeError, "pack_id must be a string, not bytes"):
        Sticker(b"aabb", 0)  # type: ignore[arg-type]
    for number in (-1, 2**31):
        with refused(ValueError, "number must be an int from 0 to 2147483647"):
            Sticker("aabb", number)


@pytest.mark.parametrize(
    ("part", "shown"),
    [
        (Attachment(SECRET.encode(), SECRET, "text/plain"), "Attachment(mime_type='text/plain', size=15)"),
        (Attachment(path=f"/{SECRET}", size=7), "Attachment(mime_type='application/octet-stream', size=7)"),
        (Mention(1, 2, NUMBER), "Mention(start=1, length=2)"),
        (Style(1, 2, BOLD), "Style(start=1, length=2, kind=<StyleKind.BOLD: 'BOLD'>)"),
        (Quote(ONE, SECRET), "Quote(of=<MessageId 1700000000000 by oneself>, mentions=(), styles=())"),
        (LinkPreview(URL + SECRET, SECRET, SECRET), "LinkPreview(image=None)"),
        (Sticker("aabb", 1), "Sticker()"),
    ],
    ids=str,
)
def test_part_shows_nothing_of_what_it_holds(part: object, shown: str) -> None:
    assert repr(part) == str(part) == shown
