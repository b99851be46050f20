"""The disk on which the power goes: what a cut can leave, and what it cannot."""

from __future__ import annotations

import random

from .disk import SECTOR, Delete, Disk, Event, Opened, Sync, SyncFolder, Truncate, Write

OLD, NEW, NEWER = (bytes([letter]) * SECTOR for letter in b"one")
NOTHING = bytes(SECTOR)


def cuts(files: dict[str, bytes], *events: Event, count: int = 400) -> list[dict[str, bytes]]:
    """Images after these events."""
    disk = Disk(files)
    for event in events:
        disk.do(event)
    rng = random.Random(1)
    return [disk.image(rng) for _ in range(count)]


def contents(files: dict[str, bytes], *events: Event) -> set[bytes]:
    """What the file can hold after these events."""
    return {image["file"] for image in cuts(files, *events)}


def test_what_was_synced_stays() -> None:
    assert contents({"file": OLD}, Write("file", 0, NEW), Sync("file")) == {NEW}


def test_what_was_not_synced_stays_or_not_and_tears_anywhere() -> None:
    found = contents({"file": OLD}, Write("file", 0, NEW))
    assert {OLD, NEW} < found
    torn = found - {OLD, NEW}
    assert any(each.startswith(b"o") and each.endswith(b"n") for each in torn)
    assert any(each.startswith(b"n") and each.endswith(b"o") for each in torn)
    assert all(each.replace(b"o", b"").replace(b"n", b"") == b"" for each in found)


def test_sectors_reach_the_disk_in_any_order() -> None:
    found = contents({"file": OLD * 2}, Write("file", 0, NEW * 2), Write("file", 0, NEWER))
    assert {OLD + NEW, NEW + OLD, NEWER + OLD, NEW * 2, NEWER + NEW, OLD * 2} < found


def test_a_write_to_a_part_of_a_sector_leaves_the_rest_alone() -> None:
    found = contents({"file": OLD}, Write("file", 100, b"n" * 10))
    assert all(each[:100] == b"o" * 100 and each[110:] == OLD[110:] for each in found)


def test_files_reach_the_disk_in_any_order() -> None:
    images = cuts({"a": OLD, "b": OLD}, Write("a", 0, NEW), Write("b", 0, NEW))
    assert {(image["a"], image["b"]) for image in images} > {(OLD, NEW), (NEW, OLD)}


def test_a_file_that_grew_may_be_short_or_have_holes() -> None:
    found = contents({"file": b""}, Write("file", 0, NEW), Write("file", SECTOR, NEWER))
    assert {b"", NEW, NEW + NEWER, NOTHING + NEWER} < found


def test_what_was_cut_off_is_there_whole_or_not_at_all() -> None:
    found = contents({"file": OLD * 2}, Truncate("file", SECTOR))
    assert found == {OLD * 2, OLD}


def test_what_was_cut_off_does_not_come_back_once_the_file_has_grown_again() -> None:
    events = (Write("file", 0, NEW), Truncate("file", 100), Sync("file"), Write("file", SECTOR, NEWER))
    start = NEW[:100].ljust(SECTOR, b"\0")
    found = contents({"file": OLD * 2}, *events)
    assert {NEW[:100], start + NEWER} < found
    assert all(each.startswith(NEW[:100]) and b"o" not in each for each in found)


def test_a_write_before_a_truncation_in_its_sector_is_not_lost_with_it() -> None:
    found = contents({"file": OLD * 2}, Write("file", 0, NEW), Truncate("file", 100), Write("file", 200, b"e"))
    assert any(each.startswith(NEW[:100]) and len(each) == 201 and each.endswith(b"\0e") for each in found)


def test_a_new_file_is_there_for_sure_only_once_the_folder_was_synced() -> None:
    events = (Opened("file"), Write("file", 0, NEW), Sync("file"))
    assert {tuple(image.items()) for image in cuts({}, *events)} == {(), (("file", NEW),)}
    assert {tuple(image.items()) for image in cuts({}, *events, SyncFolder())} == {(("file", NEW),)}


def test_a_deleted_file_may_come_back_until_the_folder_was_synced() -> None:
    assert {tuple(image) for image in cuts({"file": OLD}, Delete("file"))} == {(), ("file",)}
    assert {tuple(image) for image in cuts({"file": OLD}, Delete("file"), SyncFolder())} == {()}


def test_a_file_of_a_deleted_one_s_name_begins_empty() -> None:
    events = (Delete("file"), SyncFolder(), Opened("file"), Write("file", SECTOR, NEW), Sync("file"), SyncFolder())
    assert contents({"file": OLD}, *events) == {NOTHING + NEW}


def test_a_file_that_was_made_by_another_is_there() -> None:
    assert {tuple(image) for image in cuts({}, Opened("file", new=False))} == {("file",)}
