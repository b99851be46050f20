"""Messages of every kind, with every field, and what is kept of them in version 1 of the format."""

from __future__ import annotations

from typing import Any

from ridethrough.signal_cli.content import Attachment, LinkPreview, Mention, Quote, Sticker, Style, StyleKind
from ridethrough.signal_cli.messages import (
    ExpirationTimer,
    MessageId,
    Reaction,
    Receipt,
    ReceiptKind,
    RemoteDelete,
    SignalMessage,
    TextMessage,
)
from ridethrough.signal_cli.targets import Target, TargetKind, make_target
from tests.unit.signal_cli.refusing import ACI, NUMBER, SECRET

SELF = Target(TargetKind.SELF)
PERSON = make_target(to=NUMBER)
GROUP = make_target(group="AAAAAAAAAAAAAAAAAAAAAA==")
WHEN = 1_700_000_000_000
OURS, THEIRS = MessageId(PERSON, None, WHEN), MessageId(PERSON, ACI, WHEN)
THUMB = "\U0001f44d"
URL = "https://example.org/"
SECRETS = [SECRET, NUMBER, NUMBER.removeprefix("+"), ACI]

TO = '"target":{"to":"+491701234567"}'
OURS_KEPT = f'{{{TO},"author":null,"timestamp":1700000000000}}'
THEIRS_KEPT = f'{{{TO},"author":"{ACI}","timestamp":1700000000000}}'
GOLDEN: list[tuple[SignalMessage, str, str, dict[str, Any]]] = [
    (
        TextMessage(PERSON, "Gr\u00fc\u00dfe"),
        "text",
        f'{TO},"text":"Gr\u00fc\u00dfe"',
        {"to": NUMBER, "text": "Gr\u00fc\u00dfe"},
    ),
    (
        TextMessage(make_target(to=ACI), "hi"),
        "text",
        f'"target":{{"to":"{ACI}"}},"text":"hi"',
        {"to": ACI, "text": "hi"},
    ),
    (
        TextMessage(make_target(username="anna.42"), "hi"),
        "text",
        '"target":{"username":"anna.42"},"text":"hi"',
        {"to": "anna.42", "text": "hi"},
    ),
    (
        TextMessage(GROUP, "hi"),
        "text",
        '"target":{"group":"AAAAAAAAAAAAAAAAAAAAAA=="},"text":"hi"',
        {"to": GROUP.address, "text": "hi"},
    ),
    (
        TextMessage(SELF, "hi"),
        "text",
        '"target":{"note_to_self":true},"text":"hi"',
        {"to": "note to self", "text": "hi"},
    ),
    (
        TextMessage(
            PERSON,
            f"@ {URL}",
            (Attachment(b"hello", "a.txt", "text/plain"), Attachment(b"\xff")),
            (Mention(0, 1, ACI),),
            (Style(0, 2, StyleKind.BOLD),),
            Quote(THEIRS, "what?", (Mention(0, 1, NUMBER),), (Style(4, 1, StyleKind.SPOILER),)),
            LinkPreview(URL, "Title", "of it", Attachment(path="/pictures/holiday.png", size=5000)),
            edits=OURS,
        ),
        "text",
        (
            f'{TO},"text":"@ {URL}",'
            '"attachments":[{"data":"aGVsbG8=","name":"a.txt","mime_type":"text/plain","size":5},{"data":"/w==","size":1}],'
            f'"mentions":[{{"start":0,"length":1,"person":"{ACI}"}}],"styles":[{{"start":0,"length":2,"kind":"BOLD"}}],'
            f'"quote":{{"of":{THEIRS_KEPT},"text":"what?",'
            f'"mentions":[{{"start":0,"length":1,"person":"{NUMBER}"}}],"styles":[{{"start":4,"length":1,"kind":"SPOILER"}}]}},'
            f'"preview":{{"url":"{URL}","title":"Title","description":"of it",'
            '"image":{"path":"/pictures/holiday.png","size":5000}},'
            f'"edits":{OURS_KEPT}'
        ),
        {"to": NUMBER, "text": f"@ {URL}", "attachments": 2, "quote": WHEN, "edits": WHEN},
    ),
    (
        TextMessage(PERSON, sticker=Sticker("0aff", 7), story=THEIRS),
        "text",
        f'{TO},"sticker":{{"pack_id":"0aff","number":7}},"story":{THEIRS_KEPT}',
        {"to": NUMBER, "story": WHEN},
    ),
    (
        TextMessage(PERSON, attachments=(Attachment(b"x"),), view_once=True),
        "text",
        f'{TO},"attachments":[{{"data":"eA==","size":1}}],"view_once":true',
        {"to": NUMBER, "attachments": 1},
    ),
    (
        Reaction(PERSON, THUMB, THEIRS, remove=True),
        "reaction",
        f'{TO},"emoji":"{THUMB}","about":{THEIRS_KEPT},"remove":true',
        {"to": NUMBER, "text": THUMB, "about": WHEN},
    ),
    (RemoteDelete(PERSON, OURS), "delete", f'{TO},"about":{OURS_KEPT}', {"to": NUMBER, "about": WHEN}),
    (
        Receipt(PERSON, ReceiptKind.VIEWED, (WHEN, WHEN + 1)),
        "receipt",
        f'{TO},"kind":"viewed","timestamps":[1700000000000,1700000000001]',
        {"to": NUMBER, "about": [WHEN, WHEN + 1]},
    ),
    (ExpirationTimer(PERSON, 3600), "expiration", f'{TO},"seconds":3600', {"to": NUMBER, "seconds": 3600}),
]
"""A message, its kind, its fields in JSON, and what a list shows of it beside the kind, if it is not empty or 0."""


def kept(kind: str, fields: str) -> bytes:
    """The bytes of a message of that kind with these fields, in JSON."""
    return f'{{"version":1,"kind":"{kind}","fields":{{{fields}}}}}'.encode()
