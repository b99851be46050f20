"""What a ledger with a journal keeps of what could not be written."""

from __future__ import annotations

from typing import Any

from ridethrough import Outcome
from ridethrough.abc import JournalChanges
from ridethrough.durable_ledger import DurableLedger


def test_what_could_not_be_written_is_written_before_what_has_come_since() -> None:
    nobody: Any = None
    ledger: DurableLedger[str] = DurableLedger(nobody, 10, None, lambda: 0.0)
    ledger.changes = JournalChanges([], [(1, 1, True)], [2], [(3, Outcome.EXPIRED, "too old")], [4])
    failed, _ = ledger.take_changes()
    ledger.changes = JournalChanges([], [(1, 0, False)], [5], [(6, Outcome.DROPPED, "full")], [7])
    ledger.give_back_changes(failed)
    buried = [(3, Outcome.EXPIRED, "too old"), (6, Outcome.DROPPED, "full")]
    assert ledger.changes == JournalChanges([], [(1, 1, True), (1, 0, False)], [2, 5], buried, [4, 7])
