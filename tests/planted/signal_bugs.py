"""The same, of the Signal client."""

from __future__ import annotations

from .bugs import Bug

_UNIT = "tests/unit/signal_cli"

SIGNAL_BUGS = [
    Bug(
        "no time limit for an answer",
        "signal_cli/connection.py",
        "            with move_on_after(timeout):\n",
        "            with move_on_after(None):\n",
        "tests/unit/signal_cli/test_connection.py",
    ),
    Bug(
        "an answer goes to the wrong request",
        "signal_cli/connection.py",
        "        call = self._calls[event.id]\n",
        "        call = next(iter(self._calls.values()))\n",
        "tests/unit/signal_cli/test_connection.py",
    ),
    Bug(
        "an end after the write counts as not sent",
        "signal_cli/connection.py",
        "            raise LinkLost(self._reason, unsent=not call.begun)\n",
        "            raise LinkLost(self._reason, unsent=True)\n",
        "tests/unit/signal_cli/test_connection.py",
    ),
    Bug(
        "what has left over HTTP is called unsent",
        "signal_cli/http.py",
        "            self.begun = True\n",
        "            pass\n",
        f"{_UNIT}/test_http_ends.py::test_end_and_nonsense_after_the_request_are_in_doubt",
    ),
    Bug(
        "a call goes out over an HTTP connection that has ended",
        "signal_cli/http.py",
        "            self._connection.check_open()  # it was closed while this one was connecting, perhaps\n",
        "",
        f"{_UNIT}/test_https.py::test_call_that_connects_when_the_connection_has_ended_has_sent_nothing",
    ),
    Bug(
        "an answer to another call over HTTP is taken",
        "signal_cli/http.py",
        "if answer.id == request_id",
        "if True",
        f"{_UNIT}/test_http_ends.py::test_answer_to_another_call_is_none",
    ),
    # What an answer leads to
    Bug(
        "a look whether Signal is there counts as an attempt",
        "sender.py",
        "            if error.unsent:\n                entry.unbegin()\n",
        "",
        f"{_UNIT}/test_link_probe.py::test_outage_of_ten_seconds_takes_at_most_twelve_tries_and_costs_one_message_an_attempt",
    ),
    Bug(
        "messages are sent into an outage",
        "signal_cli/judge.py",
        "            self._service.state is ServiceState.UNREACHABLE\n            or (hold",
        "            (hold",
        f"{_UNIT}/test_link_probe.py::test_message_is_not_sent_while_the_probe_does_not_get_through",
    ),
    Bug(
        "one person who is not reached holds up all",
        "signal_cli/judge.py",
        "            or (hold is not None and hold.reason is HoldReason.UNREACHABLE)",
        "            or False",
        f"{_UNIT}/test_link_probe.py::test_target_that_alone_is_not_reached_holds_up_no_other",
    ),
    Bug(
        "the pauses start anew when Signal is reached, and nothing was sent",
        "signal_cli/service.py",
        '        """Signal has answered."""\n        self._next_try = None\n',
        '        """Signal has answered."""\n        self._next_try = None\n        self._attempt = 0\n',
        f"{_UNIT}/test_judge_holds.py::"
        "test_pauses_of_everything_start_anew_when_a_message_was_sent_and_not_when_signal_was_reached",
    ),
    Bug(
        "a stranger is taken for nobody while Signal is away",
        "signal_cli/link.py",
        "            reached = reached or await self._probe(unsent=False)\n            if not await",
        "            if False and not await",
        f"{_UNIT}/test_link_probe.py::test_outage_with_nothing_but_strangers_takes_as_few_tries",
    ),
    Bug(
        "a change of a group that nobody got is a success",
        "signal_cli/link.py",
        "else all_failed(answer)",
        "else None",
        f"{_UNIT}/test_link_probe.py::test_result_that_all_of_a_group_have_failed_is_no_success",
    ),
    Bug(
        "what failed for one member of a group is not in doubt",
        "signal_cli/judge.py",
        "pauses=_SLOW, in_doubt=True)",
        "pauses=_SLOW)",
        f"{_UNIT}/test_judge.py",
    ),
    Bug(
        "an untrusted identity ends the message",
        "signal_cli/judge.py",
        "in types and self._on_untrusted is OnUntrusted.PARK:",
        "in types and self._on_untrusted is OnUntrusted.REJECT:",
        f"{_UNIT}/test_judge.py",
    ),
    Bug(
        "a try that was under way when somebody saw to it parks the message again",
        "signal_cli/judge.py",
        "        self._released.add(reason)\n",
        "",
        f"{_UNIT}/test_judge_holds.py::test_what_somebody_has_seen_to_is_not_held_up_and_starts_anew",
    ),
    Bug(
        "a solved CAPTCHA ends every pause",
        "signal_cli/client.py",
        "        if held_up := self._judge.release(reason):\n",
        "        if (held_up := self._judge.release(reason)) is not None:\n",
        f"{_UNIT}/test_client_calls.py::test_pause_that_it_has_nothing_to_do_with_goes_on",
    ),
    Bug(
        "several are put one by one",
        "signal_cli/outbox.py",
        "await self.buffer.put_many(messages, **terms)",
        "[await self.buffer.put(each, **terms) for each in messages]",
        f"{_UNIT}/test_delivery_group.py::test_send_to_several_puts_all_or_none",
    ),
    Bug(
        "a call goes over whatever link there was",
        "signal_cli/client.py",
        "if self._link is None or self.supervisor.state is not ConnectionState.CONNECTED:",
        "if self._link is None:",
        f"{_UNIT}/test_client_calls.py::test_call_over_each_new_link_and_never_over_an_old_one",
    ),
    # What comes in
    Bug(
        "anybody's receipt counts",
        "signal_cli/client.py",
        "wait_receipt(result.timestamp, kind, of=of)",
        "wait_receipt(result.timestamp, kind)",
        f"{_UNIT}/test_client_receiving.py::test_receipt_of_somebody_whom_the_message_did_not_go_to",
    ),
    Bug(
        "what comes by both ways is given twice",
        "signal_cli/inbox.py",
        "        if fingerprint in self._seen:\n            return\n",
        "",
        f"{_UNIT}/test_mailbox.py::test_what_comes_twice_is_given_once",
    ),
    Bug(
        "a receipt that came before anybody asked is missed",
        "signal_cli/inbox.py",
        "            if sent == timestamp and wait.takes(confirmation):\n                return confirmation\n",
        "            pass\n",
        f"{_UNIT}/test_mailbox.py::test_receipt_that_came_before_is_found",
    ),
    Bug(
        "a message to a group that cannot be told is answered in private",
        "signal_cli/reading.py",
        "        group=_read_group(fields),\n",
        "        group=_or_none(lambda: _read_group(fields)),\n",
        f"{_UNIT}/test_reading_anything.py::"
        "test_message_to_a_group_that_cannot_be_told_is_not_taken_for_one_to_a_person",
    ),
    Bug(
        "positions of what comes in are counted in UTF-16",
        "signal_cli/reading.py",
        "        return units - before\n",
        "        return units\n",
        f"{_UNIT}/test_reading.py::test_quote",
    ),
]
