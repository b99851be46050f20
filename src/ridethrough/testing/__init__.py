"""A signal-cli daemon to test against, with faults on demand, and a relay that cuts the line to any daemon.

::

    async with FakeSignalDaemon() as daemon:
        daemon.fail_next(CutAfter(), Failure("RATE_LIMIT_FAILURE"))
        ...                                 # have the program send to daemon.endpoint
        await daemon.stop()                 # an outage
        await daemon.start()
        assert [arrival.text for arrival in daemon.sends] == [...]
"""

from .fake_daemon import FakeSignalDaemon
from .fake_signal import NOTE_TO_SELF, Arrival
from .faults import CutAfter, CutBefore, CutInAnswer, Failure, Fault, Flood, Garbage, Late, Refuse, Stall, WrongId
from .relay import Relay

__all__ = [
    "NOTE_TO_SELF",
    "Arrival",
    "CutAfter",
    "CutBefore",
    "CutInAnswer",
    "Failure",
    "FakeSignalDaemon",
    "Fault",
    "Flood",
    "Garbage",
    "Late",
    "Refuse",
    "Relay",
    "Stall",
    "WrongId",
]
