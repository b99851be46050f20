"""connection.py: requests find their answers on a real stream, whatever the other side makes of it."""

from __future__ import annotations

from typing import Any

import pytest
from anyio import CancelScope, Event, create_task_group, move_on_after
from anyio.abc import SocketStream
from anyio.lowlevel import checkpoint

from ridethrough import LinkLost
from ridethrough.jsonrpc import LocalProtocolError
from ridethrough.signal_cli import DaemonError
from ridethrough.signal_cli.connection import LineConnection
from tests.unit.signal_cli.over_lines import SECRET, ask, check_lost, check_over, connected, opened
from tests.unit.signal_cli.scripted import PATIENCE, Peer, answer_to

pytestmark = pytest.mark.anyio

TOO_MUCH = {"message": ["x" * 10_000_000] * 2}
"""More than the sockets take while nobody reads."""


# Answers


async def test_answers_are_matched_to_their_requests_in_whatever_order() -> None:
    async def backwards(peer: Peer) -> None:
        requests = [await peer.hear() for _ in range(10)]
        await peer.write(b"".join(answer_to(request, result=request["params"]["of"]) for request in requests[::-1]))
        await peer.hear_end()

    answers: dict[int, int] = {}

    async def note(connection: LineConnection, number: int) -> None:
        answers[number] = await ask(connection, of=number)

    async with connected(backwards) as connection:
        async with create_task_group() as tasks:
            for number in range(10):
                tasks.start_soon(note, connection, number)
        assert answers == {number: number for number in range(10)}


async def test_error_is_raised() -> None:
    async def refuse(peer: Peer) -> None:
        await peer.fail(await peer.hear(), -1, {"response": None})
        await peer.answer(await peer.hear())

    async with connected(refuse) as connection:
        with pytest.raises(DaemonError) as caught:
            await ask(connection)
        assert (caught.value.code, caught.value.message, caught.value.data) == (-1, "it failed", {"response": None})
        assert await ask(connection) == "done"


async def test_answers_come_in_pieces_with_something_else_before_them() -> None:
    async def dribble(peer: Peer) -> None:
        line = b'{"jsonrpc":"2.0","method":"receive","params":{}}\n' + answer_to(await peer.hear(), result="ü")
        for at in range(len(line)):
            await peer.write(line[at : at + 1])
        await peer.hear_end()

    async with connected(dribble) as connection:
        assert await ask(connection) == "ü"


async def test_stream_is_attended_to_after_each_read() -> None:
    reads: list[SocketStream] = []

    async def serve(peer: Peer) -> None:
        for _ in range(3):
            await peer.answer(await peer.hear())

    async with opened(serve) as (_, stream), create_task_group() as tasks:
        connection = LineConnection(stream, reads.append, lambda _: None)
        tasks.start_soon(connection.read)
        for calls in range(1, 4):
            await ask(connection)
            assert reads == [stream] * calls


async def answer_once(peer: Peer) -> None:
    """A script: one answer, and the end."""
    await peer.answer(await peer.hear())


async def test_request_that_cannot_be_sent_leaves_the_connection_as_it_was() -> None:
    async with connected(answer_once) as connection:
        with pytest.raises(LocalProtocolError):
            await ask(connection, message="\ud83d")
        assert await ask(connection) == "done"


async def test_cancelled_call_forgets_its_answer_which_comes_late_and_harms_nothing() -> None:
    heard = Event()

    async def late(peer: Peer) -> None:
        first = await peer.hear()
        heard.set()
        second = await peer.hear()
        await peer.answer(first, "of the first")
        await peer.answer(second, "of the second")
        await peer.answer(await peer.hear(), "of the third")

    async with connected(late) as connection:
        async with create_task_group() as tasks:
            tasks.start_soon(ask, connection)
            await heard.wait()
            tasks.cancel_scope.cancel()
        assert await ask(connection) == "of the second"
        assert await ask(connection) == "of the third"


async def test_answer_and_end_at_once_the_answer_counts() -> None:
    async with opened(answer_once) as (connection, _), create_task_group() as tasks:

        async def read_late() -> None:
            await ended.wait()
            await connection.read()

        ended = Event()
        tasks.start_soon(read_late)
        tasks.start_soon(_set_soon, ended)
        assert await ask(connection) == "done"
        await check_over(connection, "the daemon has closed the connection")


async def _let_others_run() -> None:
    for _ in range(100):
        await checkpoint()


async def _set_soon(event: Event) -> None:
    await _let_others_run()
    event.set()


async def test_half_close_still_yields_the_answer_to_a_call_that_has_begun() -> None:
    async with opened(_answer_after_end) as (connection, stream), create_task_group() as tasks:

        async def half_close() -> None:
            await begun.wait()
            await stream.send_eof()

        begun = Event()
        tasks.start_soon(connection.read)
        tasks.start_soon(half_close)
        tasks.start_soon(_set_soon, begun)
        assert await ask(connection) == "done"


async def _answer_after_end(peer: Peer) -> None:
    request = await peer.hear()
    assert await peer.hear_end() == b""
    await peer.answer(request)


# Incoming messages


async def test_incoming_messages_are_handed_on_and_other_notifications_are_not() -> None:
    received: list[dict[str, Any]] = []

    async def serve(peer: Peer) -> None:
        request = await peer.hear()
        for method, number in (("receive", 1), ("callEvent", 2), ("receive", 3)):
            await peer.write(b'{"jsonrpc":"2.0","method":"%b","params":{"n":%d}}\n' % (method.encode(), number))
        await peer.answer(request)

    async with connected(serve, received.append) as connection:
        await ask(connection)
        assert received == [{"n": 1}, {"n": 3}]


async def test_subscribe_asks_for_them() -> None:
    heard: list[dict[str, Any]] = []

    async def serve(peer: Peer) -> None:
        heard.append(await peer.hear())
        await peer.answer(heard[0], 0)
        await peer.fail(await peer.hear(), -32601)
        await peer.hear_end()

    async with connected(serve) as connection:
        await connection.subscribe({"account": "+15550100200"}, PATIENCE)
        assert (heard[0]["method"], heard[0]["params"]) == ("subscribeReceive", {"account": "+15550100200"})
        with pytest.raises(DaemonError):
            await connection.subscribe({}, PATIENCE)


# The end of the connection


@pytest.mark.parametrize("rest", [b"", b'{"jsonrpc":"2.0","id":1,"result":"do', b"\xc3"], ids=["clean", "line", "char"])
async def test_end_after_the_write_is_in_doubt(rest: bytes) -> None:
    async def cut(peer: Peer) -> None:
        await peer.hear()
        await peer.write(rest)

    async with connected(cut) as connection:
        await check_lost(connection, "the daemon has closed the connection")
        await check_over(connection, "the daemon has closed the connection")


async def test_reset_after_the_write_is_in_doubt() -> None:
    async def reset(peer: Peer) -> None:
        await peer.hear()
        await peer.reset()

    async with connected(reset) as connection:
        with pytest.raises(LinkLost) as caught:  # older versions of anyio do not tell it from an end
            await ask(connection)
        assert not caught.value.unsent
        await check_over(connection, str(caught.value))


async def test_end_is_learnt_by_all_who_wait() -> None:
    lost: list[str] = []

    async def cut(peer: Peer) -> None:
        for _ in range(3):
            await peer.hear()

    async def note(connection: LineConnection) -> None:
        with pytest.raises(LinkLost) as caught:
            await ask(connection)
        lost.append(str(caught.value))

    async with connected(cut) as connection, create_task_group() as tasks:
        for _ in range(3):
            tasks.start_soon(note, connection)
    assert lost == ["the daemon has closed the connection"] * 3


async def test_connection_known_to_be_gone_has_sent_nothing() -> None:
    async def go(peer: Peer) -> None:
        pass

    async with connected(go) as connection:
        await check_over(connection, "the daemon has closed the connection")


async def test_write_that_fails_is_in_doubt() -> None:
    async with opened(Peer.hear_end) as (connection, stream):  # nobody reads, and so nobody knows before
        await stream.aclose()
        await check_lost(connection, "the connection broke")
        await check_over(connection, "the connection broke")


async def test_reader_that_is_cancelled_ends_the_connection() -> None:
    async with opened(Peer.hear_end) as (connection, _):
        with CancelScope() as scope:
            scope.cancel()
            await connection.read()
        with pytest.raises(LinkLost, match="the daemon has closed the connection"):
            await connection.wait_closed()
        with pytest.raises(LinkLost):
            await ask(connection)


async def test_aclose_ends_the_connection_and_what_is_under_way() -> None:
    heard, over = Event(), Event()

    async def serve(peer: Peer) -> None:
        await peer.hear()
        heard.set()
        await peer.hear_end()
        over.set()

    async with connected(serve) as connection, create_task_group() as tasks:
        tasks.start_soon(check_lost, connection, "the connection was closed")
        await heard.wait()
        await connection.aclose()
        await connection.aclose()
        await check_over(connection, "the connection was closed")
        await over.wait()


async def test_aclose_cancelled_closes_all_the_same() -> None:
    over = Event()

    async def serve(peer: Peer) -> None:
        await peer.hear_end()
        over.set()

    async with opened(serve) as (connection, _):
        with move_on_after(0):
            await connection.aclose()
        await over.wait()


# Time


async def test_time_out_is_in_doubt_and_ends_the_connection() -> None:
    async def answer_late(peer: Peer) -> None:
        request = await peer.hear()
        await over.wait()
        await peer.answer(request)
        answered.set()

    over, answered = Event(), Event()
    async with connected(answer_late) as connection:
        await check_lost(connection, "no answer within 0.05 s", timeout=0.05)
        over.set()
        await answered.wait()  # late, and to nobody
        await check_over(connection, "no answer within 0.05 s")


async def test_write_that_stalls_is_in_doubt_and_ends_the_connection() -> None:
    async with connected(Peer.stall) as connection:
        with pytest.raises(LinkLost) as caught:
            await connection.call("send", TOO_MUCH, 0.2)
        assert not caught.value.unsent
        await check_over(connection, "a request was given up in the middle of its line")


async def test_call_that_waits_behind_a_write_given_up_has_sent_nothing() -> None:
    """It would go on in the middle of the other one's line."""
    heard = b""

    async def read_late(peer: Peer) -> None:
        nonlocal heard
        await peer.stall(given_up)
        heard = await peer.hear_end()
        ended.set()

    given_up, ended = Event(), Event()
    async with opened(read_late) as (connection, stream):
        async with create_task_group() as tasks:
            with CancelScope() as stalled:
                tasks.start_soon(_cancel_soon, stalled)
                tasks.start_soon(check_waiting, connection)
                await connection.call("send", TOO_MUCH, PATIENCE)
            assert stalled.cancelled_caught
        given_up.set()
        await stream.aclose()
        await ended.wait()
    assert b"\n" not in heard and SECRET.encode() not in heard


async def check_waiting(connection: LineConnection) -> None:
    await check_lost(connection, "a request was given up in the middle of its line", unsent=True)


async def _cancel_soon(scope: CancelScope) -> None:
    await _let_others_run()  # until the write has stalled, and the other call waits behind it
    scope.cancel()


async def test_call_whose_time_is_up_behind_another_one_has_sent_nothing() -> None:
    async with connected(Peer.stall) as connection, create_task_group() as tasks:

        async def stall() -> None:
            with pytest.raises(LinkLost) as caught:
                await connection.call("send", TOO_MUCH, PATIENCE)
            assert not caught.value.unsent

        tasks.start_soon(stall)
        await _let_others_run()
        await check_lost(connection, "no answer within 0.1 s", unsent=True, timeout=0.1)
        tasks.cancel_scope.cancel()


# Nonsense


@pytest.mark.parametrize(
    ("line", "problem"),
    [
        (SECRET.encode(), "a line of 15 bytes is not JSON at character 0"),
        (b"", "a line of 0 bytes is not JSON at character 0"),
        (b"\xc3\x28", "a line of 2 bytes is not UTF-8 at byte 0"),
        (b'{"jsonrpc":"2.0","id":999,"result":"%s"}' % SECRET.encode(), "a response has no id that waits for one"),
        (b'{"jsonrpc":"2.0","id":"1","result":null}', "a response has no id that waits for one"),
        (b'{"jsonrpc":"2.0","id":9,"method":"send"}', "a request came, and a client answers none"),
        (
            b'{"jsonrpc":"2.0","id":null,"error":{"code":-32700,"message":"%s"}}' % SECRET.encode(),
            "it could not read a request",
        ),
    ],
    ids=["text", "empty", "bytes", "unknown id", "foreign id", "request", "id null"],
)
async def test_nonsense_ends_the_connection(line: bytes, problem: str) -> None:
    async def talk_nonsense(peer: Peer) -> None:
        await peer.write(line + b"\n" + answer_to(await peer.hear(), result="too late"))
        await peer.hear_end()

    async with connected(talk_nonsense) as connection:
        await check_lost(connection, f"the daemon does not speak JSON-RPC: {problem}")
        await check_over(connection, f"the daemon does not speak JSON-RPC: {problem}")


async def test_answer_before_nonsense_counts() -> None:
    async def answer_and_talk(peer: Peer) -> None:
        await peer.write(answer_to(await peer.hear(), result="done") + b"nonsense\n")
        await peer.hear_end()

    async with connected(answer_and_talk) as connection:
        assert await ask(connection) == "done"
        with pytest.raises(LinkLost, match="does not speak JSON-RPC"):
            await connection.wait_closed()


async def test_flood_ends_the_connection() -> None:
    async def flood(peer: Peer) -> None:
        await peer.hear()
        while True:
            await peer.write(b"x" * 2**20)

    async with connected(flood) as connection:
        reason = "the daemon does not speak JSON-RPC: a line is longer than max_line=33554432 bytes"
        await check_lost(connection, reason)
