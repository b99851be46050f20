"""One outbox for many machines: :class:`JetStreamMessageBuffer`, kept by a cluster of NATS servers."""

from .buffer import JetStreamMessageBuffer
from .store import WaitingMessage

__all__ = ["JetStreamMessageBuffer", "WaitingMessage"]
