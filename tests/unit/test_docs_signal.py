"""The examples of docs/signal/ run as they stand: every block, in order, by a page's own client."""

from __future__ import annotations

import ast
import re
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import anyio
import pytest
from anyio import create_memory_object_stream, create_task_group, fail_after

import ridethrough
import ridethrough.signal_cli
import ridethrough.testing
from ridethrough.signal_cli import SignalClient
from ridethrough.testing import Arrival, Failure, FakeSignalDaemon

pytestmark = pytest.mark.anyio

DOCS = Path(__file__, "../../../docs/signal").resolve()
BLOCK = re.compile(r"^(?:## (?P<heading>[^\n]*)|```python\n(?P<code>.*?)^```)$", re.MULTILINE | re.DOTALL)
ENDPOINT = "tcp://127.0.0.1:7583"
"""Where the daemon listens in the examples."""
RUN = "\n\nanyio.run(main)\n"
"""How an example ends that is a whole program."""
PATIENCE = 20

ANNA, BERT, CARL = "+15550100300", "+15550100400", "+15550100500"
ACI = "11111111-1111-4111-8111-000000000001"
SAFETY_NUMBER = "1234567890" * 6
TOKEN = "3f0a"


@pytest.fixture(params=["asyncio", "trio"])
def anyio_backend(request: pytest.FixtureRequest) -> str:
    name: str = request.param
    return name


def read(page: Path) -> list[tuple[str, str]]:
    """The examples of a page, each with the heading above it, and at its own line."""
    text, heading, found = page.read_text(), "", []
    for match in BLOCK.finditer(text):
        if match["heading"] is not None:
            heading = match["heading"]
        else:
            found.append((heading, "\n" * text.count("\n", 0, match.start("code")) + match["code"]))
    return found


PAGES = {page.stem: read(page) for page in sorted(DOCS.glob("*.md"))}
PROGRAMS = {heading: code for page in PAGES.values() for heading, code in page if code.endswith(RUN)}
STEPS = {name: steps for name, page in PAGES.items() if (steps := [code for _, code in page if not code.endswith(RUN)])}


class Arrivals(list[Arrival]):
    """What reached Signal, of which somebody is told."""

    def __init__(self) -> None:
        super().__init__()
        self.tell, self.told = create_memory_object_stream[Arrival](100)

    def append(self, arrival: Arrival) -> None:
        super().append(arrival)
        self.tell.send_nowait(arrival)


@asynccontextmanager
async def polite_daemon() -> AsyncIterator[FakeSignalDaemon]:
    """A daemon that keeps what comes in until it is asked for, and on which every recipient confirms each message."""
    async with FakeSignalDaemon(receive_mode="manual") as daemon, create_task_group() as tasks:
        daemon.sends = arrivals = Arrivals()

        async def confirm() -> None:
            with arrivals.tell, arrivals.told:
                async for arrival in arrivals.told:
                    receipt = {"when": 1_700_000_000_001, "isDelivery": True, "timestamps": [arrival.timestamp]}
                    await daemon.push(incoming(receiptMessage=receipt))

        tasks.start_soon(confirm)
        with fail_after(PATIENCE):
            yield daemon
        tasks.cancel_scope.cancel()


def incoming(**content: Any) -> dict[str, Any]:
    return {"sourceUuid": ACI, "sourceNumber": None, "timestamp": 1_700_000_000_000, **content}


def saying(text: str, timestamp: int = 1_700_000_000_000) -> dict[str, Any]:
    return incoming(dataMessage={"timestamp": timestamp, "message": text})


Prepare = Callable[[FakeSignalDaemon, SignalClient, dict[str, Any]], Awaitable[None]]


async def receive_one(daemon: FakeSignalDaemon, client: SignalClient, names: dict[str, Any]) -> None:
    """A message has come in, and somebody has no Signal."""
    daemon.per_recipient[CARL] = Failure("UNREGISTERED_FAILURE")
    inbox = client.messages()
    await daemon.push(saying("Is it done?"))
    names["envelope"] = await anext(inbox)


async def leave_some(daemon: FakeSignalDaemon, *_: object) -> None:
    """Two messages wait to be asked for."""
    await daemon.push(saying("hello", 1_700_000_000_000))
    await daemon.push(saying("enough", 1_700_000_000_001))


async def hold_some_up(daemon: FakeSignalDaemon, client: SignalClient, _: object) -> None:
    """Somebody is not trusted, and somebody else waits for a CAPTCHA."""
    await (await client.send("They have met.", to=ANNA))
    daemon.per_recipient = {ANNA: Failure("IDENTITY_FAILURE"), BERT: Failure("RATE_LIMIT_FAILURE", token=TOKEN)}
    daemon.safety_numbers[ANNA] = SAFETY_NUMBER
    for person in (ANNA, BERT):
        await client.send("held up", to=person)
    await (await client.send("behind these", to=CARL))  # once it was sent, the others have been tried


PREPARE: dict[str, Prepare] = {"sending": receive_one, "receiving": leave_some, "answers": hold_some_up}
ARRIVE: dict[str, list[tuple[str, str]]] = {
    "answers": [(ANNA, "They have met."), (CARL, "behind these"), (BERT, "held up"), (ANNA, "held up")],
    "endpoints": [],
    "receiving": [(ACI, "You said: hello"), (ACI, "Thank you"), (ACI, "Are you there?")],
    "sending": [
        (ANNA, "The build is green."),
        (ANNA, "Lunch at noon."),
        (BERT, "Lunch at noon."),
        (ANNA, "Lunch is cancelled."),
        (ANNA, "The report of today"),
        (ANNA, "\N{PARTY POPPER} Anna has done it"),
        (ANNA, "Shall we deploy?"),
        (ANNA, "(I mean today)"),
        (ANNA, "Shall we deploy today?"),
        (ANNA, "sendReaction"),
        (ANNA, "remoteDelete"),
        (ACI, "Yes"),
        (ACI, "sendReaction"),
        (ACI, "sendReceipt"),
        (ANNA, "https://example.org/ is up"),
        (ANNA, "updateContact"),
        (ANNA, "sendTyping"),
        (ANNA, "The backup has failed."),
        (ANNA, "sendReaction"),
    ],
}
"""What reaches Signal by a page's examples: for whom, and its text or else its method."""
SHOWN = {"answers": f"captcha 1 {TOKEN}", "sending": "1 did not get it"}
"""What some of them print, beside other things."""
REACH: dict[str, list[tuple[str, str]]] = {
    "A bot": [(ACI, "sendReceipt"), (ACI, "pong")],
    "Alerting": [(ANNA, "disk is full on db1"), (BERT, "disk is full on db1")],
    "Testing your own program": [],  # it has a daemon of its own, and looks itself
}
"""The same, by each of the programs."""


def arrived(daemon: FakeSignalDaemon) -> list[tuple[str, str]]:
    return [(arrival.target, arrival.text or arrival.method) for arrival in daemon.sends]


@pytest.mark.parametrize("page", STEPS)
async def test_page(
    page: str, capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)  # for the files of the examples
    names: dict[str, Any] = {"anyio": anyio}
    for module in (ridethrough, ridethrough.signal_cli, ridethrough.testing):
        names |= {name: getattr(module, name) for name in module.__all__}
    async with polite_daemon() as daemon:
        async with SignalClient(daemon.endpoint) as client:
            await client.supervisor.wait_connected()
            if page in PREPARE:
                await PREPARE[page](daemon, client, names)
            for step in STEPS[page]:
                names |= {"client": client, "daemon": daemon}
                await run(page, step.replace(ENDPOINT, daemon.endpoint), names)
        assert len(client.buffer) == 0
        assert sorted(arrived(daemon)) == sorted(ARRIVE[page])
    assert SHOWN.get(page, "") in capsys.readouterr().out


async def run(page: str, code: str, names: dict[str, Any]) -> None:
    """Run code that may await."""
    compiled = compile(code, DOCS / f"{page}.md", "exec", flags=ast.PyCF_ALLOW_TOP_LEVEL_AWAIT)
    if (awaitable := eval(compiled, names)) is not None:
        await awaitable


@pytest.mark.parametrize("heading", PROGRAMS)
async def test_program(heading: str, caplog: pytest.LogCaptureFixture) -> None:
    async with polite_daemon() as daemon:
        for number, text in enumerate(["ping", "stop"]):
            await daemon.push(saying(text, 1_700_000_000_000 + number))
        names: dict[str, Any] = {}
        await run("recipes", PROGRAMS[heading].removesuffix(RUN).replace(ENDPOINT, daemon.endpoint), names)
        await names["main"]()
        assert arrived(daemon) == REACH[heading]
    assert [record.getMessage() for record in caplog.records if record.levelname == "ERROR"] == []


def test_every_example_is_run() -> None:
    fences = [line for page in DOCS.glob("*.md") for line in page.read_text().splitlines() if line.startswith("```p")]
    assert fences == ["```python"] * sum(map(len, PAGES.values()))
    assert PROGRAMS.keys() == REACH.keys()
    assert STEPS.keys() == ARRIVE.keys()
