"""What can go wrong between a host and the servers, as the parts of the shared buffer tell each other."""

from __future__ import annotations

from ..errors import describe

_NOT_STORED = 10077
"""The error code of JetStream for what a stream did not take; the text says why."""

_NO_DISK = {10023, 10028, 10047}
"""Those for disks, or limits of an account, that are used up."""

_PASSING = {10158}
"""Of answers that are errors, those that another try mends: the message is being written."""

_FINAL = {_NOT_STORED, *_NO_DISK, 10039, 10076}
"""Of answers with the status 503, those that another try does not mend; the last two: there is no JetStream."""

_WORDS = {
    "ConnectionClosedError": "the connection was closed",
    "Error": "the server has ended the connection",
    "StaleConnectionError": "the server has gone silent",
    "TimeoutError": "no answer in time",
    "UnexpectedEOF": "the server has ended the connection",
}


class Lost(Exception):
    """A request that was not answered.

    Args:
        reason: why, for people.
        sent: whether it may have been carried out; False: it never left.
    """

    def __init__(self, reason: str, *, sent: bool = True) -> None:
        super().__init__(reason)
        self.sent = sent


class Refused(Exception):
    """A request that was answered with an error.

    Args:
        code: which, by JetStream's own numbers.
        text: in JetStream's words, which tell of streams and limits, and of no message.
    """

    def __init__(self, code: int, text: str) -> None:
        super().__init__(code, text)
        self.code = code
        self.text = text

    @property
    def is_full(self) -> bool:
        """Whether the stream has as many messages, or bytes, as it may have."""
        return self.code == _NOT_STORED and self.text.startswith("maximum ")

    @property
    def no_disk(self) -> bool:
        """Whether the servers have no room for anything."""
        return self.code in _NO_DISK

    def __str__(self) -> str:
        return self.text


NO_ROOM = Refused(_NOT_STORED, "maximum messages exceeded")
"""What JetStream would answer."""


def is_passing(status: int, code: int) -> bool:
    """Whether an answer that is an error says no more than that it has to be asked again."""
    return (status == 503 and code not in _FINAL) or code in _PASSING


def in_words(error: Exception) -> str:
    """What an error of nats-py says, without what a server or an address could have put into it."""
    text = str(error).lower()
    if "authoriz" in text or "authentic" in text:
        return "the credentials are refused"
    if "permissions violation" in text:
        return "the account lacks a permission"
    return _WORDS.get(type(error).__name__) or describe(error)
