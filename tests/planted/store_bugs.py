"""The same, of the journal on disk."""

from __future__ import annotations

from .bugs import Bug

STORE_BUGS = [
    Bug(
        "a forked child's end takes the log from under its parent",
        "sqlite.py",
        "        ctypes.pythonapi.Py_IncRef(ctypes.py_object(connection))\n",
        "        pass\n",
        "tests/unit/test_sqlite_files.py::test_journal_of_the_parent_is_nothing_for_a_forked_child",
    ),
    Bug(
        "puts do not wait for the disk",
        "sqlite.py",
        '"power-safe" and (grows or changes.updated)',
        '"power-safe" and changes.updated',
        "tests/unit/test_sqlite.py::test_power_safe_waits_for_the_disk_only_where_a_loss_would_matter",
    ),
    Bug(
        "bodies stay in the log",
        "sqlite.py",
        "            self._erase(connection)\n",
        "            pass\n",
        "tests/unit/test_sqlite.py::test_no_body_is_left_on_the_disk_once_all_have_ended",
    ),
]
