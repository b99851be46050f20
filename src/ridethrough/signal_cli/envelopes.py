"""What comes in: envelopes, and what can be in them. They are values; :mod:`.reading` makes them from JSON.

Whoever is named besides the sender is named by their UUID, or by their number where the daemon tells nothing else.
One's own account is None, as in a :class:`MessageId`. Times are in milliseconds since 1970. No ``repr`` shows a text,
a name or a whole telephone number.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Literal

from .content import Mention, Sticker, Style
from .references import MessageId
from .targets import Target, make_target, masked

ReceiptStage = Literal["delivery", "read", "viewed"]
"""How far a message got: to a device of the recipient; it was read; its attachment was looked at, or listened to."""


@dataclass(frozen=True, slots=True, repr=False)
class Source:
    """Who sent an envelope, as far as the daemon says; None is what it does not say.

    Attributes:
        uuid: the account's UUID.
        number: its telephone number.
        name: the name that its contact or its profile has.
        device: which of its devices; 1 is the telephone.
    """

    uuid: str | None = None
    number: str | None = None
    name: str | None = None
    device: int | None = None

    @property
    def address(self) -> str | None:
        """What to write to in ``to=``: the UUID, or else the number."""
        return self.uuid or self.number

    def __repr__(self) -> str:
        who = "nobody known" if self.address is None else masked(self.address)
        return f"<Source {who}{'' if self.device is None else f', device {self.device}'}>"


@dataclass(frozen=True, slots=True)
class Group:
    """The group that something was sent to.

    Attributes:
        id: its id in base64, as ``group=`` takes it.
        name: its name; None if the daemon does not tell.
        updated: whether the group itself was changed: its name, its members and so on.
    """

    id: str
    name: str | None = field(default=None, repr=False)
    updated: bool = False


@dataclass(frozen=True, slots=True)
class ReceivedAttachment:
    """A file that came with a message.

    Attributes:
        id: its name in the daemon's folder of attachments, and in its method ``getAttachment``; None if it was not
            fetched.
        mime_type: what it is, as its sender says.
        name: the file name that its sender gave it; None: none.
        size: how many bytes it has; None if the daemon does not tell.
        width, height: of a picture, in pixels; None if the daemon does not tell.
        caption: a text to it; None: none.
    """

    id: str | None = field(repr=False)
    mime_type: str | None = field(repr=False)
    name: str | None = field(default=None, repr=False)
    size: int | None = None
    width: int | None = None
    height: int | None = None
    caption: str | None = field(default=None, repr=False)


@dataclass(frozen=True, slots=True)
class ReceivedPreview:
    """How a link in a message is to be shown.

    Attributes:
        url: the link.
        title: the page's title.
        description: what it is about.
        image: a picture of it; None: none.
    """

    url: str = field(repr=False)
    title: str = field(default="", repr=False)
    description: str = field(default="", repr=False)
    image: ReceivedAttachment | None = None


@dataclass(frozen=True, slots=True)
class Mark:
    """A message of which nothing is told but who wrote it, and when.

    Attributes:
        author: who wrote it; None: oneself.
        timestamp: when it was sent.
    """

    author: str | None = field(repr=False)
    timestamp: int


@dataclass(frozen=True, slots=True)
class Quoted:
    """The message that another one answers.

    Attributes:
        author: who wrote it; None: oneself.
        timestamp: when it was sent.
        text: what is shown of it; may be empty.
        mentions, styles: who is mentioned, and what looks different, by positions in ``text``.
    """

    author: str | None = field(repr=False)
    timestamp: int
    text: str = field(default="", repr=False)
    mentions: tuple[Mention, ...] = ()
    styles: tuple[Style, ...] = ()


@dataclass(frozen=True, slots=True)
class Data:
    """A message.

    Attributes:
        timestamp: when it was sent, which with its author is its identity.
        text: what it says; empty if there is none, as with a sticker, or if a timer or a group was changed.
        group: the group that it was sent to; None: it was sent to one person.
        quote: the message that it answers; None: none.
        attachments: the files that came with it.
        mentions, styles: who is mentioned, and what looks different, by positions in ``text``. Those that are not
            inside the text are left out. One's own account is mentioned by its number.
        sticker: the sticker that it is; None: none.
        previews: how links in it are to be shown.
        expires_in: how many seconds after it was read it is to vanish; 0: never.
        view_once: whether its attachment is to be looked at once.
        story: the story that it answers; None: none.
    """

    timestamp: int
    text: str = field(default="", repr=False)
    group: Group | None = None
    quote: Quoted | None = None
    attachments: tuple[ReceivedAttachment, ...] = ()
    mentions: tuple[Mention, ...] = ()
    styles: tuple[Style, ...] = ()
    sticker: Sticker | None = None
    previews: tuple[ReceivedPreview, ...] = ()
    expires_in: int = 0
    view_once: bool = False
    story: Mark | None = None


@dataclass(frozen=True, slots=True)
class Edit:
    """Another text instead of that of an earlier message.

    Attributes:
        timestamp: when the message was sent that is replaced. It is the sender's own.
        data: what it says from now on.
    """

    timestamp: int
    data: Data

    @property
    def group(self) -> Group | None:
        """The group that it was sent to; None: it was sent to one person."""
        return self.data.group


@dataclass(frozen=True, slots=True)
class Reacted:
    """An emoji under a message, or that it was taken back.

    Attributes:
        emoji: the emoji.
        author: who wrote the message that it is about; None: oneself.
        timestamp: when that message was sent.
        removed: whether the reaction was taken back.
        group: the group that it was sent to; None: it was sent to one person.
    """

    emoji: str = field(repr=False)
    author: str | None = field(repr=False)
    timestamp: int
    removed: bool = False
    group: Group | None = None


@dataclass(frozen=True, slots=True)
class Deleted:
    """A message was deleted by its sender, for everybody.

    Attributes:
        timestamp: when that message was sent. It is the sender's own.
        group: the group that it was sent to; None: it was sent to one person.
    """

    timestamp: int
    group: Group | None = None


@dataclass(frozen=True, slots=True)
class Receipts:
    """What became of messages of one's own, at the source of the envelope.

    Attributes:
        kind: how far they got.
        timestamps: when they were sent.
        when: when the receipt was.
    """

    kind: ReceiptStage
    timestamps: tuple[int, ...]
    when: int


@dataclass(frozen=True, slots=True)
class Typing:
    """Somebody types, or has stopped.

    Attributes:
        started: True: has begun; False: has stopped.
        group: the group that they write to; None: they write to one person.
    """

    started: bool
    group: Group | None = None


@dataclass(frozen=True, slots=True)
class Story:
    """A story.

    Attributes:
        text: what it says; empty if it is a picture.
        attachment: the picture or film that it is; None: it is a text.
        group: the group that it is for; None: it is for contacts of the sender.
        allows_replies: whether it may be answered.
    """

    text: str = field(default="", repr=False)
    attachment: ReceivedAttachment | None = None
    group: Group | None = None
    allows_replies: bool = True


@dataclass(frozen=True, slots=True)
class Call:
    """Something about a call by voice or video.

    Attributes:
        kind: what: somebody calls, answers, is busy, hangs up, or tells how to be reached in the network.
    """

    kind: Literal["offer", "answer", "busy", "hangup", "ice"]


@dataclass(frozen=True, slots=True)
class Sync:
    """What another device of one's own tells. It may be none of these, such as new contacts: then see ``raw``.

    Attributes:
        sent: what it has sent; None: nothing.
        destination: the person whom it has sent that to, or oneself; None: nobody, or a group, which ``sent`` names.
        read: what was read there.
    """

    sent: Data | Edit | Reacted | Deleted | Story | None = None
    destination: Target | None = None
    read: tuple[Mark, ...] = ()

    @property
    def group(self) -> Group | None:
        """The group that it was sent to; None: none."""
        return None if self.sent is None else self.sent.group


@dataclass(frozen=True, slots=True)
class Undecryptable:
    """A message that the daemon could not read, for example because its sender has a new identity.

    Attributes:
        kind: the kind of error, by the name of its class, such as ``UntrustedIdentityException``; empty if it has none.
        reason: what the daemon says about it; may be empty.
    """

    kind: str
    reason: str = field(default="", repr=False)


@dataclass(frozen=True, slots=True)
class Unknown:
    """Something that this version does not know, or that is not of the form that it expects: see ``raw``."""


Content = Data | Edit | Reacted | Deleted | Receipts | Typing | Sync | Call | Story | Undecryptable | Unknown
"""What can be in an envelope."""


@dataclass(frozen=True, slots=True, repr=False)
class Envelope:
    """Something that came in.

    Attributes:
        account: the number of one's own account, to which it came; None if the daemon does not tell.
        source: who sent it.
        timestamp: when it was sent, by the clock of who sent it; 0 if the daemon does not tell.
        server_timestamp: when Signal took it; 0 if the daemon does not tell.
        content: what is in it.
        raw: its JSON as it came, with whatever this version does not know.
    """

    account: str | None
    source: Source
    timestamp: int
    server_timestamp: int
    content: Content
    raw: dict[str, Any] = field(compare=False)

    @property
    def target(self) -> Target:
        """Whom to answer to: the group, or the person.

        Raises:
            ValueError: it does not name any.
        """
        content = self.content
        if isinstance(content, Data | Edit | Reacted | Deleted | Typing | Story | Sync) and content.group is not None:
            return make_target(group=content.group.id)
        if isinstance(content, Sync):
            if content.destination is not None:
                return content.destination
        elif self.source.address is not None:
            return make_target(to=self.source.address)
        raise ValueError("the envelope names nobody to answer to")

    @property
    def message_id(self) -> MessageId:
        """Its identity on Signal, to quote it, react to it, or mark it read.

        Raises:
            ValueError: it does not tell who wrote it to whom, or when.
        """
        sent = self.content.sent if isinstance(self.content, Sync) else self.content
        if isinstance(sent, Edit):
            sent = sent.data
        own = isinstance(self.content, Sync) or (self.account is not None and self.source.number == self.account)
        if not own and self.source.address is None:
            raise ValueError("the envelope does not tell whom it is from")
        timestamp = sent.timestamp if isinstance(sent, Data) else self.timestamp
        return MessageId(self.target, None if own else self.source.address, timestamp)

    def __repr__(self) -> str:
        return f"<Envelope {type(self.content).__name__} by {self.source!r} at {self.timestamp}>"
