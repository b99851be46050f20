"""Messages as JSON: those that come back from it as they were, and nothing else."""

from __future__ import annotations

import json
from json.encoder import encode_basestring

_ALLOWED = "None, a boolean, a finite number, a string, or a list or dict (with strings as keys) of these"

_ENCODER = json.JSONEncoder(ensure_ascii=False, allow_nan=False, separators=(",", ":"))
_DECODER = json.JSONDecoder()


def to_json(message: object) -> bytes:
    """The message as JSON.

    Raises:
        TypeError, ValueError: it would not come back as it was. No error holds any of it.
    """
    try:
        if type(message) is str:  # comes back as it was, and is what most have
            return encode_basestring(message).encode("utf-8", "surrogatepass")
        text = _ENCODER.encode(message)
        encoded = text.encode("utf-8", "surrogatepass")
        same = bool(_DECODER.decode(text) == message)
    except (TypeError, ValueError, RecursionError) as error:
        problem = TypeError if isinstance(error, TypeError) else ValueError
    else:
        if same:
            return encoded
        problem = ValueError
    raise problem(f"message must be {_ALLOWED}, or encode and decode must be given")


def from_json(body: bytes) -> object:
    """The message again."""
    return _DECODER.decode(body.decode("utf-8", "surrogatepass"))
