"""Weather: what happens to what is on its way between a client and the servers. Fair, unless a scenario has another."""

from __future__ import annotations


class Weather:
    """Everything arrives, and soon.

    Attributes:
        leader: how JetStream answers: ``"there"``; ``"silent"``: not at all; ``"gone"``: nobody listens; or
            ``"unsure"``: with an error that another try mends.
    """

    leader = "there"

    def delay(self) -> float:
        """How long the next thing is under way, in seconds."""
        return 0.0005

    def loses(self, what: str) -> bool:  # noqa: ARG002, other weather looks at it
        """Whether a ``"request"`` is lost before JetStream has it, or an ``"answer"`` when it was carried out."""
        return False

    def arrives(self, waiting: int) -> int:  # noqa: ARG002, other weather looks at it
        """How many of so many things that are on their way to a server still arrive when their connection is cut."""
        return 0
