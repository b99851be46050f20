"""Signal through the signal-cli daemon: :class:`SignalClient`, and what goes through it."""

from .answers import DaemonError, RecipientResult, ResultType, SendResult
from .client import SignalClient, target_of
from .messages import Target, TargetKind, TextMessage, make_target

__all__ = [
    "DaemonError",
    "RecipientResult",
    "ResultType",
    "SendResult",
    "SignalClient",
    "Target",
    "TargetKind",
    "TextMessage",
    "make_target",
    "target_of",
]
