"""The examples of the README run as they stand."""

from __future__ import annotations

import itertools
import re
import subprocess
import sys
import textwrap
from pathlib import Path
from typing import Any

import anyio
import pytest
from anyio.abc import SocketStream

from ridethrough.signal_cli import SignalClient
from ridethrough.testing import FakeSignalDaemon

README = Path(__file__, "../../../README.md").resolve().read_text()
SIGNAL, OWN_LINK, IN_FULL = re.findall(r"```python\n(.*?)```", README, re.DOTALL)


def test_signal_example() -> None:
    done = subprocess.run([sys.executable, "-W", "error", "-c", SIGNAL], capture_output=True, text=True, check=True)
    lines = done.stdout.splitlines()
    assert lines[0].endswith("with 3 messages waiting")
    assert len(lines) == 4 and all("sent at" in line for line in lines[1:])


@pytest.mark.anyio
@pytest.mark.parametrize("anyio_backend", ["asyncio", "trio"])
async def test_own_link_example(capsys: pytest.CaptureFixture[str]) -> None:
    names: dict[str, Any] = {}
    async with await anyio.create_tcp_listener(local_host="127.0.0.1") as listener:
        port = listener.extra(anyio.abc.SocketAttribute.local_port)
        exec(OWN_LINK.replace("7000", str(port)), names)
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(listener.serve, confirm_lines)
            await names["main"]()
            tasks.cancel_scope.cancel()
    assert "b'thanks for hello'" in capsys.readouterr().out


async def confirm_lines(stream: SocketStream) -> None:
    async with stream:
        async for data in stream:
            await stream.send(b"thanks for " + data.strip())


@pytest.fixture
def folder_with_plan(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    Path(tmp_path, "plan.pdf").write_bytes(b"%PDF")
    monkeypatch.chdir(tmp_path)


@pytest.mark.anyio
@pytest.mark.parametrize("anyio_backend", ["asyncio", "trio"])
@pytest.mark.usefixtures("folder_with_plan")
async def test_signal_in_full(capsys: pytest.CaptureFixture[str]) -> None:
    async with FakeSignalDaemon() as daemon:
        names: dict[str, Any] = {"SignalClient": SignalClient}
        body = textwrap.indent(IN_FULL.replace("tcp://127.0.0.1:7583", daemon.endpoint), "    ")
        exec(f"async def example():\n{body}", names)
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(say_hello, daemon)
            with anyio.fail_after(30):
                await names["example"]()
            tasks.cancel_scope.cancel()
    assert "says Data(" in capsys.readouterr().out
    assert [arrival.method for arrival in daemon.sends] == ["send", "send", "sendReaction"]


async def say_hello(daemon: FakeSignalDaemon) -> None:
    """Push a message until somebody has heard it."""
    for timestamp in itertools.count(1_700_000_000_000):
        data = {"timestamp": timestamp, "message": "hello"}
        source = {"sourceUuid": "11111111-1111-4111-8111-000000000001"}
        await daemon.push({**source, "timestamp": timestamp, "dataMessage": data})
        await anyio.lowlevel.checkpoint()
