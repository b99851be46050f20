"""targets.py: whom messages go to, and which addresses are refused before they get into a buffer."""

from __future__ import annotations

import base64
from typing import Any

import pytest

from ridethrough.signal_cli.targets import Target, TargetKind, check_account, make_target, masked, read_person
from tests.unit.signal_cli.refusing import ACI, NUMBER, check_tells_nothing, refused

GROUP = base64.b64encode(bytes(range(32))).decode()
OLD_GROUP = base64.b64encode(bytes(range(16))).decode()


@pytest.mark.parametrize(
    ("address", "target", "params"),
    [
        ({"to": NUMBER}, Target(TargetKind.NUMBER, NUMBER), {"recipient": [NUMBER]}),
        ({"to": "+155501"}, Target(TargetKind.NUMBER, "+155501"), {"recipient": ["+155501"]}),
        ({"to": ACI}, Target(TargetKind.ACI, ACI), {"recipient": [ACI]}),
        ({"to": ACI.upper()}, Target(TargetKind.ACI, ACI), {"recipient": [ACI]}),
        ({"username": "anna.42"}, Target(TargetKind.USERNAME, "anna.42"), {"username": ["anna.42"]}),
        ({"group": GROUP}, Target(TargetKind.GROUP, GROUP), {"groupId": [GROUP]}),
        ({"group": OLD_GROUP}, Target(TargetKind.GROUP, OLD_GROUP), {"groupId": [OLD_GROUP]}),
        ({"note_to_self": True}, Target(TargetKind.SELF), {"noteToSelf": True}),
    ],
    ids=str,
)
def test_target(address: dict[str, Any], target: Target, params: dict[str, Any]) -> None:
    assert make_target(**address) == target
    assert target.params() == params


def test_group_id_has_one_form() -> None:
    """The last digit of base64 has bits to spare; a group with two forms would have two keys."""
    another = OLD_GROUP[:-3] + chr(ord(OLD_GROUP[-3]) + 1) + "=="
    assert base64.b64decode(another) == base64.b64decode(OLD_GROUP)
    assert make_target(group=another) == make_target(group=OLD_GROUP)


@pytest.mark.parametrize(
    "to",
    [
        "",
        "491701234567",
        "+01701234567",
        "+4917",
        "+4917012345678901",
        "+49 170 1234567",
        "+491701234567\n",
        "+١٥٥٥٠١٠٠٢٠٠",
        "anna.42",
        "u:anna.42",
        ACI + "0",
        ACI + "\n",
        ACI.replace("-", ""),
        "{" + ACI + "}",
        "urn:uuid:" + ACI,
        "PNI:" + ACI,
        " " + "1" * 31,  # for Python's UUID, a blank is a leading zero
        "1_" * 16,
        "11111111-1111-4111-8111-00000000abc\u0661",
    ],
)
def test_recipient_that_is_none(to: str) -> None:
    with pytest.raises(ValueError, match=r"^to must be a telephone number such as .*, or a UUID; ") as caught:
        make_target(to=to)
    if to:
        check_tells_nothing(caught.value, to)


@pytest.mark.parametrize(
    "group",
    [
        "",
        "no base64",
        GROUP + "=",
        GROUP[:-1],
        GROUP + "\n",
        GROUP.replace("/", "_").replace("A", "-"),
        base64.b64encode(bytes(17)).decode(),
        base64.b64encode(bytes(64)).decode(),
        "ü" * 44,
    ],
)
def test_group_that_is_none(group: str) -> None:
    with pytest.raises(ValueError, match=r"^group must be a group's id: the base64 of 16 or 32 bytes$"):
        make_target(group=group)


@pytest.mark.parametrize(
    "username", ["", "anna", "anna.1", "an.42", "1anna.42", "änna.42", "anna.42\n", "a" * 33 + ".42", "anna.٤٢"]
)
def test_username_that_is_none(username: str) -> None:
    with pytest.raises(ValueError, match=r"^username must be a nickname, a point and at least two digits"):
        make_target(username=username)


@pytest.mark.parametrize("name", ["to", "group", "username"])
@pytest.mark.parametrize("thing", [True, 491701234567, b"+491701234567", [NUMBER]], ids=repr)
def test_address_that_is_no_string(name: str, thing: Any) -> None:
    with pytest.raises(TypeError, match=f"^{name} must be a string, not {type(thing).__name__}$"):
        make_target(**{name: thing})


@pytest.mark.parametrize("thing", [None, 0, 1, "yes"], ids=repr)
def test_note_to_self_that_is_no_bool(thing: Any) -> None:
    with pytest.raises(TypeError, match=f"^note_to_self must be a bool, not {type(thing).__name__}$"):
        make_target(note_to_self=thing)
    with pytest.raises(TypeError):
        make_target(to=NUMBER, note_to_self=thing)


@pytest.mark.parametrize(
    ("addresses", "what"),
    [
        ({}, "none"),
        ({"to": NUMBER, "group": GROUP}, "to and group"),
        ({"username": "anna.42", "note_to_self": True}, "username and note_to_self"),
        ({"to": NUMBER, "group": "", "username": ""}, "to and group and username"),
    ],
)
def test_exactly_one_address(addresses: dict[str, Any], what: str) -> None:
    with pytest.raises(ValueError, match=f"^exactly one of to=, .* must be given, not {what}$") as caught:
        make_target(**addresses)
    check_tells_nothing(caught.value, NUMBER)


def test_target_hides_the_middle_of_its_address() -> None:
    assert repr(make_target(to=NUMBER)) == "<Target number +49…67>"
    assert repr(make_target(note_to_self=True)) == "<Target self>"


@pytest.mark.parametrize("number", ["+155501", "+15550100200", "+123456789012345"])
def test_masked_shows_no_whole_number(number: str) -> None:
    assert number not in masked(number)
    assert masked(number).startswith(number[:3]) and masked(number).endswith(number[-2:])


def test_account() -> None:
    check_account(None)
    check_account(NUMBER)


@pytest.mark.parametrize("account", ["", "491701234567", ACI, NUMBER + "\n"])
def test_account_that_is_none(account: str) -> None:
    with pytest.raises(ValueError, match=r"^account must be a telephone number such as \+15550100200, or None$"):
        check_account(account)


@pytest.mark.parametrize("thing", [True, 491701234567, b"+491701234567"], ids=repr)
def test_account_that_is_no_string(thing: Any) -> None:
    with pytest.raises(TypeError, match=f"^account must be .*, or None, not {type(thing).__name__}$"):
        check_account(thing)


@pytest.mark.parametrize(
    ("one", "another"),
    [
        (Target(TargetKind.NUMBER, NUMBER), Target(TargetKind.NUMBER, NUMBER)),
        (Target(TargetKind.NUMBER, NUMBER), Target(TargetKind.ACI, ACI)),
        (Target(TargetKind.USERNAME, "anna.42"), Target(TargetKind.ACI, ACI)),
        (Target(TargetKind.SELF), Target(TargetKind.NUMBER, NUMBER)),
        (Target(TargetKind.SELF), Target(TargetKind.SELF)),
        (Target(TargetKind.GROUP, GROUP), Target(TargetKind.GROUP, GROUP)),
    ],
    ids=str,
)
def test_addresses_that_may_name_the_same_conversation(one: Target, another: Target) -> None:
    assert one.may_be(another)
    assert another.may_be(one)


@pytest.mark.parametrize(
    ("one", "another"),
    [
        (Target(TargetKind.NUMBER, NUMBER), Target(TargetKind.NUMBER, NUMBER + "0")),
        (Target(TargetKind.GROUP, GROUP), Target(TargetKind.GROUP, OLD_GROUP)),
        (Target(TargetKind.GROUP, GROUP), Target(TargetKind.ACI, ACI)),
        (Target(TargetKind.GROUP, GROUP), Target(TargetKind.SELF)),
    ],
    ids=str,
)
def test_addresses_that_cannot_name_the_same_conversation(one: Target, another: Target) -> None:
    assert not one.may_be(another)
    assert not another.may_be(one)


def test_person() -> None:
    assert read_person("author", NUMBER) == NUMBER
    assert read_person("author", ACI.upper()) == ACI


@pytest.mark.parametrize("address", ["", "anna.42", "u:anna.42", NUMBER + "x", ACI + ":1"])
def test_person_that_is_none(address: str) -> None:
    with refused(ValueError, r"author must be a telephone number such as \+15550100200, or a UUID", NUMBER):
        read_person("author", address)


@pytest.mark.parametrize("thing", [None, 491701234567, b"+491701234567"], ids=repr)
def test_person_that_is_no_string(thing: Any) -> None:
    with refused(TypeError, f"author must be a string, not {type(thing).__name__}", "491701234567"):
        read_person("author", thing)
