"""The public names."""

from __future__ import annotations

import subprocess
import sys

import pytest

import ridethrough


@pytest.mark.parametrize("name", ridethrough.__all__)
def test_every_public_name_is_there(name: str) -> None:
    assert getattr(ridethrough, name).__name__ == name


def test_public_names_can_be_listed() -> None:
    assert dir(ridethrough) == sorted(ridethrough.__all__)


def test_other_names_are_not_there() -> None:
    with pytest.raises(AttributeError, match="module 'ridethrough' has no attribute 'Nothing'"):
        ridethrough.Nothing  # noqa: B018


def test_import_alone_is_cheap() -> None:
    """Nothing is imported before it is asked for: neither anyio nor an event loop."""
    code = "import sys, ridethrough; sys.exit(any(name in sys.modules for name in ('anyio', 'asyncio', 'logging')))"
    subprocess.run([sys.executable, "-c", code], check=True)


def test_ask_for_a_name_that_is_in_no_module_of_the_list() -> None:
    assert ridethrough.LinkLost.__module__ == "ridethrough.errors"
