"""What is sent through Signal. Checked when it is made: what is wrong never gets into a buffer.

Messages and their parts are frozen dataclasses. Each can be made again, and is checked again, from the values of its
fields: strings, numbers, bytes, enumerations, tuples of these, other such dataclasses and, as a :data:`Reference`, the
Delivery of another message.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass, field, replace
from enum import StrEnum
from typing import Any, ClassVar

from ..delivery import Delivery, Outcome
from .checks import check_int, check_text, check_timestamp, check_tuple, check_type
from .content import (
    INLINE,
    MAX_INT,
    Attachment,
    LinkPreview,
    Mention,
    Quote,
    Sticker,
    Style,
    check_ranges,
    mention_params,
    style_params,
)
from .references import MessageId, Reference, author_of, check_is_reference, own_number, timestamp_of
from .targets import Target, TargetKind

__all__ = [
    "ExpirationTimer",
    "MessageId",
    "Reaction",
    "Receipt",
    "ReceiptKind",
    "Reference",
    "RemoteDelete",
    "SignalMessage",
    "TextMessage",
    "size_of",
    "target_of",
]

_LONGEST_EMOJI = 100
"""In bytes of UTF-8; the longest that there is, of a family, has 41."""


@dataclass(frozen=True, slots=True)
class SignalMessage(ABC):
    """Something that is sent to somebody.

    Attributes:
        target: whom it goes to.
        has_timestamp: whether the daemon answers with a timestamp, the message's identity on Signal.

    Raises:
        TypeError, ValueError: naming the field and what is allowed. What was passed is not repeated.
    """

    target: Target

    has_timestamp: ClassVar[bool] = True

    def __post_init__(self) -> None:
        check_type("target", self.target, Target, "a Target")

    @abstractmethod
    def request(self, own: str | None) -> tuple[str, dict[str, Any]]:
        """The request that sends it.

        Args:
            own: the telephone number of the account that it is sent from; None if it is not known.

        Returns:
            The method, and the parameters by name, without the account.

        Raises:
            Rejected: the message that it is about was not sent, or ``own`` is needed.
        """

    @property
    def size(self) -> int:
        """About how many bytes it takes: its texts in UTF-8, and the data of its attachments."""
        return 0

    @property
    def upload_size(self) -> int:
        """How many bytes of it the daemon uploads before it sends."""
        return 0


@dataclass(frozen=True, slots=True)
class TextMessage(SignalMessage):
    """A text, or what goes with one or instead of one.

    Attributes:
        target: whom it goes to.
        text: what it says; may be empty if there is an attachment or a sticker.
        attachments: files that go with it.
        mentions, styles: who is mentioned, and what looks different, by positions in ``text``.
        quote: the message that it answers.
        preview: how a link in ``text`` is shown.
        sticker: a sticker.
        view_once: whether its only attachment can be looked at once.
        edits: a message of one's own that it replaces.
        story: the story that it answers.
    """

    text: str = field(default="", repr=False)
    attachments: tuple[Attachment, ...] = ()
    mentions: tuple[Mention, ...] = ()
    styles: tuple[Style, ...] = ()
    quote: Quote | None = None
    preview: LinkPreview | None = None
    sticker: Sticker | None = None
    view_once: bool = False
    edits: Reference | None = None
    story: MessageId | None = None

    def __post_init__(self) -> None:
        SignalMessage.__post_init__(self)  # super() knows no class that was made anew for its slots
        check_tuple("attachments", self.attachments, Attachment)
        _check_optional("sticker", self.sticker, Sticker)
        check_text("text", self.text, empty=bool(self.attachments) or self.sticker is not None)
        check_ranges(self.text, self.mentions, self.styles)
        check_type("view_once", self.view_once, bool, "a bool")
        if self.view_once and len(self.attachments) != 1:
            raise ValueError(f"view_once needs exactly one attachment, not {len(self.attachments)}")
        self._check_preview()
        self._check_references()

    def _check_preview(self) -> None:
        _check_optional("preview", self.preview, LinkPreview)
        if self.preview is not None and self.preview.url not in self.text:
            raise ValueError("preview must be of a url that stands in text")

    def _check_references(self) -> None:
        _check_optional("quote", self.quote, Quote)
        if self.quote is not None:
            check_reference("quote", self.quote.of, self.target)
            object.__setattr__(self, "quote", _with_text(self.quote))
        _check_optional("story", self.story, MessageId)
        if self.story is not None:
            check_reference("story", self.story, self.target)
        if self.edits is not None:
            check_reference("edits", self.edits, self.target, own=True)
            if self.view_once or self.sticker is not None or self.story is not None:
                raise ValueError("edits cannot go with view_once, sticker or story")

    def request(self, own: str | None) -> tuple[str, dict[str, Any]]:
        """The request that sends it; see :meth:`SignalMessage.request`."""
        params = self.target.params()
        if self.text:
            params["message"] = self.text
        if self.attachments:
            params["attachment"] = [each.param for each in self.attachments]
        if self.mentions:
            params["mention"] = mention_params(self.text, self.mentions)
        if self.styles:
            params["textStyle"] = style_params(self.text, self.styles)
        if self.quote is not None:
            params |= _quote_params(self.quote, own)
        if self.preview is not None:
            params |= _preview_params(self.preview)
        if self.sticker is not None:
            params["sticker"] = f"{self.sticker.pack_id}:{self.sticker.number}"
        if self.view_once:
            params["viewOnce"] = True
        if self.edits is not None:
            params["editTimestamp"] = timestamp_of(self.edits)
        if self.story is not None:
            params |= {"storyTimestamp": self.story.timestamp, "storyAuthor": author_of(self.story, own)}
        return "send", params

    @property
    def size(self) -> int:
        """About how many bytes it takes: its texts in UTF-8, and the data of its attachments."""
        texts, files = [self.text], list(self.attachments)
        if self.quote is not None:
            texts.append(self.quote.text or "")
        if self.preview is not None:
            texts += [self.preview.url, self.preview.title, self.preview.description]
            files += [self.preview.image] if self.preview.image else []
        return sum(len(text.encode()) for text in texts) + sum(len(file.data) for file in files)

    @property
    def upload_size(self) -> int:
        """How many bytes of it the daemon uploads before it sends: files, and a text that does not go inline."""
        files = [*self.attachments, *([self.preview.image] if self.preview and self.preview.image else [])]
        length = len(self.text.encode())
        return sum(file.size for file in files) + (length if length > INLINE else 0)


@dataclass(frozen=True, slots=True)
class Reaction(SignalMessage):
    """An emoji under a message.

    Attributes:
        target: whom it goes to: the conversation of that message.
        emoji: the emoji.
        about: that message.
        remove: whether it takes such a reaction back.
    """

    emoji: str = field(repr=False)
    about: Reference
    remove: bool = False

    def __post_init__(self) -> None:
        SignalMessage.__post_init__(self)
        check_text("emoji", self.emoji, limit=_LONGEST_EMOJI)
        if self.emoji.isascii():
            raise ValueError("emoji must be an emoji, not plain text")
        check_reference("about", self.about, self.target)
        check_type("remove", self.remove, bool, "a bool")

    def request(self, own: str | None) -> tuple[str, dict[str, Any]]:
        """The request that sends it; see :meth:`SignalMessage.request`."""
        params = self.target.params() | {
            "emoji": self.emoji,
            "targetAuthor": author_of(self.about, own),
            "targetTimestamp": timestamp_of(self.about),
        }
        return "sendReaction", params | ({"remove": True} if self.remove else {})

    @property
    def size(self) -> int:
        """How many bytes its emoji has."""
        return len(self.emoji.encode())


@dataclass(frozen=True, slots=True)
class RemoteDelete(SignalMessage):
    """Deletes a message of one's own from everybody's devices.

    Attributes:
        target: whom it goes to: the conversation of that message.
        about: that message.
    """

    about: Reference

    def __post_init__(self) -> None:
        SignalMessage.__post_init__(self)
        check_reference("about", self.about, self.target, own=True)

    def request(self, own: str | None) -> tuple[str, dict[str, Any]]:  # noqa: ARG002, other messages need it
        """The request that sends it; see :meth:`SignalMessage.request`."""
        return "remoteDelete", self.target.params() | {"targetTimestamp": timestamp_of(self.about)}


class ReceiptKind(StrEnum):
    """What became of a message."""

    READ = "read"
    VIEWED = "viewed"
    """Its attachment was looked at, or listened to."""


@dataclass(frozen=True, slots=True)
class Receipt(SignalMessage):
    """Tells somebody what became of messages of theirs.

    Attributes:
        target: who sent them: a person.
        kind: what became of them.
        timestamps: when they were sent, each in milliseconds since 1970.
    """

    kind: ReceiptKind
    timestamps: tuple[int, ...]

    def __post_init__(self) -> None:
        SignalMessage.__post_init__(self)
        if self.target.kind in (TargetKind.GROUP, TargetKind.SELF):
            raise ValueError(f"target must be a person, not a target of kind {self.target.kind}")
        check_type("kind", self.kind, ReceiptKind, "a ReceiptKind")
        check_type("timestamps", self.timestamps, tuple, "a tuple of int")
        if not self.timestamps:
            raise ValueError("timestamps must not be empty")
        for timestamp in self.timestamps:
            check_timestamp("timestamps", timestamp)

    def request(self, own: str | None) -> tuple[str, dict[str, Any]]:
        """The request that sends it; see :meth:`SignalMessage.request`."""
        params = {"targetTimestamp": list(self.timestamps), "type": str(self.kind)}
        return "sendReceipt", {"recipient": _person(self.target, own), **params}


@dataclass(frozen=True, slots=True)
class ExpirationTimer(SignalMessage):
    """Sets for how long the messages of a conversation are kept after they were read.

    Attributes:
        target: the conversation.
        seconds: for how long; 0: for ever.
    """

    seconds: int

    has_timestamp: ClassVar[bool] = False

    def __post_init__(self) -> None:
        SignalMessage.__post_init__(self)
        check_int("seconds", self.seconds, 0, MAX_INT)

    def request(self, own: str | None) -> tuple[str, dict[str, Any]]:
        """The request that sends it; see :meth:`SignalMessage.request`."""
        if self.target.kind is TargetKind.GROUP:
            return "updateGroup", {"groupId": self.target.address, "expiration": self.seconds}
        return "updateContact", {"recipient": _person(self.target, own), "expiration": self.seconds}


def target_of(message: SignalMessage) -> Target:
    """The key of a message in its buffer: whom it goes to."""
    return message.target


def size_of(message: SignalMessage) -> int:
    """The size of a message for its buffer: see :attr:`SignalMessage.size`."""
    return message.size


def _check_optional(name: str, value: Any, kind: type) -> None:
    check_type(name, value, (kind, type(None)), f"a {kind.__name__} or None")


def check_reference(name: str, reference: Any, target: Target, *, own: bool = False) -> None:
    """Refuse what names no message that a message to this target can be about.

    Args:
        name: the field's or the argument's name, for the error.
        reference: what was given for it.
        target: whom the message goes to.
        own: whether it must be about a message of one's own.
    """
    check_is_reference(name, reference)
    if isinstance(reference, MessageId):
        if own and reference.author is not None:
            raise ValueError(f"{name} must be a message of one's own: a Delivery, or a MessageId whose author is None")
        if not reference.target.may_be(target):
            raise ValueError(f"{name} must be a message of the same conversation")
        return
    if not isinstance(reference.message, TextMessage):
        raise ValueError(f"{name} must be the Delivery of a TextMessage, not of a {type(reference.message).__name__}")
    if reference.message.target != target:
        raise ValueError(f"{name} must be the Delivery of a message to the same target")
    if reference.outcome not in (None, Outcome.SENT):
        raise ValueError(f"{name} must be a message that was sent or waits to be, not one that was {reference.outcome}")


def _with_text(quote: Quote) -> Quote:
    """A quote with the text that is shown."""
    if quote.text is not None:
        return quote
    if not isinstance(quote.of, Delivery):
        return replace(quote, text="")
    quoted = quote.of.message
    return Quote.beginning(quote.of, quoted.text, quoted.mentions, quoted.styles)


def _quote_params(quote: Quote, own: str | None) -> dict[str, Any]:
    text = quote.text or ""
    params: dict[str, Any] = {"quoteTimestamp": timestamp_of(quote.of), "quoteAuthor": author_of(quote.of, own)}
    if text:
        params["quoteMessage"] = text
    if quote.mentions:
        params["quoteMention"] = mention_params(text, quote.mentions)
    if quote.styles:
        params["quoteTextStyle"] = style_params(text, quote.styles)
    return params


def _preview_params(preview: LinkPreview) -> dict[str, Any]:
    params = {"previewUrl": preview.url, "previewTitle": preview.title}
    if preview.description:
        params["previewDescription"] = preview.description
    if preview.image is not None:
        params["previewImage"] = preview.image.param
    return params


def _person(target: Target, own: str | None) -> str:
    """How a request names somebody where it takes one person alone."""
    if target.kind is TargetKind.SELF:
        return own_number(own)
    return f"u:{target.address}" if target.kind is TargetKind.USERNAME else target.address
