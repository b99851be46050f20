"""What names an earlier message: its identity on Signal, or the Delivery of one that is still to be sent."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from ..delivery import Delivery, Outcome
from ..errors import Rejected
from .answers import SendResult
from .checks import check_timestamp, check_type
from .targets import Target, masked, read_person


@dataclass(frozen=True, slots=True, repr=False)
class MessageId:
    """A message's identity on Signal: in which conversation, by whom, and when it was sent.

    Attributes:
        target: the conversation.
        author: the telephone number or UUID of who wrote it; None: one's own account.
        timestamp: when it was sent, in milliseconds since 1970.

    Raises:
        TypeError, ValueError: naming the field and what is allowed.
    """

    target: Target
    author: str | None
    timestamp: int

    def __post_init__(self) -> None:
        check_type("target", self.target, Target, "a Target")
        if self.author is not None:
            object.__setattr__(self, "author", read_person("author", self.author))
        check_timestamp("timestamp", self.timestamp)

    def __repr__(self) -> str:
        return f"<MessageId {self.timestamp} by {'oneself' if self.author is None else masked(self.author)}>"


Reference = MessageId | Delivery[Any, Any]
"""Names an earlier message. A Delivery names the message that it is the fate of, which is one's own. It has ended by
the time that a message is sent which was put after it and goes to the same target: then its timestamp is known."""


def check_is_reference(name: str, value: Any) -> None:
    """Refuse what is no :data:`Reference`."""
    check_type(name, value, (MessageId, Delivery), "a MessageId or a Delivery")


def timestamp_of(reference: Reference) -> int:
    """When the message was sent.

    Raises:
        Rejected: it was not sent.
    """
    if isinstance(reference, MessageId):
        return reference.timestamp
    if reference.outcome is Outcome.SENT and isinstance(reference._result, SendResult):
        return reference._result.timestamp
    raise Rejected("the message that it is about was not sent")


def author_of(reference: Reference, own: str | None) -> str:
    """Who wrote the message: a telephone number or UUID.

    Args:
        reference: names it.
        own: the telephone number of one's own account; None if it is not known.

    Raises:
        Rejected: it is one's own account, and its number is not known.
    """
    author = reference.author if isinstance(reference, MessageId) else None
    return own_number(own) if author is None else author


def own_number(own: str | None) -> str:
    """One's own number.

    Raises:
        Rejected: it is not known.
    """
    if own is None:
        raise Rejected("it needs the account's number, which is not known: account= must name it")
    return own
