"""The shared buffer behaves on servers in memory as on real ones: the same tests, and each takes no time."""

from __future__ import annotations

import inspect

import pytest

from .harness import SHARED

pytestmark = pytest.mark.anyio

_LEFT_OUT: dict[str, str] = {}

_TESTS = {name: value for module in SHARED for name, value in vars(module).items() if name.startswith("test_")}
_FIT = {
    name: test
    for name, test in _TESTS.items()
    if name not in _LEFT_OUT
    and "outbox" in inspect.signature(test).parameters
    and "connected(" not in inspect.getsource(test)  # they look at a real server with other eyes
}
globals().update(_FIT)
