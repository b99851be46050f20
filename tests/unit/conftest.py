"""What unit tests of several modules need."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest

NOBODY = 65534


@pytest.fixture
def unprivileged(tmp_path: Path) -> Iterator[Path]:
    """A folder, and no right to write what others forbid: root has it always, so this test becomes somebody else."""
    if os.geteuid() != 0:
        yield tmp_path
        return
    with TemporaryDirectory() as name:  # and not tmp_path, which is in a folder that nobody else gets into
        folder = Path(name)
        os.chown(folder, NOBODY, NOBODY)
        os.seteuid(NOBODY)
        try:
            if not os.access(folder, os.W_OK, effective_ids=True):
                pytest.skip("there is no other user to become")
            yield folder
        finally:
            os.seteuid(0)
