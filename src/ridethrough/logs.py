"""Where the package logs: silent unless the program sets logging up.

Everything goes to the logger ``ridethrough``, by way of ``ridethrough.buffer``, ``ridethrough.journal``,
``ridethrough.supervisor``, ``ridethrough.signal_cli``, ``ridethrough.sqlite``, ``ridethrough.jetstream`` and
``ridethrough.cli``. No line holds a message's body or a whole telephone number.
"""

from __future__ import annotations

import logging

logging.getLogger("ridethrough").addHandler(logging.NullHandler())


def get_logger(part: str) -> logging.Logger:
    """The logger of that part of the package."""
    return logging.getLogger(f"ridethrough.{part}")
