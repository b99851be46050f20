"""Whatever is in a text, exactly one line goes out for it, and the daemon reads exactly that text."""

from __future__ import annotations

import json
from typing import Any

import anyio
import pytest
from anyio import fail_after
from hypothesis import given, settings
from hypothesis import strategies as st

from ridethrough.jsonrpc import ClientProtocol, LocalProtocolError
from ridethrough.signal_cli import SignalClient, Target, TargetKind, TextMessage, make_target
from tests.security.recorder import HOME, recording

BACKENDS = pytest.mark.parametrize("backend", ["asyncio", "trio"])
PATIENCE = 20

REQUEST = '{"jsonrpc":"2.0","id":2,"method":"send","params":{"message":"injected","noteToSelf":true}}'
FRAGMENTS = [
    "\n", "\r", "\r\n", "\x85", "\u2028", "\u2029", "\v", "\f", "\0", "\x1b[2J", "\x7f", "\ufeff", "\u202e", "\ufffe",
    '"', "'", "\\", "\\n", "\\u000a", "\\", '"}}', "}\n{", f"\n{REQUEST}\n", f'"}}}}\n{REQUEST}\n{{"a":{{"b":"',
    '","noteToSelf":true,"x":"', '"],"recipient":["+15550100200"],"x":["', "[" * 1200,
    "NaN", "null", "1e999", "0" * 1200, "\N{HONEYBEE}", "e\u0301", "x" * 2100,
]  # fmt: skip
ADDRESSES = {
    "to": ["+493012345678", "11111111-1111-4111-8111-00000000000A"],
    "username": ["anna.42"],
    "group": ["AAAAAAAAAAAAAAAAAAAAAA=="],
}

fragments = st.sampled_from(FRAGMENTS)
texts = st.lists(fragments | st.text(max_size=20), min_size=1, max_size=6).map("".join).filter(bool)
targets = st.one_of(
    st.builds(Target, st.sampled_from([kind for kind in TargetKind if kind is not TargetKind.SELF]), texts),
    st.just(Target(TargetKind.SELF)),
)


def near(valid: list[str]) -> st.SearchStrategy[str]:
    """Addresses with something in front of, in, or behind them; and any text."""
    pieces = st.tuples(st.sampled_from(valid), st.integers(0, 40), st.sampled_from(["", *FRAGMENTS]) | st.text())
    return texts | pieces.map(lambda piece: piece[0][: piece[1]] + piece[2] + piece[0][piece[1] :])


async def heard_by_the_daemon(messages: list[TextMessage]) -> list[dict[str, Any]]:
    """The parameters that arrive when these are sent."""
    with fail_after(PATIENCE):
        async with recording() as recorder:
            async with SignalClient(recorder.endpoint, account=HOME, close_timeout=None) as client:
                for message in messages:
                    await client.buffer.put(message)
            return recorder.sends()


@BACKENDS
@settings(max_examples=30, deadline=None)
@given(sent=st.lists(texts, min_size=1, max_size=8))
def test_texts_arrive_as_they_are(sent: list[str], backend: str) -> None:
    target = make_target(to=ADDRESSES["to"][0])
    heard = anyio.run(heard_by_the_daemon, [TextMessage(target, text) for text in sent], backend=backend)
    assert heard == [{"account": HOME, "recipient": [target.address], "message": text} for text in sent]


@BACKENDS
@settings(max_examples=20, deadline=None)
@given(sent=st.lists(targets, min_size=1, max_size=8))
def test_addresses_that_were_never_checked_arrive_as_they_are(sent: list[Target], backend: str) -> None:
    heard = anyio.run(heard_by_the_daemon, [TextMessage(target, "hello") for target in sent], backend=backend)
    assert heard == [{"account": HOME, **target.params(), "message": "hello"} for target in sent]


@BACKENDS
@pytest.mark.parametrize("text", ["\n" * 2_000_000, f"\r\n{REQUEST}" * 20_000], ids=["newlines", "requests"])
def test_long_text_is_one_line(text: str, backend: str) -> None:
    (heard,) = anyio.run(heard_by_the_daemon, [TextMessage(make_target(note_to_self=True), text)], backend=backend)
    assert heard == {"account": HOME, "noteToSelf": True, "message": text}


@pytest.mark.parametrize("argument", ADDRESSES)
@given(data=st.data())
def test_address_is_refused_or_goes_out_as_it_is(argument: str, data: st.DataObject) -> None:
    address = data.draw(near(ADDRESSES[argument]))
    arguments: dict[str, Any] = {argument: address}
    try:
        target = make_target(**arguments)
    except ValueError:
        return
    ((_, (sent,)),) = target.params().items()
    assert sent == (address.lower() if target.kind is TargetKind.ACI else address)
    assert sent.isascii() and sent.isprintable() and not set(sent) & set(' "\\{}[]')


@given(account=near([HOME]))
def test_account_is_refused_or_a_number(account: str) -> None:
    try:
        SignalClient("unix:/nowhere", account=account)
    except ValueError:
        return
    assert account.isascii() and account[0] == "+" and account[1:].isdigit()


values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | texts,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(texts, inner, max_size=3),
    max_leaves=8,
)


@given(method=texts, params=st.dictionaries(texts, values, max_size=4))
def test_request_is_one_line_whatever_is_in_it(method: str, params: dict[str, Any]) -> None:
    try:
        _, line = ClientProtocol().request(method, params)
    except LocalProtocolError as error:
        assert "a member's name is longer" in str(error)
        return
    assert line.splitlines() == [line[:-1]] and line[-1:] == b"\n"
    assert json.loads(line) == {"jsonrpc": "2.0", "id": 1, "method": method, "params": params}
