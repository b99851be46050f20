"""jsonrpc.py: bytes in, events out."""

from __future__ import annotations

import itertools
import json
import time
import traceback
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ridethrough.errors import RidethroughError
from ridethrough.jsonrpc import (
    MAX_DEPTH,
    MAX_DIGITS,
    MAX_NAME,
    MAX_STRING,
    ClientProtocol,
    Error,
    Event,
    LocalProtocolError,
    Notification,
    RemoteProtocolError,
    Result,
)

SECRET = "meet me at noon"


def answer(request_id: object, **members: Any) -> bytes:
    return json.dumps({"jsonrpc": "2.0", "id": request_id, **members}).encode() + b"\n"


def asked(count: int = 1, **options: Any) -> ClientProtocol:
    """A protocol with that many requests under way: their ids are 1 to count."""
    protocol = ClientProtocol(**options)
    for _ in range(count):
        protocol.request("version")
    return protocol


def receive(protocol: ClientProtocol, data: bytes) -> list[Event]:
    return list(protocol.receive_data(data))


# Requests


def test_request_is_one_line_of_json() -> None:
    request_id, line = ClientProtocol().request("send", {"message": "hi", "recipient": ["a", "b"]})
    assert line == (
        b'{"jsonrpc":"2.0","id":%d,"method":"send","params":{"message":"hi","recipient":["a","b"]}}\n' % request_id
    )


def test_request_without_params_has_none() -> None:
    assert b"params" not in ClientProtocol().request("version")[1]


def test_request_ids_are_used_once() -> None:
    protocol = ClientProtocol()
    ids = [protocol.request("version")[0] for _ in range(3)]
    receive(protocol, answer(ids[0], result=None))
    ids.append(protocol.request("version")[0])
    assert len(set(ids)) == 4


@pytest.mark.parametrize("text", ["a\nb", "a\r\nb", "a\u2028b\u2029c\x85d", "\0\x1f\x7f", "\U0001f600 é"])
def test_request_survives_any_text_on_one_line(text: str) -> None:
    _, line = ClientProtocol().request("send", {"message": text})
    assert line.count(b"\n") == 1 and line.endswith(b"\n")
    assert json.loads(line)["params"] == {"message": text}


def test_request_writes_text_as_utf8() -> None:
    assert "\U0001f600".encode() in ClientProtocol().request("send", {"message": "\U0001f600"})[1]


def nested(depth: int) -> list[Any]:
    value: list[Any] = []
    for _ in range(depth - 1):
        value = [value]
    return value


class Unknown:
    pass


def cyclic() -> list[Any]:
    value: list[Any] = []
    value.append(value)
    return value


@pytest.mark.parametrize(
    ("value", "problem"),
    [
        (SECRET + "\ud83d", "lone surrogate"),
        ({"\udc00": SECRET}, "lone surrogate"),
        (float("nan"), "not finite"),
        (float("-inf"), "not finite"),
        (10**MAX_DIGITS, "more than 1000 digits"),
        (-(10**MAX_DIGITS), "more than 1000 digits"),
        (SECRET.encode(), "no bytes"),
        ({SECRET}, "no set"),
        (Unknown(), "no Unknown"),
        ({5: SECRET}, "name must be a string, not int"),
        ({"x" * (MAX_NAME + 1): SECRET}, "member's name is longer than 50000"),
        ("x" * (MAX_STRING + 1), "string is longer than 20000000"),
        ("\U0001f600" * (MAX_STRING // 2) + "x", "string is longer than 20000000"),
        (nested(MAX_DEPTH - 1), "nested deeper than 1000"),
        (cyclic(), "nested deeper than 1000"),
    ],
    ids=lambda value: value if isinstance(value, str) and len(value) < 60 else type(value).__name__,
)
def test_request_that_cannot_be_sent(value: Any, problem: str) -> None:
    protocol = asked()
    with pytest.raises(LocalProtocolError, match=problem) as caught:
        protocol.request("send", {"message": [value]})
    assert SECRET not in "".join(traceback.format_exception(caught.value))
    assert caught.value.__cause__ is caught.value.__context__ is None
    assert protocol.request("version")[0] == 2, "it used an id up"
    with pytest.raises(RemoteProtocolError):
        receive(protocol, answer(3, result=None))


@pytest.mark.parametrize(
    "value",
    [
        "x" * MAX_STRING,
        "é" * MAX_STRING,
        "\U0001f600" * (MAX_STRING // 2),
        {"x" * MAX_NAME: 1, "\U0001f600" * (MAX_NAME // 2): 2},
        10**MAX_DIGITS - 1,
        -(10**MAX_DIGITS) + 1,
        [None, True, 1.5, "", {}, [], ["tuples become arrays"]],
    ],
    ids=lambda value: type(value).__name__,
)
def test_request_at_the_limits(value: Any) -> None:
    assert json.loads(ClientProtocol().request("send", {"message": value})[1])["params"]["message"] == value


def test_request_nested_as_deep_as_python_can_at_most() -> None:
    # 3.11 gives up somewhat under the daemon's limit, later ones do not: either way there is nothing else to see.
    protocol = ClientProtocol()
    try:
        _, line = protocol.request("send", {"message": nested(MAX_DEPTH - 2)})
    except LocalProtocolError as error:
        assert str(error) == "nested too deep"
        assert error.__context__ is None
    else:
        assert line.count(b"[") == MAX_DEPTH - 2


@pytest.mark.parametrize("method", ["", 5, None])
def test_request_method_is_a_string(method: Any) -> None:
    with pytest.raises(LocalProtocolError, match="method must be a string that is not empty"):
        ClientProtocol().request(method)


@pytest.mark.parametrize("params", [[], "x", 5])
def test_request_params_are_named(params: Any) -> None:
    with pytest.raises(LocalProtocolError, match="params must be a dict or None, not"):
        ClientProtocol().request("send", params)


# Events


def test_result_error_and_notification() -> None:
    events = receive(
        asked(3),
        answer(2, result={"version": "0.13.19"})
        + b'{"jsonrpc":"2.0","method":"receive","params":{"envelope":{}}}\n'
        + answer(1, error={"code": -1, "message": "no", "data": {"response": 5}})
        + b'{"jsonrpc":"2.0","method":"ping"}\r\n'
        + b'{"jsonrpc":"2.0","method":"ping","params":null}\n'
        + answer(3, error={"code": -32601, "message": "no"}),
    )
    assert events == [
        Result(2, {"version": "0.13.19"}),
        Notification("receive", {"envelope": {}}),
        Error(1, -1, "no", {"response": 5}),
        Notification("ping"),
        Notification("ping", {}),
        Error(3, -32601, "no", None),
    ]


def test_result_may_be_null() -> None:
    assert receive(asked(), answer(1, result=None)) == [Result(1, None)]


def test_error_without_id_is_an_event() -> None:
    # So the daemon answers what it cannot parse: -32700, "Empty input line" and such.
    assert receive(ClientProtocol(), answer(None, error={"code": -32700, "message": "?"})) == [Error(None, -32700, "?")]


def test_duplicate_members_are_fine() -> None:
    assert receive(asked(2), b'{"jsonrpc":"2.0","id":1,"id":2,"result":1,"result":2}\n') == [Result(2, 2)]


def test_events_show_no_contents() -> None:
    events = (Result(1, SECRET), Error(2, -1, SECRET, [SECRET]), Notification("receive", {"message": SECRET}))
    assert [repr(event) for event in events] == [
        "Result(id=1)",
        "Error(id=2, code=-1)",
        "Notification(method='receive')",
    ]


def test_repr_of_the_protocol_shows_state_and_counts() -> None:
    protocol = asked(2)
    receive(protocol, SECRET.encode())
    assert repr(protocol) == "<ClientProtocol open, 2 unanswered, 15 bytes of a line>"
    with pytest.raises(RemoteProtocolError):
        receive(protocol, b"\n")
    assert repr(protocol) == "<ClientProtocol broken, 2 unanswered, 0 bytes of a line>"
    protocol = ClientProtocol()
    protocol.receive_eof()
    assert repr(protocol) == "<ClientProtocol ended, 0 unanswered, 0 bytes of a line>"


# Forgotten requests


def test_late_answer_to_a_forgotten_request_is_dropped_once() -> None:
    protocol = asked(2)
    protocol.forget(1)
    protocol.forget(1)
    assert receive(protocol, answer(1, result=SECRET) + answer(2, result=5)) == [Result(2, 5)]
    with pytest.raises(RemoteProtocolError, match="no id that waits for one"):
        receive(protocol, answer(1, result=SECRET))


def test_forget_what_is_answered_changes_nothing() -> None:
    protocol = asked()
    receive(protocol, answer(1, result=5))
    protocol.forget(1)
    with pytest.raises(RemoteProtocolError, match="no id that waits for one"):
        receive(protocol, answer(1, result=5))


@pytest.mark.parametrize("request_id", [0, -1, 3])
def test_forget_what_was_never_asked(request_id: int) -> None:
    with pytest.raises(ValueError, match="request_id must be one that request"):
        asked(2).forget(request_id)


# What the other side may not send

GARBAGE = [
    (b"", "0 bytes is not JSON at character 0"),
    (b"\xef\xbb\xbf{}", "not JSON"),
    (b"noon", "not JSON at character 0"),
    (b'{"jsonrpc":"2.0","id":1,"result":5} noon', "not JSON at character 36"),
    (b'{"jsonrpc":"2.0","id":1,"result":"noon\xff"}', "not UTF-8 at byte 38"),
    (b'{"jsonrpc":"2.0","id":1,"result":"\xed\xa0\xbd"}', "not UTF-8"),
    ('{"jsonrpc":"2.0","id":1,"result":5}'.encode("utf-16"), "not UTF-8"),
    (b'{"jsonrpc":"2.0","id":1,"result":NaN}', "no number that"),
    (b'{"jsonrpc":"2.0","id":1,"result":-Infinity}', "no number that"),
    (b'{"jsonrpc":"2.0","id":1,"result":' + b"1" * 5000 + b"}", "no number that"),
    (b'{"jsonrpc":"2.0","id":1,"result":' + b"[" * 200_000 + b"]" * 200_000 + b"}", "nested too deep"),
    (b'[{"jsonrpc":"2.0","id":1,"result":5}]', "a list, not an object"),
    (b'"noon"', "a str, not an object"),
    (b"{}", 'not of "jsonrpc": "2.0"'),
    (b'{"jsonrpc":"1.0","id":1,"result":5}', 'not of "jsonrpc": "2.0"'),
    (b'{"jsonrpc":2.0,"id":1,"result":5}', 'not of "jsonrpc": "2.0"'),
    (b'{"jsonrpc":"2.0","id":1}', "neither method, result nor error"),
    (b'{"jsonrpc":"2.0","id":1,"result":null,"error":null}', "has result and error"),
    (b'{"jsonrpc":"2.0","id":1,"method":"noon","result":5}', "has method and result"),
    (b'{"jsonrpc":"2.0","id":1,"method":"noon"}', "a client answers none"),
    (b'{"jsonrpc":"2.0","method":["noon"]}', "method is not a string"),
    (b'{"jsonrpc":"2.0","method":"receive","params":["noon"]}', "params are not an object"),
    (b'{"jsonrpc":"2.0","result":"noon"}', "no id that waits"),
    (b'{"jsonrpc":"2.0","error":{"code":1,"message":"noon"}}', "no id that waits"),
    (b'{"jsonrpc":"2.0","id":null,"result":"noon"}', "no id that waits"),
    (b'{"jsonrpc":"2.0","id":2,"result":"noon"}', "no id that waits"),
    (b'{"jsonrpc":"2.0","id":0,"error":{"code":1,"message":"noon"}}', "no id that waits"),
    (b'{"jsonrpc":"2.0","id":"1","result":"noon"}', "no id that waits"),
    (b'{"jsonrpc":"2.0","id":true,"result":"noon"}', "no id that waits"),
    (b'{"jsonrpc":"2.0","id":1.0,"result":"noon"}', "no id that waits"),
    (b'{"jsonrpc":"2.0","id":["noon"],"result":"noon"}', "no id that waits"),
    (b'{"jsonrpc":"2.0","id":1,"error":"noon"}', "error is not an object"),
    (b'{"jsonrpc":"2.0","id":1,"error":{"code":"noon","message":"noon"}}', "no integer as its code"),
    (b'{"jsonrpc":"2.0","id":1,"error":{"code":true,"message":"noon"}}', "no integer as its code"),
    (b'{"jsonrpc":"2.0","id":1,"error":{"code":1}}', "no string as its message"),
    (b'{"jsonrpc":"2.0","id":1,"error":{"code":100000,"message":"noon"}}', "error's code is none"),
    (b'{"jsonrpc":"2.0","id":1,"error":{"code":-491701234567,"message":"noon"}}', "error's code is none"),
]


@pytest.mark.parametrize(("line", "problem"), GARBAGE, ids=[problem for _, problem in GARBAGE])
def test_garbage_breaks_the_connection_for_good(line: bytes, problem: str) -> None:
    protocol = asked()
    with pytest.raises(RemoteProtocolError, match=problem) as caught:
        receive(protocol, line + b"\n")
    assert "noon" not in "".join(traceback.format_exception(caught.value))
    assert caught.value.__cause__ is caught.value.__context__ is None
    with pytest.raises(RemoteProtocolError, match=problem) as again:
        protocol.receive_data(answer(1, result=5))
    assert again.value is not caught.value, "tracebacks would pile up in it"
    with pytest.raises(RemoteProtocolError, match=problem):
        protocol.receive_eof()
    with pytest.raises(LocalProtocolError, match="the connection has ended"):
        protocol.request("version")


def test_answered_id_is_not_answered_again() -> None:
    protocol = asked()
    receive(protocol, answer(1, result=5))
    with pytest.raises(RemoteProtocolError, match="no id that waits for one"):
        receive(protocol, answer(1, result=5))


def test_garbage_takes_no_answer_before_it_along() -> None:
    events = asked(2).receive_data(answer(1, result=5) + answer(2, result=6) + b"garbage\n")
    assert next(events) == Result(1, 5)
    assert next(events) == Result(2, 6)
    with pytest.raises(RemoteProtocolError):
        next(events)


def test_events_that_nobody_iterated_come_with_the_next_data() -> None:
    protocol = asked(2)
    protocol.receive_data(answer(1, result=5))
    assert receive(protocol, answer(2, result=6)) == [Result(1, 5), Result(2, 6)]


def test_iterator_of_a_broken_connection() -> None:
    protocol = asked()
    older = protocol.receive_data(answer(1, result=5) + b"garbage\n")
    with pytest.raises(RemoteProtocolError):
        list(protocol.receive_data(b""))
    with pytest.raises(RemoteProtocolError, match="not JSON"):
        next(older)


def test_errors_are_ridethrough_errors() -> None:
    assert issubclass(LocalProtocolError, RidethroughError)
    assert issubclass(RemoteProtocolError, RidethroughError)


# Lines


@pytest.mark.parametrize("max_line", [0, -1])
def test_max_line_is_at_least_1(max_line: int) -> None:
    with pytest.raises(ValueError, match="max_line must be an int of at least 1, not"):
        ClientProtocol(max_line=max_line)


@pytest.mark.parametrize("max_line", [True, 1.5, "5", None])
def test_max_line_is_an_int(max_line: Any) -> None:
    with pytest.raises(TypeError, match="max_line must be an int of at least 1, not"):
        ClientProtocol(max_line=max_line)


LINE = answer(1, result="x" * 100)[:-1]


def test_line_at_the_limit() -> None:
    assert len(receive(asked(max_line=len(LINE)), LINE + b"\n")) == 1


@pytest.mark.parametrize("data", [LINE, LINE + b"\n"], ids=["arriving", "whole"])
def test_line_over_the_limit(data: bytes) -> None:
    protocol = asked(max_line=len(LINE) - 1)
    with pytest.raises(RemoteProtocolError, match=f"a line is longer than max_line={len(LINE) - 1} bytes"):
        receive(protocol, data)
    assert repr(protocol).endswith(" 0 bytes of a line>"), "it keeps what it cannot use"


def test_flood_is_found_while_it_arrives() -> None:
    protocol = ClientProtocol(max_line=10_000)
    pieces = 0
    with pytest.raises(RemoteProtocolError, match="longer than max_line=10000"):
        while True:
            receive(protocol, b"x" * 1000)
            pieces += 1
    assert pieces == 10


def test_eof_between_lines() -> None:
    protocol = asked(2)
    receive(protocol, answer(1, result=5))
    protocol.receive_eof()
    protocol.receive_eof()
    with pytest.raises(LocalProtocolError, match="data after the end"):
        protocol.receive_data(answer(2, result=5))
    with pytest.raises(LocalProtocolError, match="the connection has ended"):
        protocol.request("version")


def test_eof_in_the_middle_of_a_line() -> None:
    protocol = asked()
    receive(protocol, answer(1, result=5)[:-1])
    with pytest.raises(RemoteProtocolError, match="in the middle of a line, after 40 bytes of it"):
        protocol.receive_eof()
    with pytest.raises(RemoteProtocolError, match="in the middle of a line"):
        protocol.receive_eof()


values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text() | st.floats(allow_nan=False, allow_infinity=False),
    lambda children: st.lists(children) | st.dictionaries(st.text(), children),
    max_leaves=5,
)
answers = st.builds(lambda request_id, value: answer(request_id, result=value), st.integers(1, 6), values)
lines = (
    answers | st.builds(lambda line: line.decode().encode(), answers) | st.sampled_from([b"\n", b"{}\n", b"x" * 300])
)


def outcome(data: bytes, cuts: list[int]) -> tuple[list[Event], str]:
    """All that there is to see of those bytes, cut there."""
    protocol = asked(5, max_line=250)
    protocol.forget(5)
    events: list[Event] = []
    edges = [0, *sorted(cuts), len(data)]
    try:
        for start, end in itertools.pairwise(edges):
            events.extend(protocol.receive_data(data[start:end]))
        protocol.receive_eof()
    except RemoteProtocolError as error:
        return events, str(error)
    return events, ""


@given(st.lists(lines, max_size=8).map(b"".join), st.data())
def test_any_split_gives_the_same_events(data: bytes, draw: st.DataObject) -> None:
    cuts = draw.draw(st.lists(st.integers(0, len(data)), max_size=20))
    some, whole, single = outcome(data, cuts), outcome(data, []), outcome(data, list(range(len(data))))
    assert some[1] == whole[1] == single[1]
    # An event before the error may be missing from the list that raised, never from the iterator.
    assert some[0] == whole[0] == single[0]


@given(st.dictionaries(st.text(), values))
def test_what_one_side_encodes_arrives_whole(params: dict[str, Any]) -> None:
    protocol = ClientProtocol()
    try:
        request_id, line = protocol.request("send", params)
    except LocalProtocolError as error:
        assert "surrogate" in str(error)
        return
    echoed = line.replace(b'"method":"send","params":', b'"result":', 1)
    assert receive(protocol, echoed) == [Result(request_id, params)]


@given(st.binary(max_size=300))
def test_any_bytes_give_events_or_a_protocol_error(data: bytes) -> None:
    outcome(data, [])


def test_long_line_in_small_pieces_is_searched_once() -> None:
    # Searching it anew for each piece would look at 10**12 bytes: minutes, where this takes about a second.
    protocol = asked()
    line = answer(1, result="x" * 1_400_000)
    start = time.process_time()
    events = [event for at in range(len(line)) for event in protocol.receive_data(line[at : at + 1])]
    assert len(events) == 1
    assert time.process_time() - start < 15
