"""What of the contract's suites the shared buffer cannot be held to, and why: the table in docs/jetstream.md."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

import pytest


class Cannot(NamedTuple):
    """Something that the suites ask for, and the engine cannot do."""

    reason: str
    tests: tuple[str, ...]
    """As ``test_conformance.py`` has them, class and test, with a parameter if it is only that one; or a whole suite,
    which is not there at all."""


CANNOT = {
    "clock": Cannot(
        "a server's clock does not jump, and these are about many seconds: other tests of this folder show the same in "
        "tenths of seconds",
        (
            "TtlSuite",
            "TtlInTimeSuite",
            "OldAndNewSuite",
            "TestClassifiedFailure::test_pause_of_all_holds_up_every_key",
            "TestClassifiedFailure::test_without_keys_a_pause_holds_up_everything",
            "TestClosing::test_concurrent_closes_share_the_work",
            "TestClosing::test_flushes_for_at_most_the_timeout",
            "TestConservation::test_ended_message_does_not_end_again[expired]",
            "TestFlush::test_any_outcome_will_do[expire]",
            "TestNoSilentLoss::test_undelivered_end_shows_in_four_ways[expired]",
            "TestOverflow::test_whatever_makes_room_lets_the_next_in[expiry]",
            "TestPutMany::test_all_have_the_same_ttl",
            "TestPutManyOverflow::test_age_counts_from_the_end_of_the_wait",
            "TestWaitNonempty::test_does_not_return_before_the_pause_is_over",
        ),
    ),
    "at once": Cannot(
        "a put, a lease and a flush take a round trip; and what was cancelled before that has not happened",
        (
            "TestClosing::test_empty_buffer_closes_at_once",
            "TestNoCancellationPoint::test_lease_of_what_is_there_is_entered_and_left",
            "TestNoCancellationPoint::test_put_that_drops_returns",
            "TestNoCancellationPoint::test_put_with_room_returns",
            "TestWaitNonempty::test_returns_at_once_if_something_can_be_leased",
        ),
    ),
    "threads": Cannot(
        "asyncio, from its own thread, as nats-py does",
        (
            "TestAwaitDelivery::test_returns_when_a_thread_ended_it",
            "TestClosing::test_blocked_threads_are_refused",
            "TestClosing::test_closed_buffer_takes_nothing_and_gives_nothing",
            "TestOrder::test_blocked_threads_and_tasks_are_served_in_turn",
            "TestOrder::test_each_thread_keeps_its_order_among_others",
            "TestOrder::test_put_and_put_from_thread_share_one_order",
            "TestPutManyOverflow::test_shares_one_order_with_threads",
            "TestWaitNonempty::test_returns_when_a_thread_puts",
        ),
    ),
    "many in a lease": Cannot(
        "a lease is of one message, whatever its limit",
        (
            "TestClassifiedFailure::test_pause_begins_within_the_lease",
            "TestClassifiedFailure::test_rejected_message_ends_and_the_next_goes_on",
            "TestClassifiedFailure::test_shorter_pause_does_not_cut_a_longer_one_short",
            "TestConservation::test_every_outcome_is_counted",
            "TestFlush::test_returns_when_the_last_has_its_outcome",
            "TestLease::test_acknowledged_messages_are_sent_and_the_others_stay",
            "TestLease::test_lease_takes_from_the_head_up_to_its_limit",
            "TestLeased::test_newcomer_is_refused_when_all_are_leased",
            "TestNoSilentLoss::test_reason_and_cause_of_a_refusal_reach_who_awaits",
            *(
                f"TestPlace::test_given_back_messages_are_in_their_old_order[{letters}]"
                for letters in ("b", "c", "ab", "ac", "bc", "abc")
            ),
        ),
    ),
    "room within a lease": Cannot(
        "what became of a message is told to the servers when its lease is left",
        ("TestLeased::test_waiting_put_gets_in_as_a_leased_message_ends",),
    ),
    "a paused key": Cannot(
        "a message that waits out a pause holds up its partition",
        (
            "KeySuite",
            "PauseWakeSuite",
            "ResumeSuite",
            "TestClosing::test_what_a_pause_holds_up_is_abandoned_in_its_place",
            "TestFlush::test_timeout_tells_how_many_are_left",
            "TestFlush::test_waits_for_what_is_leased_and_for_what_a_pause_holds_up",
            "TestPutMany::test_each_has_its_own_key",
        ),
    ),
    "bytes as the user counts them": Cannot(
        "JetStream counts what a message takes in its stream",
        (
            "BytesSuite",
            "TestLeased::test_dropping_put_whose_turn_it_is_is_refused_when_all_are_leased",
            "TestOrder::test_dropping_put_makes_room_for_who_waited_before_it_once_a_lease_ends",
            "TestOrder::test_dropping_put_that_waits_no_more_makes_no_room",
            "TestOrder::test_small_message_does_not_overtake_a_large_one_that_waits",
            "TestPutMany::test_more_than_could_ever_fit_are_refused",
            "TestPutMany::test_one_that_never_fits_refuses_all",
            "TestPutManyOverflow::test_drop_newest_looks_at_each_one_by_itself",
            "TestPutManyOverflow::test_drop_oldest_keeps_to_max_bytes",
            "TestPutManyOverflow::test_wait_waits_for_bytes_for_all_at_once",
        ),
    ),
    "all or none": Cannot(
        "put_many puts one after the other, and what is dropped as the newest has no number",
        (
            "TestPutManyOverflow::test_cancelled_while_waiting_for_room_none_was_accepted",
            "TestPutManyOverflow::test_closing_ends_the_wait_and_none_was_accepted",
            "TestPutManyOverflow::test_drop_newest_does_not_overtake_who_waits",
            "TestPutManyOverflow::test_drop_newest_takes_what_fits_and_drops_the_rest",
            "TestPutManyOverflow::test_drop_oldest_never_drops_what_is_leased_nor_one_of_their_own",
            "TestPutManyOverflow::test_nobody_overtakes_and_nobody_comes_in_between",
            "TestPutManyOverflow::test_reject_accepts_none_if_one_has_no_room",
            "TestPutManyOverflow::test_wait_waits_for_room_for_all_at_once",
        ),
    ),
    "room for who waits before": Cannot(
        "a put that drops waits behind one that waits, and makes room when its turn has come",
        (
            "TestLeased::test_dropping_put_makes_room_from_what_is_not_leased_for_who_waited_before_it",
            "TestOrder::test_dropping_put_makes_room_for_who_waited_before_it",
            "TestPutManyOverflow::test_dropping_ones_make_room_for_those_who_waited_before_them",
        ),
    ),
    "Delivery.cancel": Cannot(
        "to take a message back, the servers have to be asked: await buffer.cancel(delivery)",
        (
            "TestFlush::test_any_outcome_will_do[cancel]",
            "TestLease::test_leased_message_cannot_be_cancelled_by_its_sender",
            "TestNoSilentLoss::test_end_that_was_asked_for_is_not_reported",
            "TestNoSilentLoss::test_on_undelivered_sees_the_state_after_and_may_use_the_buffer",
            "TestOverflow::test_whatever_makes_room_lets_the_next_in[cancel]",
            "TestPutMany::test_one_of_them_is_taken_back_without_the_others",
        ),
    ),
    "once it is closed": Cannot(
        "it has disconnected, and cannot tell what is in the stream: whatever is asked raises BufferClosed",
        (
            "TestConservation::test_ended_message_does_not_end_again[abandoned]",
            "TestFlush::test_any_outcome_will_do[close]",
            "TestPutMany::test_nothing_to_put_does_nothing",
        ),
    ),
}

LEFT_OUT = frozenset(test for cannot in CANNOT.values() for test in cannot.tests)


def leave_out(config: pytest.Config, items: list[pytest.Item], file: Path, names: frozenset[str]) -> None:
    """Do not run those tests of the conformance suites.

    Args:
        config, items: as pytest hands them to ``pytest_collection_modifyitems``.
        file: where they are.
        names: theirs, each with its class, and perhaps with a parameter.
    """
    left_out = [item for item in items if item.path == file and _names(item) & names]
    if left_out:
        config.hook.pytest_deselected(items=left_out)
        items[:] = [item for item in items if item not in left_out]


def _names(item: pytest.Item) -> set[str]:
    """The names of a test, without its parameter and with it."""
    name = "::".join(item.nodeid.split("::")[1:])
    return {name, name.partition("[")[0]}
