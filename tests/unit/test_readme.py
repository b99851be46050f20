"""The examples of the README run as they stand."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import anyio
import pytest
from anyio.abc import SocketStream

README = Path(__file__, "../../../README.md").resolve().read_text()
SIGNAL, OWN_LINK = re.findall(r"```python\n(.*?)```", README, re.DOTALL)


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
