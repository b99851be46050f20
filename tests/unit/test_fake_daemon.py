"""The daemon to test against, alone: its faults, its outages, and what it keeps to itself.

That its answers are signal-cli's is shown beside the real one, in tests/daemon/test_fake_is_real.py.
"""

from __future__ import annotations

import stat
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from anyio import create_task_group, fail_after, move_on_after, sleep_forever
from anyio.lowlevel import checkpoint

from ridethrough.testing import (
    NOTE_TO_SELF,
    Arrival,
    Failure,
    FakeSignalDaemon,
    Flood,
    Garbage,
    Late,
    Refuse,
    Stall,
)
from tests.talk import PATIENCE, arrived, fake_and_talk, request, results_of, send, talk_to

pytestmark = pytest.mark.anyio

ANNA, BERT = "+15550100200", "+15550100300"
GROUP = "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA="
VERSION = request("version")


@pytest.fixture(params=["asyncio", "trio"])
def anyio_backend(request: pytest.FixtureRequest) -> str:
    name: str = request.param
    return name


# Sends


async def test_sends_are_kept_in_order() -> None:
    async with fake_and_talk() as (daemon, talk):
        for number in range(5):
            answer = await talk.ask(send(str(number), ANNA, account="+15550001111"))
            assert answer["result"]["timestamp"] == daemon.sends[-1].timestamp
        assert [arrival.text for arrival in daemon.sends] == ["0", "1", "2", "3", "4"]
        timestamps = [arrival.timestamp for arrival in daemon.sends]
        assert timestamps == sorted(set(timestamps))
        assert daemon.sends[0] == Arrival("+15550001111", ANNA, "0", timestamps[0])


async def test_several_recipients_are_an_arrival_each() -> None:
    async with fake_and_talk() as (daemon, talk):
        await talk.ask(send("hello", [ANNA, BERT, ANNA], username="anna.42", noteToSelf=True))
        assert [arrival.target for arrival in daemon.sends] == [NOTE_TO_SELF, ANNA, BERT, "anna.42"]
        assert len({arrival.timestamp for arrival in daemon.sends}) == 1


async def test_people_get_the_same_uuid_each_time() -> None:
    async with fake_and_talk() as (_, talk):
        answers = [await talk.ask(send("hello", to)) for to in (ANNA, ANNA, BERT)]
        uuids = [answer["result"]["results"][0]["recipientAddress"]["uuid"] for answer in answers]
        assert uuids[0] == uuids[1] != uuids[2]


async def test_group() -> None:
    async with fake_and_talk(Failure("RATE_LIMIT_FAILURE", only=(BERT,))) as (daemon, talk):
        daemon.groups[GROUP] = (ANNA, BERT)
        answer = await talk.ask(request("send", message="hello", groupId=GROUP))
        assert results_of(answer) == ["SUCCESS", "RATE_LIMIT_FAILURE"]
        assert [result["groupId"] for result in answer["result"]["results"]] == [GROUP, GROUP]
        assert [(arrival.target, arrival.text) for arrival in daemon.sends] == [(GROUP, "hello")]


async def test_group_that_nobody_gets() -> None:
    async with fake_and_talk() as (daemon, talk):
        daemon.groups[GROUP] = (ANNA, BERT)
        daemon.service_reachable = False
        answer = await talk.ask(request("send", message="hello", groupId=GROUP))
        assert answer["error"]["code"] == -1
        assert daemon.sends == []


async def test_account_must_be_named_when_there_are_several() -> None:
    async with FakeSignalDaemon(accounts=["+15550001111", "+15550001112"]) as daemon:
        async with talk_to(daemon.endpoint) as talk:
            answer = await talk.ask(send("hello", ANNA))
            assert answer["error"]["code"] == -32602
            assert (await talk.ask(send("hello", ANNA, account="+15550001112")))["result"]
        assert [arrival.account for arrival in daemon.sends] == ["+15550001112"]


async def test_account_missing_and_back() -> None:
    async with fake_and_talk() as (daemon, talk):
        account = daemon.accounts.pop()
        assert (await talk.ask(request("listAccounts")))["result"] == []
        assert (await talk.ask(send("hello", ANNA, account=account)))["error"]["code"] == -32602
        daemon.accounts.append(account)
        assert (await talk.ask(request("listAccounts")))["result"] == [{"number": account}]
        assert (await talk.ask(send("hello", ANNA, account=account)))["result"]


# Conditions that last


async def test_recipient_that_fails_until_told_otherwise() -> None:
    async with fake_and_talk() as (daemon, talk):
        daemon.per_recipient[BERT] = Failure("RATE_LIMIT_FAILURE")
        for _ in range(2):
            assert results_of(await talk.ask(send("hello", BERT))) == ["RATE_LIMIT_FAILURE"]
            assert results_of(await talk.ask(send("hello", ANNA))) == ["SUCCESS"]
        del daemon.per_recipient[BERT]
        assert results_of(await talk.ask(send("hello", BERT))) == ["SUCCESS"]


async def test_service_unreachable_and_back() -> None:
    async with fake_and_talk() as (daemon, talk):
        assert results_of(await talk.ask(send("hello", ANNA))) == ["SUCCESS"]
        daemon.service_reachable = False
        assert results_of(await talk.ask(send("hello", ANNA))) == ["NETWORK_FAILURE"]
        assert results_of(await talk.ask(send("hello", BERT))) == ["UNREGISTERED_FAILURE"], "nobody could look it up"
        daemon.service_reachable = True
        assert results_of(await talk.ask(send("hello", BERT))) == ["SUCCESS"]
        assert [arrival.target for arrival in daemon.sends] == [ANNA, BERT]


@pytest.mark.parametrize("scheme", ["tcp", "unix"])
async def test_stopped_and_started(scheme: str, tmp_path: Path) -> None:
    socket_file = tmp_path / "socket"
    place = f"unix:{socket_file}" if scheme == "unix" else "tcp://127.0.0.1:0"
    async with FakeSignalDaemon(place) as daemon:
        endpoint = daemon.endpoint
        async with talk_to(endpoint) as talk:
            assert (await talk.ask(send("hello", ANNA)))["result"]
            await daemon.stop()
            await daemon.stop()
            assert await talk.hear_end() == b""
        with pytest.raises(OSError):
            async with talk_to(endpoint):
                pass
        assert socket_file.exists() == (scheme == "unix"), "kill -9 leaves the file"
        await daemon.start()
        await daemon.start()
        assert daemon.endpoint == endpoint
        async with talk_to(endpoint) as talk:
            assert (await talk.ask(send("again", ANNA)))["result"]
        assert [arrival.text for arrival in daemon.sends] == ["hello", "again"]
    assert not socket_file.exists()


async def test_stopped_before_it_performed_what_it_read() -> None:
    async with fake_and_talk() as (daemon, talk):
        daemon.freeze()
        await talk.say(send("hello", ANNA))
        await daemon.stop()
        daemon.thaw()
        await daemon.start()
        async with talk_to(daemon.endpoint) as again:
            assert (await again.ask(VERSION))["result"]
        assert daemon.sends == []


async def test_frozen_and_thawed() -> None:
    async with fake_and_talk(Late(0)) as (daemon, talk):
        daemon.freeze()
        daemon.freeze()
        await talk.say(send("hello", ANNA))
        async with talk_to(daemon.endpoint) as other:
            await other.say(send("other", BERT))
            with move_on_after(0.2) as patience:
                await talk.hear_line()
            assert patience.cancelled_caught
            assert daemon.sends == []
            daemon.thaw()
            daemon.thaw()
            assert (await talk.hear())["result"] and (await other.hear())["result"]
        assert {arrival.text for arrival in daemon.sends} == {"hello", "other"}


async def test_frozen_reads_no_more_than_fits_on_the_way() -> None:
    async with fake_and_talk() as (daemon, talk):
        daemon.freeze()
        with move_on_after(0.5) as patience:
            for _ in range(200):
                await talk.say(send("x" * 10**5, ANNA))
        assert patience.cancelled_caught


async def test_frozen_before_a_late_answer() -> None:
    async with fake_and_talk(Late(0.1)) as (daemon, talk):
        await talk.say(send("hello", ANNA))
        await arrived(daemon, 1)
        daemon.freeze()
        with move_on_after(0.3) as patience:
            await talk.hear_line()
        assert patience.cancelled_caught
        daemon.thaw()
        assert (await talk.hear())["result"]


# Its life, and its clients'


async def test_what_was_read_is_performed_though_the_client_has_gone() -> None:
    async with FakeSignalDaemon() as daemon:
        daemon.freeze()
        async with talk_to(daemon.endpoint) as talk:
            await talk.say(send("hello", ANNA))
        daemon.thaw()
        assert await arrived(daemon, 1) == ["hello"]


async def test_client_goes_during_a_late_answer_and_the_daemon_lives() -> None:
    async with FakeSignalDaemon() as daemon:
        daemon.fail_next(Late(0.1), Flood())
        for count in (1, 2):
            async with talk_to(daemon.endpoint) as talk:
                await talk.say(send("hello", ANNA))
                await arrived(daemon, count)
        async with talk_to(daemon.endpoint) as talk:
            assert (await talk.ask(VERSION))["result"]


async def test_sends_that_do_not_wait_for_answers_overtake_each_other() -> None:
    async with fake_and_talk() as (daemon, talk):
        texts = [str(number) for number in range(30)]
        await talk.say(*(send(text, ANNA, text) for text in texts))
        answers = [(await talk.hear())["id"] for _ in texts]
        assert sorted(answers) == sorted(texts)
        assert sorted(await arrived(daemon, 30)) == sorted(texts)
        assert [arrival.text for arrival in daemon.sends] != texts


async def test_push_tells_every_client() -> None:
    async with fake_and_talk() as (daemon, talk), talk_to(daemon.endpoint) as other:
        for each in (talk, other):  # so that the daemon knows of both
            await each.ask(VERSION)
        await daemon.push({"source": ANNA}, account="+15550009999")
        await daemon.push({"source": BERT})
        for each in (talk, other):
            params = {"envelope": {"source": ANNA}, "account": "+15550009999"}
            assert await each.hear() == {"jsonrpc": "2.0", "method": "receive", "params": params}
            assert (await each.hear())["params"] == {"envelope": {"source": BERT}, "account": "+15550001111"}


async def test_error_in_the_body_comes_out_as_it_is() -> None:
    with pytest.raises(ZeroDivisionError):
        async with FakeSignalDaemon() as daemon, talk_to(daemon.endpoint) as talk:
            await talk.say(send("hello", ANNA))
            raise ZeroDivisionError


async def test_cancelled_while_open() -> None:
    async def serve() -> None:
        async with FakeSignalDaemon() as daemon, talk_to(daemon.endpoint):
            opened.append(daemon.endpoint)
            await sleep_forever()

    opened: list[str] = []
    async with create_task_group() as tasks:
        tasks.start_soon(serve)
        while not opened:
            await checkpoint()
        tasks.cancel_scope.cancel()
    with pytest.raises(OSError):
        async with talk_to(opened[0]):
            pass


async def test_leaving_ends_connections_and_is_quick() -> None:
    with fail_after(PATIENCE):
        async with fake_and_talk(Stall(), Late(1000), Flood()) as (daemon, talk):
            await talk.say(*[send("hello", ANNA)] * 3)
            await arrived(daemon, 3)
    with pytest.raises(OSError):
        async with talk_to(daemon.endpoint):
            pass


async def test_port_in_use() -> None:
    async with FakeSignalDaemon() as daemon:
        with pytest.raises(OSError):
            async with FakeSignalDaemon(daemon.endpoint):
                pass
        async with talk_to(daemon.endpoint) as talk:
            assert (await talk.ask(VERSION))["result"]


async def test_place_that_is_taken_or_not_there(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("of value")
    for path in (tmp_path / "file", tmp_path / "nothing" / "socket"):
        with pytest.raises(OSError):
            async with FakeSignalDaemon(f"unix:{path}"):
                pass
    assert (tmp_path / "file").read_text() == "of value"


async def test_socket_file_is_for_its_owner_alone(tmp_path: Path) -> None:
    async with FakeSignalDaemon(f"unix:{tmp_path / 'socket'}"):
        assert stat.S_IMODE((tmp_path / "socket").stat().st_mode) == 0o600


@pytest.mark.parametrize("endpoint", ["tcp://127.0.0.1", "udp://127.0.0.1:0", "unix:relative", "7583"])
def test_endpoint_that_is_none(endpoint: str) -> None:
    with pytest.raises(ValueError, match="endpoint must be"):
        FakeSignalDaemon(endpoint)


# What it reads


async def test_line_in_pieces() -> None:
    async with fake_and_talk() as (_, talk):
        for piece in (b'{"jsonrpc":"2.0",', b'"id":"1","meth', b'od":"version"}\n{"json'):
            await talk.stream.send(piece)
            await checkpoint()
        assert (await talk.hear())["result"]
        await talk.stream.send(b'rpc":"2.0","id":"2","method":"version"}')
        await talk.stream.send_eof()
        assert (await talk.hear())["id"] == "2"
        assert await talk.hear_end() == b""


@pytest.mark.parametrize(
    "line",
    [
        b"\xff",
        b'{"id":"%s"}' % (b"a" * 20_000_001),
        b'{"id":"%s"}' % ("\N{HONEYBEE}".encode() * 10_000_001),
        b'{"%s":1}' % (b"a" * 50_001),
        b"[" * 1001 + b"]" * 1001,
        b"[" * 10**6,
        b'{"id":1%s}' % (b"0" * 1000),
        b'{"id":0.%s}' % (b"1" * 1000),
    ],
    ids=["no UTF-8", "long string", "long in UTF-16", "long name", "deep", "bottomless", "long number", "long decimal"],
)
async def test_line_that_ends_the_connection(line: bytes) -> None:
    async with FakeSignalDaemon() as daemon:
        async with talk_to(daemon.endpoint) as talk:
            await talk.say(line)
            assert await talk.hear_line_or_end() is None
        async with talk_to(daemon.endpoint) as talk:
            assert (await talk.ask(VERSION))["result"]


@pytest.fixture
def deep_python() -> Iterator[None]:
    """A Python whose own limit is out of the way; that of 3.11 is a little below signal-cli's."""
    limit = sys.getrecursionlimit()
    sys.setrecursionlimit(10_000)
    yield
    sys.setrecursionlimit(limit)


@pytest.mark.usefixtures("deep_python")
async def test_depth() -> None:
    async with fake_and_talk() as (_, talk):
        (answer,) = await talk.ask(b"[" * 1000 + b"]" * 1000)
        assert answer["error"]["code"] == -32600
        await talk.say(b"[" * 1001 + b"]" * 1001)
        assert await talk.hear_end() == b""


async def test_id_that_cannot_be_encoded() -> None:
    async with fake_and_talk() as (_, talk):
        assert (await talk.ask(b'{"jsonrpc":"2.0","id":"\\ud800","method":"version"}'))["id"] == "?"


# Privacy


async def test_repr_shows_no_text_and_no_number() -> None:
    async with fake_and_talk() as (daemon, talk):
        await talk.ask(send("secret", ANNA))
        shown = [daemon, daemon.sends, Failure(only=(ANNA,)), Garbage(b"secret"), Refuse(-1, data="secret")]
        for text in map(repr, shown):
            assert "secret" not in text
            assert ANNA not in text and "+15550001111" not in text
        assert "1 sends" in repr(daemon)
