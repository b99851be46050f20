"""The same, of the shared buffer; most of their tests need a NATS server."""

from __future__ import annotations

from .bugs import Bug

SHARED_BUGS = [
    # Promise 3 and 5: put once, in order, and a cancelled put did not happen
    Bug(
        "a put that is tried again is put under another name",
        "jetstream/intake.py",
        "self._store.put(parcel.subject, parcel.body, parcel.headers)",
        "self._store.put(parcel.subject, parcel.body, parcel.headers | of_message(self._store.new_name(), None, None))",
        "tests/nats/test_outage.py::test_put_that_was_under_way_twice_is_kept_once",
    ),
    Bug(
        "a put raises its cancellation, and the stream has the message",
        "jetstream/wire.py",
        "                if not finish:\n",
        "                if finish:\n",
        "tests/nats/test_put.py::test_put_cancelled_while_on_its_way_has_happened",
    ),
    Bug(
        "a task that does nothing but put cannot be cancelled",
        "jetstream/tasks.py",
        "    await find_event_loop().begin()\n",
        "    pass\n",
        "tests/nats/test_put.py::test_task_that_does_nothing_else_can_be_cancelled",
    ),
    Bug(
        "an answer that comes as its asker is cancelled is lost",
        "jetstream/wire.py",
        "        if answer.cancelled():  # whoever asked has yet to learn of that, and may go on waiting\n",
        "        if False:\n",
        "tests/nats/test_put.py::test_task_that_does_nothing_else_can_be_cancelled",
    ),
    Bug(
        "a flush goes on for ever when the buffer is closed",
        "jetstream/watch.py",
        "                if self._wire.closed:\n",
        "                if False:\n",
        "tests/nats/test_waiting.py::test_flush_raises_when_the_buffer_is_closed_meanwhile",
    ),
    Bug(
        "a drain takes what is put meanwhile",
        "jetstream/removal.py",
        "                    if handed.number > last:\n",
        "                    if False:\n",
        "tests/nats/test_taking.py::test_drain_leaves_what_is_put_meanwhile",
    ),
    Bug(
        "each host has partitions of its own",
        "jetstream/intake.py",
        "int.from_bytes(sha256(_as_bytes(key)).digest()[:8])",
        "hash(_as_bytes(key))",
        "tests/unit/test_jetstream_parts.py::test_partition_depends_on_the_key_alone",
    ),
    # Promise 4 and 10: what is leased stays, and what is too old does not go out
    Bug(
        "taken back while it is being sent",
        "jetstream/removal.py",
        "        last, is_out = await self._insist(lambda: self._store.out(partition))\n        if is_out",
        "        last, is_out = 0, False\n        if is_out",
        "tests/nats/test_taking.py::test_leased_message_cannot_be_taken_back",
    ),
    Bug(
        "dropped while another host sends it",
        "jetstream/store.py",
        'return int(answer["delivered"]["stream_seq"]), answer["num_ack_pending"] > 0',
        'return int(answer["delivered"]["stream_seq"]), False',
        "tests/nats/test_put.py::test_leased_message_is_never_dropped",
    ),
    Bug(
        "handed out too old",
        "jetstream/lease.py",
        "return expires_at is not None and expires_at <= time.time()",
        "return False",
        "tests/nats/test_put.py::test_old_message_is_not_handed_out",
    ),
    # Promise 2: no silent loss
    Bug(
        "no dead letter of what was refused",
        "jetstream/lease.py",
        "            if fate.outcome not in (Outcome.SENT, Outcome.DRAINED):\n",
        "            if fate.outcome is Outcome.DROPPED:\n",
        "tests/nats/test_waiting.py::test_text_of_a_foreign_error_is_not_told",
    ),
    Bug(
        "what is told before the put returns is forgotten",
        "jetstream/books.py",
        "        elif name in self.coming:\n",
        "        elif False:\n",
        "tests/unit/test_jetstream_parts.py::test_outcome_that_comes_before_the_number_is_kept_for_it",
    ),
    # Promise 6: lease, not pop
    Bug(
        "nobody lengthens a lease",
        "jetstream/lease.py",
        "        lease.keeper = self._tasks.start(self._keep(lease))\n",
        "        pass\n",
        "tests/nats/test_lease.py::test_lease_is_kept_while_a_send_takes_longer_than_its_time",
    ),
    Bug(
        "a holder whose time has passed goes on",
        "jetstream/lease.py",
        "return self._ended or asyncio.get_running_loop().time() >= self.until",
        "return self._ended",
        "tests/nats/test_outage.py::test_host_that_is_cut_off_holds_up_its_message_for_the_lease_time",
    ),
    Bug(
        "closing leaves what is leased to its time",
        "jetstream/parts.py",
        "        await self.owner.aclose()\n",
        "",
        "tests/nats/test_lease.py::test_acknowledgement_after_closing_is_late",
    ),
    # Promise 7: honest doubt, and who is next knows of it
    Bug(
        "a host that died leaves no doubt",
        "jetstream/pulls.py",
        "tries.maybe_sent or missing > 0)\n",
        "tries.maybe_sent)\n",
        "tests/nats/test_kills.py"
        "::test_host_that_is_killed_while_it_sends_is_relieved_within_the_lease_time_and_two_seconds",
    ),
    Bug(
        "the next host does not know what the last one did",
        "jetstream/store.py",
        "        await self._wire.call(self._layout.of_state(number), json.dumps(document).encode())\n",
        "        pass\n",
        "tests/nats/test_lease.py::test_next_host_knows_what_the_last_one_did",
    ),
    # The streams of an administrator
    Bug(
        "a stream that would lose messages will do",
        "jetstream/layout.py",
        "        elif there != value:\n",
        '        elif there != value and key != "discard":\n',
        "tests/nats/test_streams.py::test_each_thing_that_is_wrong_is_said_and_nothing_is_changed",
    ),
    Bug(
        "who only looks makes streams",
        "jetstream/layout.py",
        "            if not asked.create:\n",
        "            if False:\n",
        "tests/nats/test_streams.py::test_what_is_missing_is_not_made_unless_it_may_be",
    ),
    # Dead letters
    Bug(
        "each host puts a dead letter again",
        "jetstream/intake.py",
        'f"{AGAIN}-{number}"',
        "self._store.new_name()",
        "tests/nats/test_dead_letters.py::test_hosts_that_want_the_same_put_it_once",
    ),
    Bug(
        "a dead letter is erased before it is put again",
        "jetstream/intake.py",
        "            done += await self._put_all([parcel], self._policy)\n"
        "            await see_through(self._forget(letter.dead.id))\n",
        "            await see_through(self._forget(letter.dead.id))\n"
        "            done += await self._put_all([parcel], self._policy)\n",
        "tests/nats/test_dead_letters.py::test_letter_stays_if_there_is_no_room",
    ),
    Bug(
        "what is put again has never been tried",
        "jetstream/headers.py",
        "        return Tries(int(attempts), bool(maybe_sent))\n",
        "        return Tries(0, False)\n",
        "tests/nats/test_dead_letters.py::test_what_was_tried_before_is_known",
    ),
    Bug(
        "all that were dropped as the newest are forgotten with one",
        "jetstream/letters.py",
        "        if number <= 0:\n",
        "        if number < 0:\n",
        "tests/nats/test_dead_letters.py::test_newest_that_was_dropped_has_a_number_of_its_own",
    ),
]
