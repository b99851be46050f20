"""Secrets, and a look at errors: whether they say what is wrong and nothing else."""

from __future__ import annotations

import re
import traceback
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

NUMBER = "+491701234567"
ACI = "11111111-1111-4111-8111-00000000abcd"
SECRET = "meet me at noon"


def check_tells_nothing(error: BaseException, *secrets: str) -> None:
    """Nothing of these is in an error, however it is shown."""
    shown = "".join(traceback.format_exception(error)) + repr(error)
    assert not [secret for secret in secrets if secret in shown]


@contextmanager
def refused(kind: type[Exception], pattern: str, *secrets: str) -> Iterator[None]:
    """What is done here must be refused in these words, all of them, and show nothing of these."""
    with pytest.raises(kind) as caught:
        yield
    assert re.fullmatch(pattern, str(caught.value)), str(caught.value)
    check_tells_nothing(caught.value, *secrets)
    assert caught.value.__context__ is None  # it might hold what was passed
