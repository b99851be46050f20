"""The examples of docs/durable.md run as they stand, one after the other."""

from __future__ import annotations

import re
import textwrap
from pathlib import Path
from typing import Any

import anyio
import pytest

PAGE = Path(__file__, "../../../docs/durable.md").resolve().read_text()


@pytest.mark.anyio
@pytest.mark.parametrize("anyio_backend", ["asyncio", "trio"])
async def test_examples(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.chdir(tmp_path)
    first, second, third = re.findall(r"```python\n(.*?)```", PAGE, re.DOTALL)
    rest = "\n    async with buffer.lease() as lease:\n        for entry in lease: entry.reject('no pager')\n"
    example = textwrap.indent(first + rest + textwrap.indent(second + third, "    "), "    ")
    names: dict[str, Any] = {"anyio": anyio}
    exec(f"async def example():\n{example}", names)
    await names["example"]()
    assert capsys.readouterr().out.splitlines() == ["1 rejected no pager {'to': 'pager', 'text': 'disk full'}"]
    await names["example"]()  # which finds what it has put again
    assert capsys.readouterr().out.startswith("2 0 False\n3 0 False\n")
