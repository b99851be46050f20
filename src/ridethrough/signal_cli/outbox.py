"""SignalOutbox: makes messages for Signal and puts them into a buffer, whether or not anybody sends from it."""

from __future__ import annotations

from collections.abc import Generator, Iterable
from functools import partial
from os import PathLike
from types import EllipsisType
from typing import TYPE_CHECKING, Any, Generic, TypedDict, TypeVar, Unpack, cast, overload

from anyio.to_thread import run_sync

from ..abc import MessageBuffer, Overflow
from ..delivery import Delivery
from ..errors import Undelivered
from .answers import SendResult
from .content import Attachment, LinkPreview, Mention, Quote, Sticker, Style
from .envelopes import Data, Edit, Envelope, Sync
from .messages import (
    ExpirationTimer,
    MessageId,
    Reaction,
    Receipt,
    ReceiptKind,
    Reference,
    RemoteDelete,
    SignalMessage,
    TextMessage,
    check_reference,
)
from .targets import Target, make_target

if TYPE_CHECKING:
    from typing_extensions import TypeVar as TypeVarWithDefault

    from ..buffer import AsyncMessageBuffer

    B_co = TypeVarWithDefault(
        "B_co", bound=MessageBuffer[SignalMessage], default=AsyncMessageBuffer[SignalMessage], covariant=True
    )
else:
    B_co = TypeVar("B_co", covariant=True)
E = TypeVar("E")
M = TypeVar("M", bound=SignalMessage)

_Sent = Delivery[TextMessage, SendResult]

Several = list[str] | tuple[str, ...] | set[str] | frozenset[str]
"""Several people's telephone numbers or UUIDs."""

Named = Delivery[Any, Any] | MessageId | Envelope
"""A message that another one is about: what ``send`` returned for it, or what came in, or its identity on Signal."""


class DeliveryGroup(tuple[_Sent, ...]):
    """What ``send`` to several people returns: a Delivery each, in the order in which they were named.

    Await it for the results of all, in that order. If some ended otherwise than by being sent, that raises an
    ExceptionGroup of their :class:`~ridethrough.Undelivered`, once all have ended.

    **Cancellation** changes nothing about the messages.
    """

    __slots__ = ()

    def __await__(self) -> Generator[Any, Any, tuple[SendResult, ...]]:
        results: list[SendResult] = []
        failures: list[Undelivered] = []
        for delivery in self:
            try:
                results.append((yield from delivery.__await__()))
            except Undelivered as failure:
                failures.append(failure)
        if failures:
            raise ExceptionGroup(f"{len(failures)} of {len(self)} messages were not delivered", failures)
        return tuple(results)


class Terms(TypedDict, total=False):
    """What may be agreed for each message that is put: see :meth:`~ridethrough.AsyncMessageBuffer.put`."""

    ttl: float | EllipsisType | None
    overflow: Overflow | str | EllipsisType


class SignalOutbox(Generic[B_co]):
    """Puts messages for Signal into a buffer. :class:`SignalClient` is one that also sends them.

    All its methods check what they are given before anything changes, and none waits for a link: what they return is
    the message's fate, to be awaited or not. ``ttl`` says after how many seconds a message is not worth sending any
    more, and ``overflow`` what to do if the buffer is full; both are by default as the buffer says.

    Every method raises TypeError or ValueError for a bad argument, OSError for a file that cannot be read, and
    BufferFull, BufferClosed or MessageTooLarge as :meth:`~ridethrough.AsyncMessageBuffer.put` does; nothing was put
    then.

    **Cancellation.** If one of them raises a cancellation, nothing was put.

    Args:
        buffer: where to put them: any :class:`~ridethrough.abc.MessageBuffer`. With one that other hosts send from, a
            file that goes by its path has to be there, and the result is None where another host has sent the message,
            unless the buffer has ``encode_result``.
        shares_files: True if the daemon sees this machine's files at the same paths: then an attachment goes by its
            path, may have up to 100 MB, and has to stay where it is until it was sent. False: what is in the file is
            read when the message is put, and must fit into a request, which is some 15 MB.

    Attributes:
        buffer: what waits.
    """

    def __init__(self, buffer: B_co | AsyncMessageBuffer[SignalMessage], *, shares_files: bool = False) -> None:
        if not isinstance(buffer, MessageBuffer):
            raise TypeError(f"buffer must be a MessageBuffer, not {type(buffer).__name__}")
        if not isinstance(shares_files, bool):
            raise TypeError(f"shares_files must be a bool, not {type(shares_files).__name__}")
        self.buffer: B_co = cast("B_co", buffer)
        self._shares_files = shares_files

    @overload
    async def send(
        self,
        text: str = ...,
        *,
        to: str | Envelope | None = ...,
        group: str | None = ...,
        username: str | None = ...,
        note_to_self: bool = ...,
        attachments: Iterable[str | PathLike[str] | Attachment] = ...,
        mentions: Iterable[Mention] = ...,
        styles: Iterable[Style] = ...,
        quote: Named | Quote | None = ...,
        preview: LinkPreview | None = ...,
        sticker: Sticker | None = ...,
        story: Envelope | MessageId | None = ...,
        view_once: bool = ...,
        **terms: Unpack[Terms],
    ) -> _Sent: ...

    @overload
    async def send(
        self,
        text: str = ...,
        *,
        to: Several,
        attachments: Iterable[str | PathLike[str] | Attachment] = ...,
        mentions: Iterable[Mention] = ...,
        styles: Iterable[Style] = ...,
        preview: LinkPreview | None = ...,
        sticker: Sticker | None = ...,
        view_once: bool = ...,
        **terms: Unpack[Terms],
    ) -> DeliveryGroup: ...

    async def send(
        self,
        text: str = "",
        *,
        to: str | Envelope | Several | None = None,
        group: str | None = None,
        username: str | None = None,
        note_to_self: bool = False,
        attachments: Iterable[str | PathLike[str] | Attachment] = (),
        mentions: Iterable[Mention] = (),
        styles: Iterable[Style] = (),
        quote: Named | Quote | None = None,
        preview: LinkPreview | None = None,
        sticker: Sticker | None = None,
        story: Envelope | MessageId | None = None,
        view_once: bool = False,
        **terms: Unpack[Terms],
    ) -> _Sent | DeliveryGroup:
        """Put a message, to be sent in its turn.

        Args:
            text: what it says; may be empty if there is an attachment or a sticker.
            to: a telephone number such as ``+15550100200``, or an account's UUID; or what came in, to answer where it
                came from, a group or a person; or several people in a list, tuple or set. Each of several gets a
                message of their own, so that what fails for one is tried again for that one alone; either all of
                these are put, or none, if the buffer's ``put_many`` keeps it so. Whoever is named twice gets it once.
            group: a group's id in base64.
            username: a username with its number, such as ``anna.42``.
            note_to_self: True for one's own account. Exactly one of these four must be given.
            attachments: files, by their paths or as :class:`Attachment`.
            mentions, styles: who is mentioned, and what is bold and so on, by positions in ``text``.
            quote: the message that this one answers: what ``send`` returned for it, or what came in; or a
                :class:`Quote` for more control.
            preview: how a link in the text is shown.
            sticker: a sticker of a pack that the account has, instead of a text.
            story: the story that this one answers.
            view_once: True for an attachment that can be looked at once.

        Returns:
            The message's fate: await it for the :class:`SendResult`, whose ``timestamp`` is its identity on Signal. To
            several people: a :class:`DeliveryGroup`.
        """
        targets = _targets(to, group, username, note_to_self)
        parts: dict[str, Any] = {
            "text": text,
            "attachments": await self._attachments(attachments),
            "mentions": _tuple("mentions", mentions),
            "styles": _tuple("styles", styles),
            "quote": None if quote is None else _quote(quote),
            "preview": preview,
            "sticker": sticker,
            "story": story.message_id if isinstance(story, Envelope) else story,
            "view_once": view_once,
        }
        messages = [TextMessage(target, **parts) for target in targets]
        if isinstance(to, list | tuple | set | frozenset):
            return DeliveryGroup(cast("list[_Sent]", await self.buffer.put_many(messages, **terms)))
        return await self._put(messages[0], terms)

    async def edit(
        self,
        message: Named,
        text: str,
        *,
        attachments: Iterable[str | PathLike[str] | Attachment] = (),
        mentions: Iterable[Mention] = (),
        styles: Iterable[Style] = (),
        preview: LinkPreview | None = None,
        **terms: Unpack[Terms],
    ) -> _Sent:
        """Have another text instead of that of a message of one's own. The whole message is replaced.

        Args:
            message: what ``send`` returned for it, which may still be waiting; or what came in of it, if another device
                of one's own has sent it; or its identity on Signal.
            text, attachments, mentions, styles, preview: as in :meth:`send`.
        """
        target, about = _target(message), _reference(message)
        check_reference("message", about, target, own=True)
        edited = TextMessage(
            target,
            text,
            attachments=await self._attachments(attachments),
            mentions=_tuple("mentions", mentions),
            styles=_tuple("styles", styles),
            preview=preview,
            edits=about,
        )
        return await self._put(edited, terms)

    async def react(
        self, message: Named, emoji: str, *, remove: bool = False, **terms: Unpack[Terms]
    ) -> Delivery[Reaction, SendResult]:
        """React to a message with an emoji.

        Args:
            message: what ``send`` returned for it, which may still be waiting; or what came in; or its identity.
            emoji: the emoji.
            remove: True to take such a reaction back.
        """
        target, about = _target(message), _reference(message)
        check_reference("message", about, target)
        return await self._put(Reaction(target, emoji, about, remove), terms)

    async def delete(self, message: Named, **terms: Unpack[Terms]) -> Delivery[RemoteDelete, SendResult]:
        """Have a message of one's own deleted from everybody's devices.

        One that has not been sent yet is better taken back by its ``Delivery.cancel``.

        Args:
            message: what ``send`` returned for it, which may still be waiting; or what came in of it, if another device
                of one's own has sent it; or its identity on Signal.
        """
        target, about = _target(message), _reference(message)
        check_reference("message", about, target, own=True)
        return await self._put(RemoteDelete(target, about), terms)

    async def mark_read(
        self, message: Envelope | MessageId, *, viewed: bool = False, **terms: Unpack[Terms]
    ) -> Delivery[Receipt, SendResult]:
        """Tell its sender that a message was read.

        Args:
            message: what came in, or its identity on Signal.
            viewed: True to tell that its attachment was looked at, or listened to.
        """
        identity = message.message_id if isinstance(message, Envelope) else message
        if not isinstance(identity, MessageId):
            raise TypeError(f"message must be an Envelope or a MessageId, not {type(identity).__name__}")
        if identity.author is None:
            raise ValueError("message must be somebody else's: there is no receipt for one's own")
        kind = ReceiptKind.VIEWED if viewed else ReceiptKind.READ
        return await self._put(Receipt(make_target(to=identity.author), kind, (identity.timestamp,)), terms)

    async def set_expiration(
        self, seconds: int, *, to: str | None = None, group: str | None = None, **terms: Unpack[Terms]
    ) -> Delivery[ExpirationTimer, None]:
        """Set for how long messages of a conversation are kept after they were read.

        Args:
            seconds: for how long; 0: for ever.
            to, group: the conversation, as in :meth:`send`; exactly one of the two.

        Returns:
            The fate of the request. Its result is None: the daemon does not tell more than that it has heard.
        """
        put = await self._put(ExpirationTimer(make_target(to=to, group=group), seconds), terms)
        return cast("Delivery[ExpirationTimer, None]", put)

    async def _put(self, message: M, terms: Terms) -> Delivery[M, SendResult]:
        return cast("Delivery[M, SendResult]", await self.buffer.put(message, **terms))

    async def _attachments(self, attachments: Iterable[str | PathLike[str] | Attachment]) -> tuple[Attachment, ...]:
        if isinstance(attachments, str | bytes):  # which are iterable, too
            raise TypeError("attachments must be a list of paths and Attachments, not one alone")
        given = _tuple("attachments", attachments)
        return tuple([each if isinstance(each, Attachment) else await self._read(each) for each in given])

    async def _read(self, path: str | PathLike[str]) -> Attachment:
        from_file = partial(Attachment.from_file, path, by_path=self._shares_files)
        return await run_sync(from_file, abandon_on_cancel=True)  # else a cancellation would be passed over


def _targets(
    to: str | Envelope | Several | None, group: str | None, username: str | None, note_to_self: bool
) -> list[Target]:
    """Whom a message goes to, each once."""
    if isinstance(to, Envelope):
        if group is not None or username is not None or note_to_self:
            raise ValueError("exactly one of to=, group=, username= and note_to_self=True must be given")
        return [to.target]
    if not isinstance(to, list | tuple | set | frozenset):
        return [make_target(to=to, group=group, username=username, note_to_self=note_to_self)]
    if not to:
        raise ValueError("to must name at least one person")
    for each in to:
        if not isinstance(each, str):
            raise TypeError(f"to must hold strings alone, not {type(each).__name__}")
    people = [make_target(to=each, group=group, username=username, note_to_self=note_to_self) for each in to]
    return list(dict.fromkeys(people))


def _tuple(name: str, values: Iterable[E]) -> tuple[E, ...]:
    if not isinstance(values, Iterable):
        raise TypeError(f"{name} must be a list or the like, not {type(values).__name__}")
    return tuple(values)


def _target(message: Named) -> Target:
    """The conversation that a message belongs to."""
    if isinstance(message, Delivery):
        message = message.message
    if isinstance(message, SignalMessage | MessageId | Envelope):
        return message.target
    raise TypeError(f"message must be a Delivery, a MessageId or an Envelope, not {type(message).__name__}")


def _reference(message: Named) -> Reference:
    return message.message_id if isinstance(message, Envelope) else message


def _quote(what: Named | Quote) -> Quote:
    """How a message is quoted: with its text, as far as that is known."""
    if isinstance(what, Quote):
        return what
    if not isinstance(what, Envelope | MessageId | Delivery):
        raise TypeError(f"quote must be what was sent or came in, or a Quote, not {type(what).__name__}")
    if not isinstance(what, Envelope):
        return Quote(what)
    data = what.content.sent if isinstance(what.content, Sync) else what.content
    if isinstance(data, Edit):
        data = data.data
    if not isinstance(data, Data):
        return Quote(what.message_id)
    return Quote.beginning(what.message_id, data.text, data.mentions, data.styles)
