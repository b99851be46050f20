"""Settings: options before the environment, that before a file; and what is wrong, and where."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import pytest

from ridethrough import OnDoubt, Overflow
from ridethrough.cli.address import Servers
from ridethrough.cli.exits import UsageError
from ridethrough.cli.settings import Settings, read_seconds, read_settings
from ridethrough.signal_cli import Target, make_target

ANNA, BERT = "+15550100300", "+15550100400"
GROUP = "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA="


def to(*people: str) -> tuple[Target, ...]:
    return tuple(make_target(to=person) for person in people)


def config(folder: Path, text: str) -> dict[str, str]:
    """The environment that names a file with this in it."""
    file = folder / "ridethrough.toml"
    file.write_text(text)
    return {"RIDETHROUGH_CONFIG": str(file)}


@pytest.mark.parametrize(
    ("option", "words", "value", "toml"),
    [
        ("outbox", "/o.db", Path("/o.db"), '"/o.db"'),
        ("endpoint", "tcp://localhost:1", "tcp://localhost:1", '"tcp://localhost:1"'),
        ("account", ANNA, ANNA, f'"{ANNA}"'),
        ("max_size", "7", 7, "7"),
        ("overflow", "wait", Overflow.WAIT, '"wait"'),
        ("ttl", "0.5", 0.5, "0.5"),
        ("on_doubt", "report", OnDoubt.REPORT, '"report"'),
        ("close_timeout", "0", 0, "0"),
        ("quiet", "true", True, "true"),
        ("nats_creds", "/a.creds", Path("/a.creds"), '"/a.creds"'),
    ],
)
def test_every_setting_from_every_source(option: str, words: str, value: Any, toml: str, tmp_path: Path) -> None:
    where: dict[str, Any] = {} if option == "outbox" else {"outbox": "/o.db"}
    expected = dataclasses.replace(Settings(Path("/o.db")), **{option: value})
    assert expected != Settings(Path("/o.db")) or option == "outbox"
    assert read_settings({**where, option: words}, {}) == expected
    assert read_settings(where, {f"RIDETHROUGH_{option.upper()}": words}) == expected
    assert read_settings(where, config(tmp_path, f"{option.replace('_', '-')} = {toml}")) == expected


def test_precedence(tmp_path: Path) -> None:
    environment = config(tmp_path, 'max-size = 1\nttl = 1\noutbox = "/file.db"\nendpoint = "unix:/file"')
    environment |= {"RIDETHROUGH_MAX_SIZE": "2", "RIDETHROUGH_TTL": "2", "RIDETHROUGH_OUTBOX": "/environment.db"}
    settings = read_settings({"max_size": "3", "ttl": None}, environment)
    assert settings == Settings(Path("/environment.db"), endpoint="unix:/file", max_size=3, ttl=2.0)


def test_config_option_before_the_environment(tmp_path: Path) -> None:
    environment = config(tmp_path, 'outbox = "/a.db"')
    other = tmp_path / "other.toml"
    other.write_text('outbox = "/b.db"')
    assert read_settings({"config": str(other)}, environment).outbox == Path("/b.db")


def test_empty_variable_is_none() -> None:
    assert read_settings({"outbox": "/o.db"}, {"RIDETHROUGH_TTL": "", "RIDETHROUGH_CONFIG": ""}).ttl is None


def test_paths_are_relative_to_where_they_stand(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "etc").mkdir()
    environment = config(tmp_path / "etc", 'outbox = "o.db"\nnats-creds = "a.creds"')
    monkeypatch.chdir(tmp_path)
    assert read_settings({}, environment).outbox == tmp_path / "etc" / "o.db"
    settings = read_settings({"outbox": "o.db"}, environment)
    assert (settings.outbox, settings.nats_creds) == (tmp_path / "o.db", tmp_path / "etc" / "a.creds")
    monkeypatch.setenv("HOME", "/home/anna")
    assert read_settings({}, {"RIDETHROUGH_OUTBOX": "~/o.db"}).outbox == Path("/home/anna/o.db")


@pytest.mark.parametrize(
    ("address", "servers"),
    [
        ("nats://one", Servers("nats", ("one:4222",))),
        ("nats://one/", Servers("nats", ("one:4222",))),
        (
            "tls://one.example:1,[::1],[::2]:2/alerts-2",
            Servers("tls", ("one.example:1", "[::1]:4222", "[::2]:2"), "alerts-2"),
        ),
        ("nats://anna:a%40b:c%2F@one/x", Servers("nats", ("one:4222",), "x", {"user": "anna", "password": "a@b:c/"})),
        ("nats://t%3Aken@one,two", Servers("nats", ("one:4222", "two:4222"), login={"token": "t:ken"})),
    ],
)
def test_servers(address: str, servers: Servers, tmp_path: Path) -> None:
    assert read_settings({"outbox": address}, {}).outbox == servers
    assert read_settings({}, config(tmp_path, f'outbox = "{address}"')).outbox == servers


def test_login_is_not_shown() -> None:
    servers = read_settings({"outbox": "nats://anna:secret@one,two:5/alerts"}, {}).outbox
    assert isinstance(servers, Servers)
    assert str(servers) == "nats://one:4222,two:5/alerts"
    assert servers.addresses == ["nats://one:4222", "nats://two:5"]
    assert "secret" not in repr(servers)


@pytest.mark.parametrize(
    "address",
    [
        "http://one", "nats://", "nats:///outbox", "nats://one,", "nats://one:x", "nats://one/a/b", "nats://one/a.b",
        "nats://a:secret@b@one", "nats://one,b:secret@two", "nats://o ne", "nats://one?secret",
        f"nats://one/{'a' * 65}", "nats://@one",
    ],
)  # fmt: skip
def test_what_is_no_address_of_servers(address: str) -> None:
    with pytest.raises(UsageError) as caught:
        read_settings({"outbox": address}, {})
    assert str(caught.value) == (
        "--outbox must be a file, or servers and the outbox's name there, such as nats://one:4222,two:4222/outbox"
    )


@pytest.mark.parametrize(
    ("options", "targets"),
    [
        ({"to": [ANNA, BERT, ANNA]}, to(ANNA, BERT)),
        ({"group": GROUP}, (make_target(group=GROUP),)),
        ({"username": "anna.42"}, (make_target(username="anna.42"),)),
        ({"note_to_self": True}, (make_target(note_to_self=True),)),
        ({}, to(BERT, ANNA)),
    ],
)
def test_whom_of_the_first_source_that_names_anybody(
    options: dict[str, Any], targets: tuple[Target, ...], tmp_path: Path
) -> None:
    environment = {"RIDETHROUGH_TO": f"{BERT}, {ANNA}", **config(tmp_path, "note-to-self = true")}
    assert read_settings({"outbox": "/o.db", **options}, environment).targets == targets


@pytest.mark.parametrize(
    ("text", "targets"),
    [
        (f'to = ["{ANNA}", "{BERT}"]', to(ANNA, BERT)),
        (f'to = "{ANNA}"', to(ANNA)),
        ("note-to-self = false", ()),
        (f'note-to-self = false\nto = "{ANNA}"', to(ANNA)),
    ],
)
def test_whom_in_a_file(text: str, targets: tuple[Target, ...], tmp_path: Path) -> None:
    assert read_settings({"outbox": "/o.db"}, config(tmp_path, text)).targets == targets


@pytest.mark.parametrize(
    ("options", "environment", "problem"),
    [
        ({"outbox": None}, {}, "which outbox? name its file by --outbox, RIDETHROUGH_OUTBOX, or outbox in the file"),
        ({"outbox": ""}, {}, "--outbox must be a text that is not empty"),
        ({"outbox": "~nobody-of-that-name/x"}, {}, "--outbox must be a path in a home folder that there is"),
        ({"max_size": "0"}, {}, "--max-size must be a whole number of at least 1"),
        ({"max_size": "1.5"}, {}, "--max-size must be a whole number of at least 1"),
        ({"max_size": "9" * 9999}, {}, "--max-size must be a whole number of at least 1"),
        ({"max_size": "٣"}, {}, "--max-size must be a whole number of at least 1"),
        ({}, {"RIDETHROUGH_TTL": "0"}, "RIDETHROUGH_TTL must be a number of seconds, more than 0"),
        ({}, {"RIDETHROUGH_TTL": "nan"}, "RIDETHROUGH_TTL must be a number of seconds, more than 0"),
        ({}, {"RIDETHROUGH_TTL": "soon"}, "RIDETHROUGH_TTL must be a number of seconds, more than 0"),
        ({"close_timeout": "-1"}, {}, "--close-timeout must be a number of seconds, at least 0"),
        ({"overflow": "panic"}, {}, "--overflow must be one of drop_oldest, drop_newest, reject, wait"),
        ({"on_doubt": "x"}, {}, "--on-doubt must be one of retry, report"),
        ({}, {"RIDETHROUGH_QUIET": "maybe"}, "RIDETHROUGH_QUIET must be true or false"),
        ({"account": "anna"}, {}, "--account must be a telephone number such as +15550100200"),
        ({"to": ["anna"]}, {}, "--to must be a telephone number such as +15550100200, or a UUID"),
        ({"to": [""]}, {}, "--to must be a telephone number such as +15550100200, or a UUID"),
        ({"group": "x"}, {}, "--group must be a group's id: the base64 of 16 or 32 bytes"),
        ({"username": "x"}, {}, "--username must be a nickname, a point and at least two digits, such as anna.42"),
        ({"to": [ANNA], "group": GROUP}, {}, "--to cannot go with --group"),
        ({}, {"RIDETHROUGH_NOTE_TO_SELF": "perhaps"}, "RIDETHROUGH_NOTE_TO_SELF must be true or false"),
        ({"config": "/nowhere/x.toml"}, {}, "/nowhere/x.toml cannot be read: No such file or directory"),
    ],
)
def test_wrong_value(options: dict[str, Any], environment: dict[str, str], problem: str) -> None:
    with pytest.raises(UsageError) as caught:
        read_settings({"outbox": "/o.db", **options}, environment)
    assert str(caught.value).startswith(problem)
    assert ANNA not in str(caught.value)


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("max_size = 5", "{file} has a setting 'max_size' that is not known: allowed are outbox, endpoint, account, "),
        ("max-size = true", "max-size in {file} must be a whole number of at least 1"),
        ("ttl = true", "ttl in {file} must be a number of seconds, more than 0"),
        ("ttl = [1]", "ttl in {file} must be a number of seconds, more than 0"),
        ("outbox = 1", "outbox in {file} must be a text that is not empty"),
        ("overflow = []", "overflow in {file} must be one of "),
        ("to = []", "to in {file} must be a telephone number such as"),
        ("to = 5", "to in {file} must be a telephone number such as"),
        ("to = [5]", "to in {file} must be a telephone number such as"),
        ("quiet = 1", "quiet in {file} must be true or false"),
        ("[run]\nttl = 1", "{file} has a setting 'run' that is not known"),
        ("ttl = ", "{file} is not in TOML: Invalid value"),
    ],
)
def test_wrong_value_in_a_file(text: str, problem: str, tmp_path: Path) -> None:
    with pytest.raises(UsageError) as caught:
        read_settings({"outbox": "/o.db"}, config(tmp_path, text))
    assert str(caught.value).startswith(problem.format(file=tmp_path / "ridethrough.toml"))


def test_file_that_is_not_text(tmp_path: Path) -> None:
    file = tmp_path / "x{}.toml"
    file.write_bytes(b"\xff")
    with pytest.raises(UsageError, match="is not in TOML"):
        read_settings({"config": str(file)}, {})
    file.write_text("ttl = 0")
    with pytest.raises(UsageError, match=r"ttl in .*x\{\}\.toml must be"):
        read_settings({"config": str(file)}, {})


def test_seconds_that_are_too_many() -> None:
    with pytest.raises(ValueError, match="a number of seconds, more than 0"):
        read_seconds(10**400)
