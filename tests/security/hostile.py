"""Messages that mean harm: whatever can be told to go into one is meant to be read as something else."""

from __future__ import annotations

from hypothesis import strategies as st

from ridethrough.signal_cli.content import Attachment, LinkPreview, Mention, Quote, Sticker, Style, StyleKind
from ridethrough.signal_cli.messages import (
    ExpirationTimer,
    MessageId,
    Reaction,
    Receipt,
    ReceiptKind,
    RemoteDelete,
    SignalMessage,
    TextMessage,
)
from ridethrough.signal_cli.targets import Target, TargetKind

REQUEST = '{"jsonrpc":"2.0","id":2,"method":"send","params":{"message":"injected","noteToSelf":true}}'
FRAGMENTS = [
    "\n", "\r", "\r\n", "\x85", "\u2028", "\u2029", "\v", "\f", "\0", "\x1b[2J", "\x7f", "\ufeff", "\u202e", "\ufffe",
    '"', "'", "\\", "\\n", "\\u000a", "\\", '"}}', "}\n{", f"\n{REQUEST}\n", f'"}}}}\n{REQUEST}\n{{"a":{{"b":"',
    '","noteToSelf":true,"x":"', '"],"recipient":["+15550100200"],"x":["', "[" * 1200,
    "NaN", "null", "1e999", "0" * 1200, "\N{HONEYBEE}", "e\u0301", "x" * 2100,
]  # fmt: skip

fragments = st.sampled_from(FRAGMENTS)
texts = st.lists(fragments | st.text(max_size=20), min_size=1, max_size=6).map("".join).filter(bool)
targets = st.one_of(
    st.builds(Target, st.sampled_from([kind for kind in TargetKind if kind is not TargetKind.SELF]), texts),
    st.just(Target(TargetKind.SELF)),
)
"""Those of messages. Their addresses were never checked."""

people = st.sampled_from(["+493012345678", "11111111-1111-4111-8111-00000000000a"])
timestamps = st.integers(2**31, 2**53 - 1)
attachments = st.one_of(
    st.builds(Attachment, st.binary(min_size=1, max_size=40), st.none() | texts, st.sampled_from(["image/png", "a/b"])),
    st.builds(lambda text: Attachment(path=f"/{text}", size=1), texts),
)
short_texts = texts.map(lambda text: text[:400])


@st.composite
def ranges(draw: st.DrawFn, text: str) -> tuple[tuple[Mention, ...], tuple[Style, ...]]:
    """Mentions and styles in that text."""
    starts = draw(st.lists(st.integers(0, len(text) - 1), max_size=3))
    where = [(start, draw(st.integers(1, len(text) - start))) for start in starts]
    kind, person = draw(st.sampled_from(StyleKind)), draw(people)
    return tuple(Mention(*each, person) for each in where), tuple(Style(*each, kind) for each in where)


@st.composite
def quotes(draw: st.DrawFn, target: Target) -> Quote:
    text = draw(short_texts)
    return Quote(draw(identities(target)), text, *draw(ranges(text)))


def identities(target: Target) -> st.SearchStrategy[MessageId]:
    """Messages of that conversation, one's own and others'."""
    return st.builds(MessageId, st.just(target), st.none() | people, timestamps)


@st.composite
def text_messages(draw: st.DrawFn) -> TextMessage:
    target, text = draw(targets), draw(texts)
    preview = None
    if draw(st.booleans()):
        preview = LinkPreview(
            f"https://{draw(short_texts)}", draw(short_texts), draw(short_texts), draw(st.none() | attachments)
        )
        text = f"{text} {preview.url}"
    mentions, styles = draw(ranges(text))
    files = tuple(draw(st.lists(attachments, max_size=3)))
    about = draw(identities(target))
    replaces = about.author is None and draw(st.booleans())
    return TextMessage(
        target,
        text,
        attachments=files,
        mentions=mentions,
        styles=styles,
        quote=draw(st.none() | quotes(target)),
        preview=preview,
        sticker=None if replaces else draw(st.none() | st.just(Sticker("ab", 1))),
        view_once=len(files) == 1 and not replaces,
        edits=about if replaces else None,
        story=None if replaces else draw(st.none() | st.just(about)),
    )


@st.composite
def other_messages(draw: st.DrawFn) -> SignalMessage:
    target, timestamp = draw(targets), draw(timestamps)
    emoji = "\N{HONEYBEE}" + draw(texts)[:20]
    kinds: list[SignalMessage] = [
        Reaction(target, emoji, draw(identities(target)), draw(st.booleans())),
        RemoteDelete(target, MessageId(target, None, timestamp)),
        ExpirationTimer(target, draw(st.integers(0, 2**31 - 1))),
    ]
    if target.kind not in (TargetKind.GROUP, TargetKind.SELF):
        kinds.append(Receipt(target, draw(st.sampled_from(ReceiptKind)), (timestamp, timestamp)))
    return draw(st.sampled_from(kinds))


messages = text_messages() | other_messages()
"""Every kind of message."""
