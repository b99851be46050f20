"""The parameters of a request as signal-cli 0.13.19 reads them, and the words in which it refuses them."""

from __future__ import annotations

import base64
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from uuid import UUID

USER_ERROR, IO_ERROR, UNTRUSTED_KEY, RATE_LIMIT = -1, -3, -4, -5
METHOD_NOT_FOUND, INVALID_PARAMS, INTERNAL_ERROR = -32601, -32602, -32603

Params = Mapping[str, Any]

_GROUP_ID_SIZES = (16, 32)
_INTEGER, _LONG = range(-(2**31), 2**31), range(-(2**63), 2**63)
_STYLES = ("BOLD", "ITALIC", "MONOSPACE", "NONE", "SPOILER", "STRIKETHROUGH")
_DATA_URI = re.compile(r"data:(.+?/.+?)?(;.+?=.+?)?(?P<base64>;base64)?,(?P<data>.+)", re.DOTALL | re.IGNORECASE)


class RequestFailed(Exception):
    """The answer to a request is an error."""

    def __init__(self, code: int, message: str, data: Any = None) -> None:
        super().__init__(code)
        self.code: int = code
        self.message: str = message
        self.data: Any = data


@dataclass(frozen=True, slots=True)
class Content:
    """What a send has to say.

    Attributes:
        text: the message.
        files: its attachments: paths, or data as URIs.
        image: that of a link's preview, likewise.
        sticker_pack: the pack that its sticker is from.
        people: whom it mentions or quotes.
    """

    text: str
    files: list[str]
    image: str | None
    sticker_pack: str | None
    people: list[str]


def user_error(message: str) -> RequestFailed:
    """The user is to blame."""
    return RequestFailed(USER_ERROR, message)


def missing(what: str) -> RequestFailed:
    """Something is missing, which signal-cli does not look for."""
    return RequestFailed(INTERNAL_ERROR, f"{what} is null (NullPointerException)")


def text_of(params: Params, name: str) -> str | None:
    """A parameter that is turned into a text, whatever it is."""
    value = params.get(name)
    return None if value is None else _words(value)


def flag_of(params: Params, name: str) -> bool:
    """A parameter that is true or false."""
    value = params.get(name)
    if value is not None and not isinstance(value, bool):
        raise _cast_error(value, "Boolean")
    return value is True


def long_of(params: Params, name: str) -> int | None:
    """A timestamp; what would fit into 32 bits is none."""
    value = params.get(name)
    return None if value is None else _long(value)


def needed_long_of(params: Params, name: str) -> int:
    """A timestamp that must not be missing."""
    value = long_of(params, name)
    if value is None:
        raise RequestFailed(
            INTERNAL_ERROR, f'Cannot invoke "java.lang.Long.longValue()" on {name} (NullPointerException)'
        )
    return value


def integer_of(params: Params, name: str) -> int | None:
    """A number of 32 bits."""
    value = params.get(name)
    if value is not None and _java_class(value) != "Integer":
        raise _cast_error(value, "Integer")
    return value


def values_of(params: Params, name: str) -> list[Any]:
    """A parameter that may be a scalar, a list, or a list under the plural name."""
    value = params.get(name)
    if value is None:
        value = params.get(f"{name}s")
    return value if isinstance(value, list) else [] if value is None else [value]


def texts_of(params: Params, name: str) -> list[str]:
    """A list of texts."""
    values = values_of(params, name)
    for value in values:
        if not isinstance(value, str):
            raise _cast_error(value, "String")
    return values


def numbers_of(params: Params, name: str) -> list[int]:
    """A list of numbers; it must not be missing."""
    if params.get(name) is None and params.get(f"{name}s") is None:
        raise missing(name)
    values = values_of(params, name)
    for value in values:
        if not isinstance(value, int):
            raise _cast_error(value, "Long")
    return values


def check_longs(values: list[int]) -> None:
    """Refuse timestamps that are none."""
    for value in values:
        _long(value)


def people_of(params: Params) -> list[str]:
    """The people addressed, each once."""
    people = [person_of(value) for value in texts_of(params, "recipient")]
    return list(dict.fromkeys([*people, *texts_of(params, "username")]))


def one_person_of(params: Params, name: str) -> str:
    """A parameter that names somebody. A list does not do: signal-cli looks for a number in what it looks like."""
    value = text_of(params, name)
    if value is None:
        raise missing(name)
    return person_of(value)


def person_of(value: str) -> str:
    """Somebody: a UUID in lower case, a telephone number or a username."""
    if is_uuid(value):
        return value.lower()
    if value.startswith("u:"):
        return value.removeprefix("u:")
    number = number_of(value)
    if number is None:
        raise user_error(f"Invalid phone number '{value}': No valid characters found.")
    return number


def number_of(value: str) -> str | None:
    """The telephone number that its digits make."""
    digits = re.sub(r"\D", "", value)
    return f"+{digits}" if digits else None


def is_uuid(text: str) -> bool:
    try:
        return str(UUID(text)) == text.lower()
    except ValueError:
        return False


def groups_of(params: Params) -> list[str]:
    """The groups addressed, each once."""
    return list(dict.fromkeys(group_id_of(value) for value in texts_of(params, "groupId")))


def group_id_of(value: str) -> str:
    """A group's id, with the padding that it may lack."""
    try:
        decoded = base64.b64decode(value + "=" * (-len(value) % 4), validate=True)
    except ValueError:
        problem = "Illegal base64 character"
    else:
        if len(decoded) in _GROUP_ID_SIZES:
            return base64.b64encode(decoded).decode()
        problem = f"Invalid group id of size {len(decoded)}"
    why = f'Failed to decode groupId (must be base64) "{value}": {problem}'
    raise user_error(f"Invalid group id: {why}")


def mentioned_in(params: Params, name: str) -> list[str]:
    """Whom mentions are about."""
    return [person_of(_range_of(value, "mention", "recipientNumber")) for value in texts_of(params, name)]


def check_styles(params: Params, name: str) -> None:
    """Refuse styles that are none."""
    for value in texts_of(params, name):
        style = _range_of(value, "textStyle", "STYLE")
        if style not in _STYLES:
            raise user_error(f"Invalid style: {style}")


def _sticker_pack_of(params: Params) -> str | None:
    """The pack that the sticker is from."""
    value = text_of(params, "sticker")
    if value is None:
        return None
    found = re.fullmatch(r"((?:[\da-f]{2})+):\d+", value, re.ASCII)
    if found is None:
        raise user_error(f"Invalid sticker syntax ({value}) expected 'stickerPackId:stickerId'")
    return found[1]


def content_of(params: Params) -> Content:
    """What a send has to say."""
    pack = _sticker_pack_of(params)
    text = text_of(params, "message") or ""
    files = texts_of(params, "attachment")
    people = mentioned_in(params, "mention")
    check_styles(params, "textStyle")
    quotes = long_of(params, "quoteTimestamp") is not None
    if quotes:
        people += mentioned_in(params, "quoteMention")
        check_styles(params, "quoteTextStyle")
        if params.get("quoteAuthor") is None:
            raise user_error("Quote author parameter is missing")
        people.append(one_person_of(params, "quoteAuthor"))
    image = None if params.get("previewUrl") is None else text_of(params, "previewImage")
    if long_of(params, "storyTimestamp") is not None:
        people.append(one_person_of(params, "storyAuthor"))
    flag_of(params, "viewOnce")
    if not (text or files or pack or quotes):
        what = "either a message, attachment or sticker must be given."
        raise user_error(f"Sending empty message is not allowed, {what}")
    long_of(params, "editTimestamp")
    return Content(text, files, image, pack, people)


def safety_number_of(params: Params) -> str:
    """The safety number that was verified, without its blanks."""
    value = text_of(params, "verifiedSafetyNumber")
    if value is None:
        raise user_error("You need to specify the fingerprint/safety number you have verified with -v SAFETY_NUMBER")
    number = "".join(value.split())
    if not _is_base64(number):  # which signal-cli takes for what stands in the code that is scanned
        what = "either specify the old hex fingerprint or the new safety number"
        raise user_error(f"Safety number has invalid format, {what}")
    return number


def check_file(value: str) -> None:
    """Refuse what is neither data nor the path of a file that is there."""
    if not (_is_data(value) or Path(value).is_file()):
        what = f"{value}: {value} (No such file or directory) (AttachmentInvalidException) (UnexpectedErrorException)"
        raise RequestFailed(INTERNAL_ERROR, f"Failed to send message: {what}")


def _is_data(value: str) -> bool:
    found = _DATA_URI.match(value)
    if found is None:
        return False
    return not found["base64"] or _is_base64(found["data"])


def _is_base64(text: str) -> bool:
    try:
        base64.b64decode(text, validate=True)
    except ValueError:
        return False
    return True


def _range_of(value: str, what: str, last: str) -> str:
    """What a part of a text, given as start:length:what, is said to be."""
    found = re.fullmatch(r"(\d+):(\d+):(.+)", value, re.ASCII)
    if found is None:
        raise user_error(f"Invalid {what} syntax ({value}) expected 'start:length:{last}'")
    for digits in found.groups()[:2]:
        if int(digits) not in _INTEGER:
            raise RequestFailed(INTERNAL_ERROR, f'For input string: "{digits}" (NumberFormatException)')
    return found[3]


def _long(value: Any) -> int:
    if _java_class(value) != "Long":
        raise _cast_error(value, "Long")
    return int(value)


def _cast_error(value: Any, wanted: str) -> RequestFailed:
    given = f"class java.lang.{_java_class(value)}"
    return RequestFailed(INTERNAL_ERROR, f"{given} cannot be cast to class java.lang.{wanted} (ClassCastException)")


def _java_class(value: Any) -> str:
    if isinstance(value, int) and not isinstance(value, bool):
        return "Integer" if value in _INTEGER else "Long" if value in _LONG else "BigInteger"
    return {bool: "Boolean", float: "Double", str: "String"}.get(type(value), "Object")


def _words(value: Any) -> str:
    """What Java makes of it."""
    if isinstance(value, list):
        return f"[{', '.join(map(_words, value))}]"
    return json.dumps(value) if value is None or isinstance(value, bool) else str(value)
