"""The same, of a buffer with a journal, and of the journal on disk."""

from __future__ import annotations

from .bugs import Bug

_MARK = "self.changes.updated += [(delivery.id, delivery.attempts + 1, True) for delivery in lease.left()]"

SCHEDULES = "tests/simulation/test_durable.py::test_what_was_promised_is_there_after_a_kill"
KILLS = "tests/crash/test_program_kills.py::test_what_was_promised_is_there_after_a_kill"

STORE_BUGS = [
    # Promise 14: put before it returns, and never before it is written
    Bug(
        "put returns before it is written",
        "journal_writer.py",
        "        refusal, failure = self._write(changes, proposals)\n",
        "        with self._monitor.lock:\n"
        "            self._finish([proposal.ticket for proposal in proposals])\n"
        "        refusal, failure = self._write(changes, proposals)\n",
        SCHEDULES,
    ),
    Bug(
        "put returns before it is written, on a disk",
        "journal_writer.py",
        "        refusal, failure = self._write(changes, proposals)\n",
        "        with self._monitor.lock:\n"
        "            self._finish([proposal.ticket for proposal in proposals])\n"
        "        refusal, failure = self._write(changes, proposals)\n",
        KILLS,
    ),
    Bug(
        "accepted before it is written",
        "journal_writer.py",
        "        refusal, failure = self._write(changes, proposals)\n",
        "        with self._monitor.lock:\n"
        "            tickets += [proposal.ticket for proposal in proposals if self._answer(proposal, None)]\n"
        "            self._monitor.wake()\n"
        "        refusal, failure = self._write(changes, proposals)\n"
        "        proposals = []\n",
        SCHEDULES,
    ),
    Bug(
        "what is refused after all stays in the journal",
        "durable_ledger.py",
        "            self.changes.discarded += [delivery.id for delivery in proposal]\n",
        "            pass\n",
        SCHEDULES,
    ),
    Bug(
        "its putter learns that it is refused before it has been erased",
        "journal_writer.py",
        "            self._refused.append(ticket)\n            return False\n",
        "            return True\n",
        "tests/simulation/test_seeds.py::test_seed",
    ),
    Bug(
        "it is erased, and may be back once the power was cut",
        "durable_ledger.py",
        "            self._update(delivery)  # which makes the transaction as durable as a put is\n",
        "            pass\n",
        "tests/simulation/test_seeds.py::test_seed",
    ),
    Bug(
        "a put that was written raises its cancellation",
        "journal_writer.py",
        "            loop.cancel_again()\n",
        "            raise\n",
        SCHEDULES,
    ),
    Bug(
        "dropped for what could not be written",
        "durable_ledger.py",
        '        """Leave it for :meth:`admit`."""\n',
        "        super().drop_oldest_for(count, size)\n",
        "tests/unit/test_buffer_journal_fails.py::test_put_that_cannot_be_written_is_not_accepted_and_drops_nothing",
    ),
    Bug(
        "what is being written takes no room",
        "durable_ledger.py",
        "        return super().has_room(self._proposed + count, self._proposed_size + size)\n",
        "        return super().has_room(count, size)\n",
        SCHEDULES,
    ),
    Bug(
        "what could not be written keeps its room",
        "journal_writer.py",
        "            self._ledger.withdraw(proposal)\n",
        "            pass\n",
        "tests/unit/test_buffer_journal_fails.py::test_putter_in_line_gets_the_room_of_one_that_could_not_be_written",
    ),
    Bug(
        "the last to put is the first to be written",
        "durable_ledger.py",
        "        taken = self.changes, self.proposals\n",
        "        taken = self.changes, self.proposals[::-1]\n",
        SCHEDULES,
    ),
    Bug(
        "closed while a put is being written",
        "buffer.py",
        "            await self._writer.sync()  # which lets those in whose messages are being written\n",
        "            pass\n",
        SCHEDULES,
    ),
    # Promise 14: a duplicate only of what was being sent
    Bug(
        "nobody notes that a lease begins",
        "durable_ledger.py",
        _MARK,
        "pass",
        SCHEDULES,
    ),
    Bug(
        "handed out before its attempt is written",
        "owner.py",
        "                await self._writer.sync()\n",
        "                pass\n",
        SCHEDULES,
    ),
    Bug(
        "what is leased is erased",
        "durable_ledger.py",
        _MARK,
        "self.changes.discarded += [delivery.id for delivery in lease.left()]",
        SCHEDULES,
    ),
    Bug(
        "what is leased is erased, on a disk",
        "durable_ledger.py",
        _MARK,
        "self.changes.discarded += [delivery.id for delivery in lease.left()]",
        KILLS,
    ),
    Bug(
        "nobody notes what is given back",
        "durable_ledger.py",
        "        self._note_given_back([delivery for delivery in left if delivery.outcome is None])\n",
        "",
        SCHEDULES,
    ),
    Bug(
        "nobody notes what has ended",
        "durable_ledger.py",
        "            self.changes.discarded.append(delivery.id)\n",
        "            pass\n",
        SCHEDULES,
    ),
    Bug(
        "what is abandoned is erased",
        "durable_ledger.py",
        "        if outcome is Outcome.ABANDONED:  # in this buffer, but not by the journal\n            return\n",
        "",
        SCHEDULES,
    ),
    Bug(
        "what could not be written once is forgotten",
        "journal_writer.py",
        "                ledger.give_back_changes(changes)\n",
        "                pass\n",
        SCHEDULES,
    ),
    Bug(
        "what could not be written once is written after what has come since",
        "durable_ledger.py",
        "            updated=changes.updated + newer.updated,\n",
        "            updated=newer.updated + changes.updated,\n",
        "tests/unit/test_durable_changes.py::test_what_could_not_be_written_is_written_before_what_has_come_since",
    ),
    Bug(
        "puts that could not be written take the rest with them",
        "journal_writer.py",
        "            return refusal, self._commit(changes)\n",
        "            return refusal, refusal\n",
        "tests/unit/test_buffer_journal_fails.py::test_on_a_full_disk_messages_still_end_which_makes_room",
    ),
    # What was there before
    Bug(
        "attempts and doubt are forgotten",
        "durable_ledger.py",
        "        delivery.attempts, delivery.maybe_sent = record.attempts, record.maybe_sent\n",
        "",
        SCHEDULES,
    ),
    Bug(
        "numbers begin anew",
        "durable_ledger.py",
        "        self.last_id = self._proposed_id = last\n",
        "        self.unused_ids = 0\n",
        SCHEDULES,
    ),
    Bug(
        "numbers begin anew once the file was emptied",
        "sqlite/format.py",
        "SELECT max(ifnull((SELECT max(seq) FROM sqlite_sequence WHERE name='messages'), 0), ",
        "SELECT max(",
        "tests/unit/sqlite/test_journal.py::test_numbers_are_not_used_again_after_the_file_was_emptied",
    ),
    Bug(
        "ages are kept by a clock that begins anew",
        "durable_intake.py",
        "time.time() + turn.ttl",
        "ledger.clock() + turn.ttl",
        SCHEDULES,
    ),
    Bug(
        "ages begin anew",
        "durable_intake.py",
        "clock + (record.expires_at - wall)",
        "clock + record.expires_at",
        SCHEDULES,
    ),
    # On the disk
    Bug(
        "a forked child's end takes the log from under its parent",
        "sqlite/journal.py",
        "        ctypes.pythonapi.Py_IncRef(ctypes.py_object(connection))\n",
        "        pass\n",
        "tests/unit/sqlite/test_files.py::test_journal_of_the_parent_is_nothing_for_a_forked_child",
    ),
    Bug(
        "puts do not wait for the disk",
        "sqlite/journal.py",
        "waited_for = grows or ",
        "waited_for = ",
        "tests/unit/sqlite/test_journal.py::test_power_safe_waits_for_the_disk_only_where_a_loss_would_matter",
    ),
    Bug(
        "to forget dead letters does not wait for the disk",
        "sqlite/journal.py",
        "grows or changes.updated or changes.forgotten",
        "grows or changes.updated",
        "tests/unit/sqlite/test_journal.py::test_power_safe_waits_for_the_disk_only_where_a_loss_would_matter",
    ),
    Bug(
        "bodies stay in the log",
        "sqlite/journal.py",
        '            connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()\n',
        "            pass\n",
        "tests/unit/sqlite/test_journal.py::test_no_body_is_left_on_the_disk_once_all_have_ended_and_it_is_tidied",
    ),
    # Promise 5
    Bug(
        "a cancellation is put off for ever",
        "_loop.py",
        "if _put_off and (task := self.current_task()) in _put_off:",
        "if _put_off and (task := None) in _put_off:",
        "tests/unit/test_buffer_journal_cancel.py::test_task_that_does_nothing_else_can_be_cancelled",
    ),
]
