"""The suites are plain modules; this lets their assertions tell what they saw, as those of test modules do."""

from __future__ import annotations

from pathlib import Path

import pytest

_SUITES = sorted(path.stem for path in Path(__file__).parent.glob("suite_*.py"))
pytest.register_assert_rewrite(*(f"tests.conformance.{name}" for name in ("harness", *_SUITES)))
