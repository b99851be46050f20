"""content.py: attachments, from what is in them and from files."""

from __future__ import annotations

import base64
import os
from pathlib import Path
from typing import Any
from urllib.parse import unquote_plus

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ridethrough.jsonrpc import MAX_STRING
from ridethrough.signal_cli.content import MAX_FILE, Attachment
from tests.unit.signal_cli.refusing import SECRET, refused

names = st.text(st.characters(codec="utf-8"), min_size=1) | st.sampled_from(
    ["a;b,c=d&e+f%20.txt", ";base64,", "data:x/y,z", "\r\n"]
)


def read_by_the_daemon(uri: str) -> tuple[str, str | None, bytes]:
    """What the daemon takes from a data URI: the type, the name, and what is in it.

    It takes all that stands between the type and the last parameter for one parameter, and decodes it like a form.
    """
    head, data = uri.split(",", 1)
    scheme, *parameters, last = head.split(";")
    assert scheme.startswith("data:") and last == "base64" and len(parameters) <= 1 and data
    name = None
    for parameter in parameters:
        key, value = parameter.rsplit("=", 1)
        assert key == "filename"
        name = unquote_plus(value, errors="strict")
    return scheme.removeprefix("data:"), name, base64.b64decode(data, validate=True)


@given(
    data=st.binary(min_size=1, max_size=100),
    name=st.none() | names,
    mime_type=st.sampled_from(["image/png", "application/vnd.oasis.opendocument.text", "image/svg+xml", "X/Y"]),
)
def test_attachment_is_read_as_it_was_made(data: bytes, name: str | None, mime_type: str) -> None:
    attachment = Attachment(data, name, mime_type)
    assert read_by_the_daemon(attachment.param) == (mime_type, name, data)
    assert attachment.param.isascii() and attachment.param.isprintable()
    assert attachment.size == len(data)


def test_attachment_in_the_words_of_the_manual() -> None:
    assert Attachment(b"hello", "a b.txt", "text/plain").param == "data:text/plain;filename=a%20b.txt;base64,aGVsbG8="
    assert Attachment(b"hello").param == "data:application/octet-stream;base64,aGVsbG8="


@pytest.mark.parametrize("name", [None, "x" * 1000, "\U0001f600" * 100])
def test_largest_attachment(name: str | None) -> None:
    head = len(Attachment(b"x", name).param) - 4
    largest = (MAX_STRING - head) // 4 * 3
    param = Attachment(bytes(largest), name).param
    assert MAX_STRING - 4 < len(param) <= MAX_STRING
    with refused(ValueError, r"data must have at most 20000000 characters in base64, with its name, not 2000000\d"):
        Attachment(bytes(largest + 1), name)


@pytest.mark.parametrize(
    ("arguments", "error", "pattern"),
    [
        ({"data": b""}, ValueError, "data must not be empty: the daemon takes no empty attachment"),
        ({"data": SECRET}, TypeError, "data must be bytes, not str"),
        ({"data": bytearray(b"x")}, TypeError, "data must be bytes, not bytearray"),
        ({"name": ""}, ValueError, "name must not be empty"),
        ({"name": SECRET + "\ud83d"}, ValueError, "name must be valid Unicode: .*"),
        ({"name": SECRET.encode()}, TypeError, "name must be a string, not bytes"),
        ({"mime_type": None}, TypeError, "mime_type must be a string, not NoneType"),
        ({"path": SECRET}, ValueError, "path must be absolute"),
        ({"path": ""}, ValueError, "path must not be empty"),
        ({"path": Path("/")}, TypeError, "path must be a string, not PosixPath"),
        ({"path": "/a\udcff"}, ValueError, "path must be valid Unicode: .*"),
        ({"path": "/a", "size": 1}, ValueError, "data, name and mime_type cannot go with path: .*"),
        ({"path": "/a", "size": 1, "data": b"", "name": SECRET}, ValueError, "data, name and mime_type cannot .*"),
        ({"path": "/a", "size": 1, "data": b"", "mime_type": "image/png"}, ValueError, "data, name and mime_type .*"),
        ({"path": "/a", "data": b"", "size": 0}, ValueError, "size must be an int from 1 to 104857600"),
        ({"path": "/a", "data": b"", "size": MAX_FILE + 1}, ValueError, "size must be an int from 1 to 104857600"),
    ],
    ids=lambda value: repr(value)[:40],
)
def test_attachment_that_cannot_be_sent(arguments: dict[str, Any], error: type[Exception], pattern: str) -> None:
    with refused(error, pattern, SECRET):
        Attachment(**{"data": b"hello", **arguments})


@pytest.mark.parametrize(
    "mime_type",
    [
        "",
        "png",
        "image/",
        "/png",
        "image/png;charset=utf-8",
        "image/png,",
        "image/p ng",
        "a/b/c",
        "image/png\n",
        "i/\u00fc",
    ],
)
def test_type_that_is_none(mime_type: str) -> None:
    with refused(ValueError, "mime_type must be a type and a subtype such as image/png, without parameters"):
        Attachment(b"hello", mime_type=mime_type)


# Files


@pytest.mark.parametrize(
    ("name", "mime_type"),
    [
        ("holiday.png", "image/png"),
        ("HOLIDAY.PNG", "image/png"),
        ("notes.txt", "text/plain"),
        ("archive.tar.gz", "application/octet-stream"),
        ("drawing.svgz", "application/octet-stream"),
        ("no ending", "application/octet-stream"),
        ("data:,x", "application/octet-stream"),
        ("\u00fc\U0001f600.pdf", "application/pdf"),
    ],
)
def test_file_is_read_at_once(name: str, mime_type: str, tmp_path: Path) -> None:
    file = tmp_path / name
    file.write_bytes(b"hello")
    attachment = Attachment.from_file(file)
    file.unlink()
    assert attachment == Attachment(b"hello", name, mime_type)
    assert read_by_the_daemon(attachment.param) == (mime_type, name, b"hello")


def test_file_under_another_name_and_type(tmp_path: Path) -> None:
    (tmp_path / "x").write_bytes(b"hello")
    attachment = Attachment.from_file(str(tmp_path / "x"), name="photo", mime_type="image/jpeg")
    assert attachment == Attachment(b"hello", "photo", "image/jpeg")


def test_file_goes_by_its_absolute_path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "notes.txt").write_bytes(b"hello")
    monkeypatch.chdir(tmp_path)
    attachment = Attachment.from_file("notes.txt", by_path=True)
    assert attachment.param == str(tmp_path / "notes.txt")
    assert (attachment.data, attachment.size) == (b"", 5)


def make_sparse(file: Path, size: int) -> Path:
    file.touch()
    os.truncate(file, size)
    return file


def test_large_file_goes_by_its_path_alone(tmp_path: Path) -> None:
    file = make_sparse(tmp_path / "film", MAX_FILE)
    assert Attachment.from_file(file, by_path=True).size == MAX_FILE
    with refused(ValueError, "path must be of a file that fits into a request: it has 104857600 bytes"):
        Attachment.from_file(file)
    make_sparse(file, MAX_FILE + 1)
    with refused(ValueError, "path must be of a file of 1 to 104857600 bytes, not 104857601"):
        Attachment.from_file(file, by_path=True)


def test_file_that_is_just_too_large_in_base64(tmp_path: Path) -> None:
    with refused(ValueError, "data must have at most 20000000 characters in base64, with its name, not .*"):
        Attachment.from_file(make_sparse(tmp_path / "film", MAX_STRING))


def test_empty_file(tmp_path: Path) -> None:
    with refused(ValueError, "data must not be empty: the daemon takes no empty attachment"):
        Attachment.from_file(make_sparse(tmp_path / "x", 0))
    with refused(ValueError, "path must be of a file of 1 to 104857600 bytes, not 0"):
        Attachment.from_file(tmp_path / "x", by_path=True)


@pytest.mark.parametrize("by_path", [False, True])
def test_what_is_no_file(by_path: bool, tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        Attachment.from_file(tmp_path / "x", by_path=by_path)
    os.mkfifo(tmp_path / "pipe")
    for path in (tmp_path, tmp_path / "pipe"):
        with refused(ValueError, "path must be of a regular file"):
            Attachment.from_file(path, by_path=by_path)
    for thing in (None, 3, b"/etc/hostname"):
        with refused(TypeError, f"path must be a path, not {type(thing).__name__}"):
            Attachment.from_file(thing, by_path=by_path)  # type: ignore[arg-type]


@pytest.mark.parametrize("by_path", [False, True])
def test_file_that_must_not_be_read(by_path: bool, unprivileged: Path) -> None:
    make_sparse(unprivileged / "x", 5).chmod(0)
    with pytest.raises(PermissionError):
        Attachment.from_file(unprivileged / "x", by_path=by_path)


@pytest.mark.parametrize("arguments", [{"name": "x"}, {"mime_type": "image/png"}], ids=str)
def test_name_and_type_cannot_go_with_a_path(arguments: dict[str, str], tmp_path: Path) -> None:
    with refused(ValueError, "name and mime_type cannot go with by_path: the daemon takes them from the file"):
        Attachment.from_file(make_sparse(tmp_path / "x", 5), by_path=True, **arguments)


@pytest.mark.parametrize("arguments", [{"name": ""}, {"mime_type": ""}], ids=str)
def test_empty_name_and_type_are_not_those_of_the_file(arguments: dict[str, str], tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=f"^{next(iter(arguments))} must "):
        Attachment.from_file(make_sparse(tmp_path / "x", 5), **arguments)  # type: ignore[arg-type]
