"""The same, of the shared buffer on servers in memory: caught by schedules of hosts, or by what these have shown."""

from __future__ import annotations

from .bugs import Bug

SIMULATION = (
    "tests/simulation/test_shared.py"
    "::test_hosts_that_share_an_outbox_lose_nothing_and_send_nothing_twice_unless_in_doubt"
)
FOUND = "tests/engine/test_found.py"

ENGINE_BUGS = [
    # Promise 1 and 2: nothing is lost, and nothing silently
    Bug(
        "no dead letter of what a host was sending",
        "jetstream/lease.py",
        "            if fate.outcome not in (Outcome.SENT, Outcome.DRAINED):\n",
        "            if False:\n",
        SIMULATION,
    ),
    Bug(
        "acknowledged before the dead letter is written",
        "jetstream/lease.py",
        "            if fate.outcome not in (Outcome.SENT, Outcome.DRAINED):\n",
        "            await self._store.confirm(handed)\n"
        "            if fate.outcome not in (Outcome.SENT, Outcome.DRAINED):\n",
        SIMULATION,
    ),
    Bug(
        "a drain that is overtaken by a close forgets what it has taken out",
        "jetstream/removal.py",
        "        except (Lost, Refused, BufferClosed) as error:\n            if not drained:\n",
        "        except (Lost, Refused) as error:\n            if not drained:\n",
        f"{FOUND}::test_drain_that_is_overtaken_by_a_close_returns_what_it_has_taken_out",
    ),
    Bug(
        "the host that sends a message before its put returns does not know it for its own",
        "jetstream/lease.py",
        "self._books.open.get(name) or self._books.coming.get(name) or self._seen.get(name)",
        "self._books.open.get(name) or self._seen.get(name)",
        f"{FOUND}::test_message_that_is_sent_before_its_put_returns_is_the_same",
    ),
    # Promise 3 and 5: put once, in order; and a put that raises has not happened
    Bug(
        "a put that is tried again has another name",
        "jetstream/intake.py",
        "self._store.put(parcel.subject, parcel.body, parcel.headers)",
        "self._store.put(parcel.subject, parcel.body, parcel.headers | of_message(self._store.new_name(), None, None))",
        SIMULATION,
    ),
    Bug(
        "a put that may have arrived is cancelled in the queue of those who are tried again",
        "jetstream/intake.py",
        "await _in_time(self._turn.acquire(), unless=sent)",
        "await _in_time(self._turn.acquire(), unless=False)",
        f"{FOUND}::test_put_that_may_have_arrived_cannot_be_cancelled_in_the_queue",
    ),
    Bug(
        "a put that may have arrived is cancelled as it waits to be tried again",
        "jetstream/intake.py",
        "await _in_time(self._wire.pause(_POLL), unless=sent)",
        "await self._wire.pause(_POLL)",
        SIMULATION,
    ),
    Bug(
        "what the first try of a put may have done is forgotten",
        "jetstream/intake.py",
        "                sent = lost.sent\n",
        "                pass\n",
        f"{FOUND}::test_put_whose_first_answer_was_lost_may_have_been_put",
    ),
    # Promise 4: what is being sent stays
    Bug(
        "taken back, or dropped, while another host sends it",
        "jetstream/store.py",
        'answer["num_ack_pending"] > 0',
        "False",
        SIMULATION,
    ),
    Bug(
        "taken out in the moment in which it was handed out, and nobody says so",
        "jetstream/removal.py",
        "        if last < kept.number <= await self._handed_out_last(partition):\n",
        "        if False:\n",
        SIMULATION,
    ),
    # Promise 6: one holder at a time, by its own clock
    Bug(
        "nobody lengthens the lease of a slow send",
        "jetstream/lease.py",
        "        lease.keeper = self._tasks.start(self._keep(lease))\n",
        "        pass\n",
        SIMULATION,
    ),
    Bug(
        "a holder whose time has passed may acknowledge",
        "jetstream/lease.py",
        "return self._ended or asyncio.get_running_loop().time() >= self.until",
        "return self._ended",
        SIMULATION,
    ),
    Bug(
        "what is acknowledged while it is given back counts",
        "jetstream/lease.py",
        "        lease.end()  # what is settled from now on, as it is being closed, comes too late to be told\n",
        "",
        f"{FOUND}::test_acknowledgement_as_the_buffer_closes_is_late",
    ),
    Bug(
        "given back twice, so that the next host loses it",
        "jetstream/pulls.py",
        "            await self._store.give_back(handed, delay)\n",
        "            await self._wire.insist(lambda: self._store.give_back(handed, delay), loop.time() + 9)\n",
        f"{FOUND}::test_message_is_given_back_once_even_if_that_is_not_answered",
    ),
    Bug(
        "a host sends again what has ended on it",
        "jetstream/lease.py",
        "        if (fate := self._ended.get(name)) is not None:\n",
        "        if (fate := None) is not None:\n",
        f"{FOUND}::test_message_that_was_handed_to_a_host_twice_is_sent_once",
    ),
    Bug(
        "of a message that was handed out twice, both are in hand",
        "jetstream/pulls.py",
        "        if handed.number in self._in_hand:\n",
        "        if False:\n",
        f"{FOUND}::test_message_that_comes_again_while_it_is_in_hand_is_in_hand_once",
    ),
    # Promise 7: honest doubt
    Bug(
        "what is given back is noted without its doubt",
        "jetstream/pulls.py",
        "        state = State(handed.times, tries)\n",
        "        state = State(handed.times, Tries(tries.attempts, False))\n",
        SIMULATION,
    ),
    Bug(
        "nothing is noted of what is given back",
        "jetstream/pulls.py",
        "            await self._wire.insist(lambda: self._store.note_state(handed.number, state), until)\n",
        "",
        SIMULATION,
    ),
    Bug(
        "what nobody noted was not sent",
        "jetstream/pulls.py",
        "tries.maybe_sent or missing > 0",
        "tries.maybe_sent",
        SIMULATION,
    ),
    # Promise 10 and 11: age, and nobody sleeps for ever
    Bug(
        "handed out too old",
        "jetstream/lease.py",
        "return expires_at is not None and expires_at <= time.time()",
        "return False",
        SIMULATION,
    ),
    Bug(
        "the silence of a leader that is gone is not noticed",
        "jetstream/pulls.py",
        "if pull is not None and now - pull.heard < _SILENCE:",
        "if pull is not None:",
        SIMULATION,
    ),
    Bug(
        "nobody looks for what became of a message of which nobody told",
        "jetstream/watch.py",
        "            if now - since >= _GRACE:\n",
        "            if False:\n",
        SIMULATION,
    ),
]
