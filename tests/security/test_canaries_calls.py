"""No body, no file and no number in what a client shows of questions, calls and files that go wrong."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from anyio.lowlevel import checkpoint

from ridethrough import LinkLost
from ridethrough.signal_cli import DaemonError, Quote, SignalClient
from ridethrough.testing import Failure, FakeSignalDaemon, Refuse
from ridethrough.testing.fake_signal import RequestFailed
from tests.security.canary import (
    CONTACT,
    FILE_NAME,
    HOME,
    KINDS,
    NUMBER,
    QUOTE,
    SECRET,
    UNKNOWN,
    Canary,
    endpoint_of,
    make_talkative,
    running,
)

pytestmark = pytest.mark.anyio


@pytest.fixture
def canary(caplog: pytest.LogCaptureFixture) -> Canary:
    return Canary(caplog)


# Questions


class Unhelpful(FakeSignalDaemon):
    """Refuses to answer some question, or answers nonsense, the first few times."""

    question = ""
    answer: Any = None
    times = 2

    def call(self, method: str, params: Mapping[str, Any], failure: Failure | None = None) -> Any:
        if method != self.question or not self.times:
            return super().call(method, params, failure)
        self.times -= 1
        if isinstance(self.answer, Exception):
            raise self.answer
        return self.answer


ANSWERS: dict[str, Any] = {
    "-1": RequestFailed(-1, QUOTE, QUOTE),
    "-3": RequestFailed(-3, QUOTE, {QUOTE: QUOTE}),
    "-3 with a status": RequestFailed(-3, f"Failed to get linked devices: [500] {QUOTE}"),
    "-3, refused": RequestFailed(-3, f"Failed to get linked devices: [403] {QUOTE}"),
    "-32601": RequestFailed(-32601, QUOTE),
    "-32602": RequestFailed(-32602, QUOTE),
    "-32603": RequestFailed(-32603, f"{QUOTE} (SocketException)"),
    "a text": QUOTE,
    "a list": [QUOTE, {"number": QUOTE}, {"number": UNKNOWN}, {"isRegistered": QUOTE}],
}


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("answer", ANSWERS)
@pytest.mark.parametrize("question", ["listAccounts", "listDevices", "getUserStatus"])
async def test_question_that_fails(question: str, answer: str, kind: str, tmp_path: Path, canary: Canary) -> None:
    make_talkative()
    async with Unhelpful(endpoint_of(kind, tmp_path), accounts=[HOME]) as daemon:
        daemon.question, daemon.answer = question, ANSWERS[answer]
        daemon.fail_next(*[Failure("UNREGISTERED_FAILURE" if question == "getUserStatus" else "NETWORK_FAILURE")] * 2)
        async with running(canary, daemon) as (client, _):
            deliveries = [await client.send(SECRET, to=NUMBER), await client.send(SECRET, note_to_self=True)]
            await deliveries[1]
            canary.show(*deliveries)
    assert question == "listAccounts" or daemon.times < 2
    canary.check()


# Calls


async def test_receiving_that_is_refused(tmp_path: Path, canary: Canary, caplog: pytest.LogCaptureFixture) -> None:
    make_talkative()
    async with Unhelpful(f"unix:{tmp_path}/socket", accounts=[HOME]) as daemon:
        daemon.accounts[0] = NUMBER
        daemon.question, daemon.answer = "listAccounts", [{"number": HOME}]
        async with running(canary, daemon) as (client, _):
            canary.show(client.messages())
            while "does not let us receive" not in caplog.text:
                await checkpoint()
    canary.check()


async def check_calls(client: SignalClient, canary: Canary) -> set[type[Exception]]:
    """Call what cannot be done, and show why; returns the kinds of the errors."""
    calls = [
        client.call("send", recipient=[NUMBER], message=SECRET),
        client.call("send", recipient=[NUMBER], message=SECRET + "\ud83d"),
        client.call("send", recipient=[NUMBER], message=SECRET.encode()),
        client.call("send", recipient=[NUMBER], message={NUMBER.encode(): SECRET}),
        client.call("send", recipient=[NUMBER], message=SECRET * 2_000_000),
        client.call(SECRET, **{SECRET: NUMBER}),
        client.trust(UNKNOWN),
        client.trust(NUMBER, safety_number=SECRET),
        client.trust(f"{NUMBER}x"),
        client.submit_challenge(SECRET, f"signalcaptcha://{SECRET}"),
        client.typing(to=f"{NUMBER}x"),
    ]
    kinds = {type(await canary.show_error_of(call)) for call in calls}
    assert not await client.typing(to=NUMBER)
    return kinds


@pytest.mark.parametrize("kind", KINDS)
async def test_calls_while_signal_is_away(kind: str, tmp_path: Path, canary: Canary) -> None:
    make_talkative()
    async with FakeSignalDaemon(endpoint_of(kind, tmp_path), accounts=[HOME]) as daemon:
        daemon.service_reachable = False
        daemon.fail_next(Refuse(-1, QUOTE, QUOTE))
        async with running(canary, daemon) as (client, _):
            await client.supervisor.wait_connected()
            assert DaemonError in await check_calls(client, canary)
    canary.check()


@pytest.mark.parametrize("kind", KINDS)
async def test_calls_without_a_link(kind: str, tmp_path: Path, canary: Canary) -> None:
    make_talkative()
    daemon = FakeSignalDaemon(endpoint_of(kind, tmp_path), accounts=[HOME])
    async with daemon, running(canary, daemon) as (client, in_vain):
        await client.supervisor.wait_connected()
        await daemon.stop()
        await client.send(SECRET, to=NUMBER)  # or over HTTP, nobody would notice
        await in_vain.wait()
        assert LinkLost in await check_calls(client, canary)
    canary.check()


async def test_arguments_that_are_refused(canary: Canary) -> None:
    """What is wrong with them is told, and not what they are."""
    client = SignalClient("unix:/nowhere", account=HOME)
    delivery = await client.send(SECRET, to=NUMBER)
    wrong: Any = SECRET
    for call in (
        client.send(SECRET, to=[NUMBER, wrong]),
        client.send(SECRET, to=[]),
        client.send(SECRET, to=NUMBER, quote=wrong),
        client.send(SECRET, to=UNKNOWN, quote=Quote(delivery)),
        client.send(SECRET, to=NUMBER, mentions=wrong),
        client.send(SECRET, to=NUMBER, story=wrong),
        client.send(SECRET, to=NUMBER, view_once=wrong),
        client.send(SECRET, to=NUMBER, ttl=wrong),
        client.send(SECRET, to=NUMBER, overflow="spill"),
        client.edit(wrong, SECRET),
        client.edit(delivery, SECRET + "\ud83d"),
        client.react(wrong, "\N{HONEYBEE}"),
        client.react(delivery, SECRET),
        client.delete(wrong),
        client.mark_read(wrong),
        client.set_expiration(wrong, to=NUMBER),
        client.set_expiration(60, to=wrong),
        client.typing(to=wrong),
        client.trust(wrong),
        client.wait_receipt(wrong, timeout=1),
        client.wait_receipt(delivery, timeout=wrong),
        client.aclose(wrong),
    ):
        await canary.show_error_of(call)
    for options in ({"max_size": wrong}, {"overflow": "spill"}):
        with pytest.raises((TypeError, ValueError)) as caught:
            client.messages(**options)
        canary.show(caught.value)
    canary.show(client, delivery)
    assert await client.aclose() == [delivery.message]
    canary.check()


@pytest.mark.parametrize(
    "options",
    [
        {"endpoint": f"http://{CONTACT}:open-sesame@localhost/"},
        {"endpoint": "http://localhost/?open-sesame"},
        {"endpoint": "http://localhost/", "headers": {"Authorization": "open-sesame\n"}},
        {"endpoint": "http://localhost/", "headers": {"open-sesame:": ""}},
        {"endpoint": "unix:/nowhere", "headers": {"Authorization": "open-sesame"}},
        {"account": f"{NUMBER}x"},
        {"account": f"{NUMBER}".encode()},
        {"buffer": [SECRET]},
        {"shares_files": SECRET},
    ],
    ids=str,
)
def test_options_that_are_refused(options: dict[str, Any], canary: Canary) -> None:
    with pytest.raises((TypeError, ValueError)) as caught:
        SignalClient(**{"endpoint": "unix:/nowhere", **options})
    canary.show(caught.value)
    canary.check()


# Files


async def test_file_that_cannot_be_read(tmp_path: Path, canary: Canary) -> None:
    files = {name: tmp_path / f"{FILE_NAME}.{name}" for name in ("missing", "empty", "folder", "large", "below")}
    files["empty"].touch()
    files["folder"].mkdir()
    files["below"] = files["empty"] / FILE_NAME
    with files["large"].open("wb") as large:
        large.truncate(200 * 2**20)
    for shares in (False, True):
        client = SignalClient("unix:/nowhere", account=HOME, shares_files=shares)
        for file in files.values():
            await canary.show_error_of(client.send(SECRET, to=NUMBER, attachments=[str(file)]))
        await canary.show_error_of(client.send(SECRET, to=NUMBER, attachments=[f"{FILE_NAME}\0"]))
        await canary.show_error_of(client.send(SECRET, to=NUMBER, attachments=str(files["empty"])))
        assert len(client.buffer) == 0
    canary.check()
