"""Whatever is in a message, exactly one line goes out for it, and the daemon reads exactly that message."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

import anyio
import pytest
from anyio import fail_after
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from ridethrough.jsonrpc import ClientProtocol, LocalProtocolError
from ridethrough.signal_cli import SignalClient, Target, TargetKind, TextMessage, make_target
from ridethrough.signal_cli.messages import SignalMessage
from tests.security.hostile import FRAGMENTS, REQUEST, messages, targets, texts
from tests.security.recorder import HOME, recording

BACKENDS = pytest.mark.parametrize("backend", ["asyncio", "trio"])
PATIENCE = 20

ADDRESSES = {
    "to": ["+493012345678", "11111111-1111-4111-8111-00000000000A"],
    "username": ["anna.42"],
    "group": ["AAAAAAAAAAAAAAAAAAAAAA=="],
}


def near(valid: list[str]) -> st.SearchStrategy[str]:
    """Addresses with something in front of, in, or behind them; and any text."""
    pieces = st.tuples(st.sampled_from(valid), st.integers(0, 40), st.sampled_from(["", *FRAGMENTS]) | st.text())
    return texts | pieces.map(lambda piece: piece[0][: piece[1]] + piece[2] + piece[0][piece[1] :])


async def heard_by_the_daemon(messages: Sequence[SignalMessage]) -> list[tuple[str, dict[str, Any]]]:
    """The methods and parameters that arrive when these are sent."""
    with fail_after(PATIENCE):
        async with recording() as recorder:
            async with SignalClient(recorder.endpoint, account=HOME, close_timeout=None) as client:
                for message in messages:
                    await client.buffer.put(message)
            return recorder.requests()


@BACKENDS
@settings(max_examples=30, deadline=None)
@given(sent=st.lists(texts, min_size=1, max_size=8))
def test_texts_arrive_as_they_are(sent: list[str], backend: str) -> None:
    target = make_target(to=ADDRESSES["to"][0])
    heard = anyio.run(heard_by_the_daemon, [TextMessage(target, text) for text in sent], backend=backend)
    expected = {"account": HOME, "recipient": [target.address]}
    assert heard == [("send", {**expected, "message": text}) for text in sent]


@BACKENDS
@settings(max_examples=20, deadline=None)
@given(sent=st.lists(targets, min_size=1, max_size=8))
def test_addresses_that_were_never_checked_arrive_as_they_are(sent: list[Target], backend: str) -> None:
    heard = anyio.run(heard_by_the_daemon, [TextMessage(target, "hello") for target in sent], backend=backend)
    assert heard == [("send", {"account": HOME, **target.params(), "message": "hello"}) for target in sent]


@BACKENDS
@settings(max_examples=20, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(sent=st.lists(messages, min_size=1, max_size=4))
def test_messages_of_every_kind_arrive_as_they_are(sent: list[SignalMessage], backend: str) -> None:
    heard = anyio.run(heard_by_the_daemon, sent, backend=backend)
    expected = [message.request(HOME) for message in sent]
    assert heard == [(method, {"account": HOME, **params}) for method, params in expected]


TARGETS = {"recipient", "groupId", "username", "noteToSelf"}
PARAMS = {
    "send": {
        "message", "attachment", "mention", "textStyle", "quoteTimestamp", "quoteAuthor", "quoteMessage",
        "quoteMention", "quoteTextStyle", "previewUrl", "previewTitle", "previewDescription", "previewImage",
        "sticker", "viewOnce", "editTimestamp", "storyTimestamp", "storyAuthor",
    },
    "sendReaction": {"emoji", "targetAuthor", "targetTimestamp", "remove"},
    "remoteDelete": {"targetTimestamp"},
    "sendReceipt": {"targetTimestamp", "type"},
    "updateContact": {"expiration"},
    "updateGroup": {"expiration"},
}  # fmt: skip


@settings(suppress_health_check=[HealthCheck.too_slow])
@given(message=messages)
def test_no_field_makes_another_parameter_or_address(message: SignalMessage) -> None:
    method, params = message.request(HOME)
    assert params.keys() <= PARAMS[method] | TARGETS
    address = {name: params[name] for name in params.keys() & TARGETS}
    if method in ("send", "sendReaction", "remoteDelete"):
        assert address == message.target.params()
    else:
        ((name, value),) = address.items()
        prefix = "u:" if message.target.kind is TargetKind.USERNAME else ""
        assert name == ("groupId" if message.target.kind is TargetKind.GROUP else "recipient")
        assert value == (f"{prefix}{message.target.address}" if message.target.address else HOME)


@given(message=messages.filter(lambda message: isinstance(message, TextMessage)))
@settings(suppress_health_check=[HealthCheck.too_slow])
def test_no_field_of_a_text_spills_into_another(message: TextMessage) -> None:
    _, params = message.request(HOME)
    assert params["message"] == message.text
    assert [param.split(":", 2)[2] for param in params.get("mention", [])] == [each.person for each in message.mentions]
    assert [param.split(":")[2] for param in params.get("textStyle", [])] == [each.kind for each in message.styles]
    assert len(params.get("attachment", [])) == len(message.attachments)
    for param, attachment in zip(params.get("attachment", []), message.attachments, strict=True):
        head = param.split(",")[0]
        assert param == attachment.path or head.count(";") == 1 + (attachment.name is not None)
    if message.quote is not None:
        assert params["quoteMessage"] == message.quote.text
    if message.preview is not None:
        sent = [params.get(f"preview{name}", "") for name in ("Url", "Title", "Description")]
        assert sent == [message.preview.url, message.preview.title, message.preview.description]


@BACKENDS
@pytest.mark.parametrize("text", ["\n" * 2_000_000, f"\r\n{REQUEST}" * 20_000], ids=["newlines", "requests"])
def test_long_text_is_one_line(text: str, backend: str) -> None:
    (heard,) = anyio.run(heard_by_the_daemon, [TextMessage(make_target(note_to_self=True), text)], backend=backend)
    assert heard == ("send", {"account": HOME, "noteToSelf": True, "message": text})


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
