"""envelopes.py: whom to answer to, what an envelope's identity is, and what its parts show."""

from __future__ import annotations

import pytest

from ridethrough.signal_cli.envelopes import (
    Call,
    Content,
    Data,
    Deleted,
    Edit,
    Envelope,
    Group,
    Mark,
    Quoted,
    Reacted,
    Receipts,
    ReceivedAttachment,
    ReceivedPreview,
    Source,
    Story,
    Sync,
    Typing,
    Undecryptable,
    Unknown,
)
from ridethrough.signal_cli.messages import MessageId
from ridethrough.signal_cli.targets import make_target
from tests.unit.signal_cli.incoming import ADA, BEN, BEN_NUMBER, GROUP, OWN, SENT

CLUB = Group(GROUP, "The club")
TO_ADA, TO_BEN, TO_CLUB = make_target(to=ADA), make_target(to=BEN), make_target(group=GROUP)


def envelope(content: Content, source: Source = Source(ADA), account: str | None = OWN) -> Envelope:  # noqa: B008
    return Envelope(account, source, SENT, SENT + 10, content, {})


@pytest.mark.parametrize(
    "content",
    [
        Data(SENT),
        Edit(SENT - 1, Data(SENT)),
        Reacted("👍", None, SENT - 1),
        Deleted(SENT - 1),
        Receipts("read", (SENT - 1,), SENT),
        Typing(True),
        Story(),
        Call("offer"),
        Undecryptable("X"),
        Unknown(),
    ],
)
def test_answer_goes_to_who_sent_it(content: Content) -> None:
    assert envelope(content).target == TO_ADA
    assert envelope(content, Source(ADA, BEN_NUMBER)).target == TO_ADA
    assert envelope(content, Source(None, BEN_NUMBER)).target == make_target(to=BEN_NUMBER)
    assert envelope(content).message_id == MessageId(TO_ADA, ADA, SENT)


@pytest.mark.parametrize(
    "content",
    [
        Data(SENT, group=CLUB),
        Edit(SENT - 1, Data(SENT, group=CLUB)),
        Reacted("👍", None, SENT - 1, group=CLUB),
        Deleted(SENT - 1, CLUB),
        Typing(True, Group(GROUP)),
        Story(group=Group(GROUP)),
    ],
)
def test_answer_goes_to_the_group(content: Content) -> None:
    assert envelope(content).target == TO_CLUB
    assert envelope(content).message_id == MessageId(TO_CLUB, ADA, SENT)


def test_answer_to_what_one_has_sent_from_elsewhere_goes_where_that_went() -> None:
    assert envelope(Sync(Data(SENT), TO_BEN)).target == TO_BEN
    assert envelope(Sync(Data(SENT, group=CLUB))).target == TO_CLUB


def test_identity_of_ones_own_message_names_no_author() -> None:
    assert envelope(Sync(Data(SENT - 5), TO_BEN)).message_id == MessageId(TO_BEN, None, SENT - 5)
    assert envelope(Sync(Edit(SENT - 9, Data(SENT - 5)), TO_BEN)).message_id == MessageId(TO_BEN, None, SENT - 5)
    assert envelope(Data(SENT, group=CLUB), Source(ADA, OWN)).message_id == MessageId(TO_CLUB, None, SENT)


def test_nobody_is_oneself_whose_number_is_not_known() -> None:
    assert envelope(Data(SENT), Source(ADA), None).message_id == MessageId(TO_ADA, ADA, SENT)


@pytest.mark.parametrize("content", [Data(SENT), Unknown(), Receipts("delivery", (), SENT)])
def test_envelope_from_nobody_has_no_target_and_no_identity(content: Content) -> None:
    for wanted in ("target", "message_id"):
        with pytest.raises(ValueError, match="the envelope "):
            getattr(envelope(content, Source()), wanted)


def test_message_to_a_group_from_nobody_has_a_target_and_no_identity() -> None:
    assert envelope(Data(SENT, group=CLUB), Source()).target == TO_CLUB
    with pytest.raises(ValueError, match="the envelope does not tell whom it is from"):
        _ = envelope(Data(SENT, group=CLUB), Source()).message_id


@pytest.mark.parametrize("content", [Sync(), Sync(Data(SENT))])
def test_sync_to_nobody_has_no_target(content: Content) -> None:
    with pytest.raises(ValueError, match="the envelope names nobody to answer to"):
        _ = envelope(content).target


def test_envelope_without_a_time_has_no_identity() -> None:
    with pytest.raises(ValueError, match="timestamp must be"):
        _ = Envelope(OWN, Source(ADA), 0, 0, Unknown(), {}).message_id


def test_envelopes_can_be_compared_and_hashed() -> None:
    first, second = envelope(Data(SENT, "hello")), envelope(Data(SENT, "hello"))
    assert first == second and len({first, second}) == 1
    assert first != envelope(Data(SENT, "goodbye"))


# privacy

SECRET = "meet me at noon"
FILE = ReceivedAttachment("id", "image/png", SECRET, 1, 2, 3, SECRET)
MESSAGE = Data(
    SENT,
    SECRET,
    Group(GROUP, SECRET),
    Quoted(OWN, SENT, SECRET),
    (FILE,),
    previews=(ReceivedPreview(SECRET, SECRET, SECRET, FILE),),
)


@pytest.mark.parametrize(
    "content",
    [
        MESSAGE,
        Edit(SENT, MESSAGE),
        Sync(MESSAGE, make_target(to=OWN), (Mark(OWN, SENT),)),
        Reacted(SECRET, OWN, SENT, group=Group(GROUP, SECRET)),
        Story(SECRET, FILE),
        Undecryptable("X", SECRET),
    ],
)
def test_repr_shows_no_text_no_name_and_no_number(content: Content) -> None:
    shown = Envelope(OWN, Source(None, OWN, SECRET, 2), SENT, SENT, content, {"text": SECRET, "number": OWN})
    for text in (repr(content), repr(shown), str(shown)):
        assert SECRET not in text and OWN not in text


def test_repr_shows_what_it_is_from_whom_and_when() -> None:
    assert repr(envelope(Data(SENT))) == f"<Envelope Data by <Source 111…01> at {SENT}>"
    assert repr(Source(None, OWN, "Ada", 2)) == "<Source +15…11, device 2>"
    assert repr(Source()) == "<Source nobody known>"
