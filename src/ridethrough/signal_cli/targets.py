"""Whom a message goes to. Checked when it is made: what is wrong never gets into a buffer."""

from __future__ import annotations

import base64
import re
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

_NUMBER = re.compile(r"\+[1-9][0-9]{5,14}")
"""A telephone number in the international form (ITU-T E.164: at most 15 digits)."""
_UUID = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}", re.IGNORECASE)
_USERNAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]{2,31}\.[0-9]{2,9}")
"""A nickname of 3 to 32 characters, and a number of at least two digits, as Signal hands them out."""
_GROUP_ID_SIZES = (16, 32)
"""In bytes: of groups of the first version, and of the second."""

_PARAMETERS = {"number": "recipient", "aci": "recipient", "username": "username", "group": "groupId"}


class TargetKind(StrEnum):
    """What kind of address a message goes to."""

    NUMBER = "number"
    ACI = "aci"
    """An account's UUID."""
    USERNAME = "username"
    GROUP = "group"
    SELF = "self"
    """One's own account: Signal's note to self."""


@dataclass(frozen=True, slots=True)
class Target:
    """Whom a message goes to; made by :func:`make_target`. It is the key of the message in its buffer.

    Attributes:
        kind: what kind of address it is.
        address: the address as the daemon takes it; empty for oneself.
    """

    kind: TargetKind
    address: str = ""

    def params(self) -> dict[str, Any]:
        """The parameters of a request that name it."""
        if self.kind is TargetKind.SELF:
            return {"noteToSelf": True}
        return {_PARAMETERS[self.kind]: [self.address]}

    def may_be(self, other: Target) -> bool:
        """Whether both may name the same conversation, as far as can be told: a person has several addresses."""
        if self.kind is other.kind:
            return self.address == other.address
        return TargetKind.GROUP not in (self.kind, other.kind)

    def __repr__(self) -> str:
        return f"<Target {self.kind}{' ' if self.address else ''}{masked(self.address)}>"


def make_target(
    *, to: str | None = None, group: str | None = None, username: str | None = None, note_to_self: bool = False
) -> Target:
    """Check and read the address of a message; exactly one must be given.

    Args:
        to: a telephone number such as ``+15550100200``, or an account's UUID.
        group: a group's id in base64, as signal-cli shows it.
        username: a username with its number, such as ``anna.42``.
        note_to_self: True for one's own account.

    Raises:
        TypeError, ValueError: naming the argument and what is allowed. What was passed is not repeated.
    """
    given = {"to": to, "group": group, "username": username}
    for name, value in given.items():
        if value is not None and not isinstance(value, str):
            raise TypeError(f"{name} must be a string, not {type(value).__name__}")
    if not isinstance(note_to_self, bool):
        raise TypeError(f"note_to_self must be a bool, not {type(note_to_self).__name__}")
    names = [name for name, value in given.items() if value is not None] + ["note_to_self"] * note_to_self
    if len(names) != 1:
        what = " and ".join(names) or "none"
        raise ValueError(f"exactly one of to=, group=, username= and note_to_self=True must be given, not {what}")
    if to is not None:
        return _person(to, "to", "; a username goes to username=")
    if group is not None:
        return _group(group)
    if username is not None:
        if not _USERNAME.fullmatch(username):
            raise ValueError("username must be a nickname, a point and at least two digits, such as anna.42")
        return Target(TargetKind.USERNAME, username)
    return Target(TargetKind.SELF)


def read_person(name: str, address: str) -> str:
    """Check and read the telephone number or UUID of somebody, and give it as the daemon takes it.

    Args:
        name: the field's name, for the error.
        address: what was given for it.

    Raises:
        TypeError, ValueError: naming the field and what is allowed. What was passed is not repeated.
    """
    if not isinstance(address, str):
        raise TypeError(f"{name} must be a string, not {type(address).__name__}")
    return _person(address, name).address


def _person(address: str, name: str, hint: str = "") -> Target:
    if _NUMBER.fullmatch(address):
        return Target(TargetKind.NUMBER, address)
    if _UUID.fullmatch(address):
        return Target(TargetKind.ACI, address.lower())
    raise ValueError(f"{name} must be a telephone number such as +15550100200, or a UUID{hint}")


def _group(group: str) -> Target:
    try:
        raw = base64.b64decode(group, validate=True)
    except ValueError:
        raw = b""
    if len(raw) not in _GROUP_ID_SIZES:
        raise ValueError("group must be a group's id: the base64 of 16 or 32 bytes")
    return Target(TargetKind.GROUP, base64.b64encode(raw).decode())


def check_account(account: str | None) -> None:
    """Refuse what is neither None nor a telephone number in the international form."""
    allowed = "a telephone number such as +15550100200, or None"
    if account is not None and not isinstance(account, str):
        raise TypeError(f"account must be {allowed}, not {type(account).__name__}")
    if account is not None and not _NUMBER.fullmatch(account):
        raise ValueError(f"account must be {allowed}")


def masked(address: str) -> str:
    """An address with its middle hidden, for people to recognize and nobody to dial."""
    return address if len(address) < 6 else f"{address[:3]}…{address[-2:]}"
