"""Bugs as they were made elsewhere, or could be made here: each by name, with the test that must catch it."""

from __future__ import annotations

from typing import NamedTuple

BUFFER = "tests/conformance/test_memory.py"


class Bug(NamedTuple):
    """One change that breaks one promise."""

    name: str
    file: str
    """In ``src/ridethrough``."""
    right: str
    """What stands there; exactly once."""
    wrong: str
    """What is planted."""
    test: str
    """What must fail then: a test of pytest, all its parameters."""


BUGS = [
    # Promise 1 and 2: nothing is lost, and nothing silently
    Bug(
        "acknowledged before the answer",
        "sender.py",
        "        entry.begin()\n        self._under_way = delivery\n",
        "        entry.begin()\n        entry.ack()\n        self._under_way = delivery\n",
        "tests/unit/test_sender.py::test_nothing_overtakes_the_message_under_which_the_link_was_lost",
    ),
    Bug(
        "what is left of a lease is forgotten",
        "ledger.py",
        "            self._queue.give_back([delivery for delivery in left if delivery.outcome is None])\n",
        "            pass\n",
        f"{BUFFER}::TestPlace::test_given_back_message_is_first_again",
    ),
    Bug(
        "dropped and nobody is told",
        "ledger.py",
        "        if delivery._waiters is not None or outcome in UNDELIVERED:\n",
        "        if delivery._waiters is not None:\n",
        f"{BUFFER}::TestNoSilentLoss::test_undelivered_end_shows_in_four_ways",
    ),
    Bug(
        "an error of on_undelivered comes out of put",
        "monitor.py",
        "                except Exception as error:\n                    _log_failure(delivery, error)\n",
        "                except ZeroDivisionError as error:\n                    _log_failure(delivery, error)\n",
        f"{BUFFER}::TestNoSilentLoss::test_what_on_undelivered_raises_is_logged_and_goes_no_further",
    ),
    Bug(
        "drain counts nothing",
        "ledger.py",
        "        self._ended[_DRAINED] += len(messages)\n",
        "",
        f"{BUFFER}::TestConservation::test_every_outcome_is_counted",
    ),
    # Promise 3: order
    Bug(
        "given back at the tail",
        "message_queue.py",
        "                self.main.appendleft(delivery)\n",
        "                self.main.append(delivery)\n",
        f"{BUFFER}::TestPlace::test_given_back_message_comes_before_what_was_put_meanwhile",
    ),
    Bug(
        "a newcomer overtakes who waits for room",
        "intake.py",
        "            if not self._line and ledger.has_room(turn.count, turn.size):\n",
        "            if ledger.has_room(turn.count, turn.size):\n",
        f"{BUFFER}::TestOrder::test_put_does_not_overtake_who_waits",
    ),
    Bug(
        "the last to wait is the first to be served",
        "intake.py",
        "        self._line.append(turn)\n",
        "        self._line.appendleft(turn)\n",
        f"{BUFFER}::TestOrder::test_blocked_putters_are_served_in_turn",
    ),
    # Promise 4: the bound
    Bug(
        "one message too many",
        "ledger.py",
        "        return count <= self.max_size and",
        "        return count <= self.max_size + 1 and",
        f"{BUFFER}::TestOverflow::test_wait",
    ),
    Bug(
        "a leased message is dropped",
        "ledger.py",
        "            oldest = self._queue.take_oldest()\n",
        "            oldest = next(self.lease.left()) if self.lease else self._queue.take_oldest()\n",
        f"{BUFFER}::TestLeased::test_leased_message_is_never_dropped",
    ),
    # Promise 5: cancellation
    Bug(
        "a cancelled put is delivered",
        "intake.py",
        "            while (deliveries := self._take_turn(turn)) is None:\n"
        "                await loop.sleep(waiter, self._monitor.alarm)\n"
        "                waiter = loop.waiter()\n"
        "            return deliveries\n"
        "        except BaseException:\n"
        "            self._leave(turn)\n"
        "            raise\n",
        "            while (deliveries := self._take_turn(turn)) is None:\n"
        "                await loop.sleep(waiter, self._monitor.alarm)\n"
        "                waiter = loop.waiter()\n"
        "            return deliveries\n"
        "        except BaseException:\n"
        "            with self._monitor:\n"
        "                self._ledger.drop_oldest_for(turn.count, turn.size)\n"
        "                self._accept(turn)\n"
        "            self._leave(turn)\n"
        "            raise\n",
        f"{BUFFER}::TestCancelledWait::test_put_cancelled_while_waiting_for_room",
    ),
    Bug(
        "messages put together get in before there is room for all of them",
        "intake.py",
        "        return has_room(first.count, first.size) or",
        "        return has_room(1, 0) or",
        f"{BUFFER}::TestPutManyOverflow::test_wait_waits_for_room_for_all_at_once",
    ),
    Bug(
        "what fits of a group overtakes who waits",
        "intake.py",
        "            fits = not only_what_fits or (not self._line and ledger.has_room(1, size))\n",
        "            fits = not only_what_fits or ledger.has_room(1, size)\n",
        f"{BUFFER}::TestPutManyOverflow::test_drop_newest_does_not_overtake_who_waits",
    ),
    Bug(
        "a resume wakes nobody",
        "buffer.py",
        "        with self._monitor:\n            self._ledger.resume(*keys)\n",
        "        with self._monitor.lock:\n            self._ledger.resume(*keys)\n",
        f"{BUFFER}::TestResume::test_wakes_who_waits",
    ),
    Bug(
        "a pause after a resume does not hold",
        "message_queue.py",
        "                lane.paused_until = _NEVER\n                self._place(lane, self._free)\n",
        "                self._place(lane, self._free)\n",
        f"{BUFFER}::TestResume::test_key_can_be_deferred_anew",
    ),
    Bug(
        "a cancelled putter keeps its place in the line",
        "intake.py",
        "            if turn in self._line:\n                self._remove(turn)\n",
        "            pass\n",
        f"{BUFFER}::TestCancelledWait::test_put_cancelled_while_waiting_for_room",
    ),
    Bug(
        "a cancelled close leaves the buffer closing",
        "buffer.py",
        "            with self._monitor:\n                self._intake.reopen()\n            raise\n",
        "            raise\n",
        f"{BUFFER}::TestCancelledWait::test_aclose_cancelled_leaves_the_buffer_open",
    ),
    # Promise 6: leases
    Bug(
        "a late answer counts",
        "ledger.py",
        "        if lease.over or delivery.outcome is not None:\n            self.late += 1\n            return False\n"
        "        lease.unsettled -= 1\n",
        "        if delivery.outcome is not None:\n            self.late += 1\n            return False\n"
        "        lease.unsettled -= 1\n",
        f"{BUFFER}::TestLease::test_late_acknowledgement_changes_nothing_and_is_counted",
    ),
    # Promise 7: doubt
    Bug(
        "doubt is forgotten with the link",
        "sender.py",
        "            self._count_loss(entry.delivery)\n\n",
        "            self._count_loss(entry.delivery)\n            entry.unbegin()\n\n",
        "tests/unit/test_sender.py::test_on_doubt_retry_sends_again_and_says_that_it_may_have_arrived_twice",
    ),
    Bug(
        "sent again although doubt was to be reported",
        "sender.py",
        "        if self._on_doubt is OnDoubt.REPORT and delivery.maybe_sent:\n",
        "        if False:\n",
        "tests/unit/test_sender.py::test_on_doubt_report_of_a_message_whose_send_was_cancelled",
    ),
    Bug(
        "a link lost before the send costs an attempt",
        "sender.py",
        "        if isinstance(lost, LinkLost) and lost.unsent:\n            entry.unbegin()\n        elif",
        "        if",
        "tests/unit/test_sender.py::test_link_lost_before_the_send_costs_no_attempt_and_leaves_no_doubt",
    ),
    # Promise 8: classified failure
    Bug(
        "a poisonous message holds up the rest for ever",
        "sender.py",
        "        if self._poison_after is None or losses < self._poison_after:\n",
        "        if True:\n",
        "tests/unit/test_sender.py::test_message_under_which_the_link_is_lost_again_and_again_is_poison",
    ),
    Bug(
        "a rejected message is kept",
        "sender.py",
        "            entry.reject(error)\n            self.carried = True\n",
        "            self.carried = True\n",
        "tests/unit/test_sender.py::test_rejected_message_ends_and_the_next_goes_on",
    ),
    # Promise 9: keys
    Bug(
        "a paused key holds up everything",
        "ledger.py",
        "            self._queue.pause(delivery._terms.key, until)\n",
        "            self._queue.pause_all(until)\n",
        f"{BUFFER}::TestKey::test_paused_key_holds_up_only_its_own",
    ),
    Bug(
        "a message overtakes its own key's pause in the lease",
        "ledger.py",
        "            lease.step_over(delivery._terms.key)\n",
        "            pass\n",
        f"{BUFFER}::TestClassifiedFailure::test_pause_begins_within_the_lease",
    ),
    Bug(
        "given back beside the lane of its key",
        "message_queue.py",
        "            lane = self._lanes.get(delivery._terms.key) if self._lanes else None\n",
        "            lane = None\n",
        f"{BUFFER}::TestKey",
    ),
    # Promise 10: age
    Bug(
        "too old and handed out all the same",
        "ledger.py",
        "        return expires_at is not None and expires_at <= self.clock()\n",
        "        return False\n",
        f"{BUFFER}::TestTtl::test_message_that_grew_old_in_a_lease_is_stepped_over",
    ),
    Bug(
        "who awaits the Delivery learns at the next touch only",
        "monitor.py",
        "                await self.loop.sleep(waiter, expires_at)\n",
        "                await self.loop.sleep(waiter, None)\n",
        f"{BUFFER}::TestTtlInTime::test_who_awaits_the_delivery_learns_at_its_time",
    ),
    # Promise 11: waiting
    Bug(
        "only the first of several waiters is woken, and it may be cancelled",
        "buffer.py",
        "                        loop.wake_here(monitor.takers)\n                        monitor.takers.clear()\n",
        "                        loop.wake_here([monitor.takers.pop(0)])\n",
        "tests/simulation/test_exhaustive.py::test_every_schedule[two_who_look_and_a_cancel_natively]",
    ),
    Bug(
        "a put on the fast path wakes nobody",
        "buffer.py",
        "                        loop.wake_here(monitor.takers)\n                        monitor.takers.clear()\n",
        "                        pass\n",
        f"{BUFFER}::TestWaitNonempty::test_returns_when_a_message_is_put",
    ),
    Bug(
        "a thread wakes a future by hand",
        "_loop.py",
        "                self._loop.call_soon_threadsafe(_set, *waiters)\n",
        "                _set(*waiters)\n",
        "tests/unit/test_buffer_threads.py",
    ),
    Bug(
        "flush says done of what is not",
        "buffer.py",
        "        if left:\n            raise FlushTimeout(left)\n",
        "",
        f"{BUFFER}::TestFlush::test_timeout_tells_how_many_are_left",
    ),
    Bug(
        "flush waits for what is put later",
        "buffer.py",
        "        last = ledger.last_id\n",
        "        last = 2**62\n",
        f"{BUFFER}::TestFlush::test_does_not_wait_for_what_is_put_later",
    ),
    # Promise 12: closing
    Bug(
        "what is leased is forgotten on closing",
        "ledger.py",
        "        leased = self.lease.end() if self.lease is not None else []\n        self.lease = None\n",
        "        leased: list[Delivery[T]] = []\n",
        f"{BUFFER}::TestClosing::test_what_is_leased_is_abandoned_too_in_its_place",
    ),
    # Promise 13: reconnecting
    Bug(
        "the backoff starts anew on each connect",
        "supervisor.py",
        "        up_since = current_time()\n",
        "        up_since = current_time()\n        self._attempt = 0\n",
        "tests/unit/test_supervisor.py::test_backoff_starts_anew_only_after_a_link_that_was_stable_and_carried_a_send",
    ),
    Bug(
        "no jitter",
        "backoff.py",
        "        return random() * self.ceiling(failures)\n",
        "        return self.ceiling(failures)\n",
        "tests/unit/test_backoff.py",
    ),
    Bug(
        "retry_now is not heard",
        "supervisor.py",
        "        self._wait.set()\n        return True\n",
        "        return True\n",
        "tests/unit/test_supervisor.py::test_retry_now_cuts_the_wait_short",
    ),
    # Promise 15: privacy
    Bug(
        "a repr shows the message",
        "delivery.py",
        '        return f"<Delivery {self.id}: {state}, attempts: {self.attempts}{doubt}>"\n',
        '        return f"<Delivery {self.id} of {self.message}: {state}, attempts: {self.attempts}{doubt}>"\n',
        "tests/unit/test_buffer.py::test_no_message_text_in_any_log_repr_or_traceback",
    ),
]
