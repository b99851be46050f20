"""What signal-cli 0.13.19 answers to what else there is to send and to ask: more of the table in answers.py."""

from __future__ import annotations

from typing import Any

from ridethrough.testing import Failure
from tests.answers import (
    ANNA,
    BAD_GROUP,
    BERT,
    CAST,
    CLARA,
    DAN,
    EMPTY,
    FRIENDS,
    GROUP,
    NO_ACCOUNT,
    NO_GROUP,
    NO_TARGET,
    NUMBER,
    OTHER_NUMBER,
    TIMESTAMP,
    UPLOAD_FAILED,
    Case,
    Like,
    error,
    failed,
    outcome,
    rate_limited,
    result,
    sent,
)
from tests.talk import request, send

THEN = 1_700_000_000_000
"""The timestamp of a message that nobody has sent."""
DATA = "data:text/plain;filename=a%20b.txt;base64,aGk="
NO_FILE = "/nowhere/at/all"

NOT_REACHED = "(Closed unexpectedly|Write failed!|No connection!)"
"""What the daemon says of the service when it is away."""

MISSING = error(-32603, Like(r".*\(NullPointerException\)"))
NOT_REGISTERED = error(-1, f"The user {OTHER_NUMBER} is not registered.")
NO_NUMBER = error(-1, "Invalid phone number 'anna': No valid characters found.")
BAD_FILE = error(
    -32603, Like(r"Failed to send message: (.+): \1 .*\(AttachmentInvalidException\) \(UnexpectedErrorException\)")
)
BAD_MENTION = error(-1, "Invalid mention syntax (x) expected 'start:length:recipientNumber'")
BAD_STYLE = error(-1, "Invalid textStyle syntax (x) expected 'start:length:STYLE'")
BAD_STICKER = error(-1, Like(r"Invalid sticker syntax \(.*\) expected 'stickerPackId:stickerId'"))
NO_STICKER = error(-1, "Failed to send sticker: Sticker pack not found")
NO_TRUST = error(-1, "Failed to set the trust for this number, make sure the number is correct.")
WRONG_NUMBER = error(
    -1,
    "Failed to set the trust for this number, make sure the number and the fingerprint/safety number are correct.",
)
DONE = result({})
FROM_ANNA = sent(outcome(ANNA))
AWAY = failed(outcome(ANNA, "NETWORK_FAILURE"))

UNREACHED = Failure("NETWORK_FAILURE")
LIMITED = Failure("RATE_LIMIT_FAILURE")


def hello(**params: Any) -> dict[str, Any]:
    """A request to send ANNA a text and more."""
    return send("hello", ANNA, **params)


def react(**params: Any) -> dict[str, Any]:
    """A request to react to a message."""
    return request("sendReaction", **{"emoji": "👍", "targetAuthor": BERT, "targetTimestamp": THEN} | params)


def delete(**params: Any) -> dict[str, Any]:
    """A request to delete a message."""
    return request("remoteDelete", **{"targetTimestamp": THEN} | params)


def receipt(**params: Any) -> dict[str, Any]:
    """A request to tell ANNA that a message was read."""
    return request("sendReceipt", **{"recipient": ANNA, "targetTimestamp": [THEN]} | params)


def timer(**params: Any) -> dict[str, Any]:
    """A request to have messages to ANNA expire."""
    return request("updateContact", **{"recipient": ANNA, "expiration": 60} | params)


def friends(kind: str = "SUCCESS", other: str | None = None, **more: Any) -> list[dict[str, Any]]:
    """What became of a message for ANNA and for BERT, who are FRIENDS."""
    return [outcome(ANNA, kind, **more, groupId=FRIENDS), outcome(BERT, other or kind, groupId=FRIENDS)]


def updated(kind: str = "SUCCESS") -> dict[str, Any]:
    """The answer to a request to update FRIENDS."""
    return result({"timestamp": TIMESTAMP, "results": [outcome(ANNA, kind), outcome(BERT, kind)]})


def broke(what: str) -> dict[str, Any]:
    """The answer if the service refuses a message for one member of a group."""
    why = rf"Failed to send message: org\.whispersystems\.[a-z.]+\.{what} \(IOException\) \(UnexpectedErrorException\)"
    return error(-32603, Like(why))


BROKE = broke(r"NonSuccessfulResponseCodeException: \[503\] Bad response: 503 -: ")


def to_anna(line: dict[str, Any]) -> Case:
    """A message that reaches her."""
    return Case((line,), (FROM_ANNA,), arrivals=(ANNA,))


def refused(line: dict[str, Any], answer: dict[str, Any], **conditions: Any) -> Case:
    """A message that reaches nobody."""
    return Case((line,), (answer,), **conditions)


def no_devices(why: str | Like) -> tuple[dict[str, Any]]:
    return (error(-3, why),)


CASES = {
    # Groups
    "group": Case((send("hi", groupId=FRIENDS),), (sent(*friends()),), arrivals=(FRIENDS,)),
    "group and somebody in it": Case(
        (send("hi", ANNA, groupId=[FRIENDS]),), (sent(outcome(ANNA), *friends()),), arrivals=(ANNA, FRIENDS)
    ),
    "group, partial success": Case(
        (send("hi", groupId=FRIENDS),),
        (sent(*friends("SUCCESS", "RATE_LIMIT_FAILURE")),),
        arrivals=(FRIENDS,),
        failing={BERT: LIMITED},
    ),
    "group, somebody has left Signal": Case(
        (send("hi", groupId=FRIENDS),),
        (sent(*friends("SUCCESS", "UNREGISTERED_FAILURE")),),
        arrivals=(FRIENDS,),
        failing={BERT: Failure("UNREGISTERED_FAILURE")},
    ),
    "group, rate limit": refused(
        send("hi", groupId=FRIENDS),
        rate_limited(*friends("RATE_LIMIT_FAILURE")),
        failing={ANNA: LIMITED, BERT: LIMITED},
    ),
    "group, service breaks for one": Case(
        (send("hi", groupId=FRIENDS),), (BROKE,), arrivals=(FRIENDS,), failing={BERT: UNREACHED}
    ),
    "group, account refused": refused(
        send("hi", groupId=FRIENDS),
        broke(r"AuthorizationFailedException: \[403\] Authorization failed!"),
        status=403,
    ),
    "group, away": refused(send("hi", groupId=FRIENDS), failed(*friends("NETWORK_FAILURE")), reachable=False),
    # Parts of a text message
    "mention": to_anna(hello(mention=f"0:1:{BERT}")),
    "mention outside the text": to_anna(hello(mention=[f"7:9:{BERT}"])),
    "mention with a mistake": refused(hello(mention="x"), BAD_MENTION),
    "mention of no number": refused(hello(mention="0:1:anna"), NO_NUMBER),
    "mention too long": refused(
        hello(mention=f"0:99999999999:{BERT}"), error(-32603, 'For input string: "99999999999" (NumberFormatException)')
    ),
    "away, mention of an unknown number": refused(
        hello(mention=f"0:1:{OTHER_NUMBER}"), NOT_REGISTERED, reachable=False
    ),
    "styles": to_anna(
        hello(textStyle=[f"0:1:{style}" for style in ("BOLD", "ITALIC", "SPOILER", "STRIKETHROUGH", "MONOSPACE")])
    ),
    "style in small letters": refused(hello(textStyle="0:1:bold"), error(-1, "Invalid style: bold")),
    "style with a mistake": refused(hello(textStyle="x"), BAD_STYLE),
    "quote": to_anna(hello(quoteTimestamp=THEN, quoteAuthor=BERT, quoteMessage="well")),
    "quote without a text": to_anna(request("send", recipient=ANNA, quoteTimestamp=THEN, quoteAuthor=BERT)),
    "quote without a timestamp": to_anna(hello(quoteAuthor=BERT)),
    "quote without an author": refused(hello(quoteTimestamp=THEN), error(-1, "Quote author parameter is missing")),
    "quote of no number": refused(hello(quoteTimestamp=THEN, quoteAuthor="anna"), NO_NUMBER),
    "quote of a small timestamp": refused(hello(quoteTimestamp=2**31 - 1, quoteAuthor=BERT), CAST),
    "quote with a mistaken mention": refused(
        hello(quoteTimestamp=THEN, quoteAuthor=BERT, quoteMention="x"), BAD_MENTION
    ),
    "quote with a mistaken style": refused(hello(quoteTimestamp=THEN, quoteAuthor=BERT, quoteTextStyle="x"), BAD_STYLE),
    "edit": to_anna(hello(editTimestamp=THEN)),
    "edit of a small timestamp": refused(hello(editTimestamp=5), CAST),
    "edit without a text": refused(request("send", recipient=ANNA, editTimestamp=THEN), EMPTY),
    "edit in a group": Case(
        (send("hi", groupId=FRIENDS, editTimestamp=THEN),), (sent(*friends()),), arrivals=(FRIENDS,)
    ),
    "story": to_anna(hello(storyTimestamp=THEN, storyAuthor=BERT)),
    "story without an author": refused(hello(storyTimestamp=THEN), MISSING),
    "story of a small timestamp": refused(hello(storyTimestamp=5, storyAuthor=BERT), CAST),
    "preview": to_anna(hello(previewUrl="https://signal.org", previewTitle="Signal")),
    "preview with an image": to_anna(hello(previewUrl="https://signal.org", previewTitle="Signal", previewImage=DATA)),
    "preview with no image": refused(hello(previewUrl="https://signal.org", previewImage=NO_FILE), BAD_FILE),
    "image without a preview": to_anna(hello(previewImage=NO_FILE)),
    "away, preview with an image": refused(
        hello(previewUrl="https://signal.org", previewImage=DATA), UPLOAD_FAILED, reachable=False
    ),
    "sticker of an unknown pack": refused(request("send", recipient=ANNA, sticker="aabb:1"), NO_STICKER),
    "sticker in capitals": refused(request("send", recipient=ANNA, sticker="AABB:1"), BAD_STICKER),
    "sticker of an odd pack": refused(request("send", recipient=ANNA, sticker="aab:1"), BAD_STICKER),
    "sticker for nobody": refused(request("send", sticker="x"), NO_TARGET),
    "view once": to_anna(request("send", recipient=ANNA, attachment=[DATA], viewOnce=True)),
    "view once, text": to_anna(hello(viewOnce=True)),
    "view once no boolean": refused(hello(viewOnce="true"), CAST),
    # What is uploaded
    "attachment": to_anna(request("send", recipient=ANNA, attachment=DATA)),
    "attachment of text": to_anna(request("send", recipient=ANNA, attachment=["data:text/plain,hi"])),
    "attachment by path": to_anna(hello(attachment=[__file__])),
    "attachment that is not there": refused(hello(attachment=[DATA, NO_FILE]), BAD_FILE),
    "attachment that is no data": refused(hello(attachment="data:text/plain;base64,!!!"), BAD_FILE),
    "attachment without data": refused(hello(attachment="data:text/plain"), BAD_FILE),
    "attachment no text": refused(hello(attachment=[5]), CAST),
    "no attachment": refused(request("send", recipient=ANNA, attachment=[]), EMPTY),
    "long text": to_anna(send("e" * 2001, ANNA)),
    "attachment to an unknown group": refused(request("send", groupId=GROUP, attachment=NO_FILE), BAD_FILE),
    "away, attachment that is not there": refused(hello(attachment=NO_FILE), UPLOAD_FAILED, reachable=False),
    "refused, attachment": refused(
        hello(attachment=DATA),
        error(
            -32603,
            "Failed to send message: [403] Authorization failed! "
            "(AuthorizationFailedException) (UnexpectedErrorException)",
        ),
        status=403,
    ),
    "rate limit, attachment": refused(
        hello(attachment=DATA),
        error(-32603, "Failed to send message: [429] Rate Limited (RateLimitException) (UnexpectedErrorException)"),
        status=429,
    ),
    "service breaks, attachment": refused(
        hello(attachment=DATA),
        error(-32603, "Failed to send message: [503]  (NonSuccessfulResponseCodeException) (UnexpectedErrorException)"),
        status=503,
    ),
    # Reactions
    "reaction": to_anna(react(recipient=ANNA)),
    "reaction taken back": to_anna(react(recipient=[ANNA], emoji="", remove=True)),
    "reaction to the oldest message": to_anna(react(recipient=ANNA, targetTimestamp=2**31)),
    "reaction to a small timestamp": refused(react(recipient=ANNA, targetTimestamp=2**31 - 1), CAST),
    "reaction to a text for a timestamp": refused(react(recipient=ANNA, targetTimestamp=str(THEN)), CAST),
    "reaction to a decimal timestamp": refused(react(recipient=ANNA, targetTimestamp=float(THEN)), CAST),
    "reaction to a huge timestamp": refused(react(recipient=ANNA, targetTimestamp=2**63), CAST),
    "reaction to no timestamp": refused(react(recipient=ANNA, targetTimestamp=None), MISSING),
    "reaction to no author": to_anna(react(recipient=ANNA, targetAuthor=None)),
    "reaction of nothing": refused(react(recipient=ANNA, emoji=None), MISSING),
    "reaction to no number": refused(react(recipient=ANNA, targetAuthor="anna"), NO_NUMBER),
    "reaction no boolean": refused(react(recipient=ANNA, remove="true"), CAST),
    "reaction to nobody": refused(react(), NO_TARGET),
    "reaction to an unknown group": refused(react(groupId=GROUP), NO_GROUP),
    "reaction in a group": Case((react(groupId=FRIENDS),), (sent(*friends()),), arrivals=(FRIENDS,)),
    "reaction to oneself": refused(react(noteToSelf=True), sent(outcome(NUMBER))),
    "reaction to one's own number": refused(react(recipient=NUMBER, notifySelf=True), sent(outcome(NUMBER))),
    "reaction of an unknown account": refused(react(recipient=ANNA, account=OTHER_NUMBER), NO_ACCOUNT),
    "reaction, rate limit": refused(
        react(recipient=BERT), rate_limited(outcome(BERT, "RATE_LIMIT_FAILURE")), failing={BERT: LIMITED}
    ),
    "reaction, service breaks for one of a group": Case(
        (react(groupId=FRIENDS),), (BROKE,), arrivals=(FRIENDS,), failing={BERT: UNREACHED}
    ),
    "away, reaction": refused(react(recipient=ANNA), AWAY, reachable=False),
    "away, reaction to an unknown number": refused(
        react(recipient=ANNA, targetAuthor=OTHER_NUMBER), NOT_REGISTERED, reachable=False
    ),
    "away, reaction to oneself": refused(react(noteToSelf=True), sent(outcome(NUMBER)), reachable=False),
    # Deletions
    "deletion": Case((delete(recipient=[ANNA, BERT]),), (sent(outcome(ANNA), outcome(BERT)),), arrivals=(ANNA, BERT)),
    "deletion in a group": Case((delete(groupId=FRIENDS),), (sent(*friends()),), arrivals=(FRIENDS,)),
    "deletion of a note to self": refused(delete(noteToSelf=True), sent(outcome(NUMBER))),
    "deletion of a small timestamp": refused(delete(recipient=ANNA, targetTimestamp=7), CAST),
    "deletion of no timestamp": refused(delete(recipient=ANNA, targetTimestamp=None), MISSING),
    "deletion for nobody": refused(delete(), NO_TARGET),
    "deletion in an unknown group": refused(delete(groupId=GROUP), NO_GROUP),
    "away, deletion": refused(delete(recipient=ANNA), AWAY, reachable=False),
    # Receipts
    "receipt": to_anna(receipt()),
    "receipt for one": to_anna(receipt(targetTimestamp=THEN)),
    "receipt for none": to_anna(receipt(targetTimestamp=[])),
    "receipt, plural name": to_anna(receipt(targetTimestamp=None, targetTimestamps=[THEN])),
    "receipt, viewed": to_anna(receipt(targetTimestamp=[THEN, THEN + 1], type="viewed")),
    "receipt of no kind": refused(receipt(type="x"), error(-1, "Unknown receipt type: x")),
    "receipt for a small timestamp": Case((receipt(targetTimestamp=[THEN, 5]),), (CAST,), arrivals=(ANNA,)),
    "receipt for a text": refused(receipt(targetTimestamp=[str(THEN)]), CAST),
    "receipt for no timestamp": refused(receipt(targetTimestamp=None), MISSING),
    "receipt for nobody": refused(receipt(recipient=None), MISSING),
    "receipt for no number": refused(receipt(recipient="anna"), NO_NUMBER),
    "receipt, rate limit": refused(
        receipt(recipient=BERT), rate_limited(outcome(BERT, "RATE_LIMIT_FAILURE")), failing={BERT: LIMITED}
    ),
    "away, receipt": refused(receipt(), AWAY, reachable=False),
    "away, receipt for oneself": refused(
        receipt(recipient=NUMBER), failed(outcome(NUMBER, "NETWORK_FAILURE")), reachable=False
    ),
    "away, receipt for a list": refused(  # of which it takes the digits for a telephone number
        receipt(recipient=["1-555-000-9999"]),
        failed(outcome("+15550009999", "UNREGISTERED_FAILURE")),
        reachable=False,
    ),
    # Typing
    "typing in a group": Case((request("sendTyping", groupId=FRIENDS),), (sent(*friends()),), arrivals=(FRIENDS,)),
    "typing no more in a group": Case(
        (request("sendTyping", groupId=FRIENDS, stop=True),), (sent(*friends()),), arrivals=(FRIENDS,)
    ),
    "typing in an unknown group": refused(
        request("sendTyping", groupId=GROUP), error(-1, f"Failed to send to group: Group not found: {GROUP}")
    ),
    "typing to nobody": refused(request("sendTyping"), NO_TARGET),
    "typing to oneself": refused(request("sendTyping", noteToSelf=True), NO_TARGET),
    "typing, service breaks for one of a group": Case(
        (request("sendTyping", groupId=FRIENDS),),
        (error(-1, Like(r"Failed to send message: .*\[503\] Bad response: 503 -:  \(IOException\)")),),
        arrivals=(FRIENDS,),
        failing={BERT: UNREACHED},
    ),
    "away, typing": refused(request("sendTyping", recipient=ANNA), AWAY, reachable=False),
    "away, typing in a group": refused(
        request("sendTyping", groupId=FRIENDS), failed(*friends("NETWORK_FAILURE")), reachable=False
    ),
    # Expiration timers
    "timer": Case((timer(),), (DONE,), arrivals=(ANNA,)),
    "timer off": Case((timer(expiration=0),), (DONE,), arrivals=(ANNA,)),
    "timer of nothing": refused(timer(expiration=None), DONE),
    "timer, text": refused(timer(expiration="60"), CAST),
    "timer too long": refused(timer(expiration=2**31), CAST),
    "timer for nobody": refused(timer(recipient=None), MISSING),
    "timer for no number": refused(timer(recipient="anna"), NO_NUMBER),
    "timer, rate limit": refused(timer(), DONE, failing={ANNA: LIMITED}),
    "away, timer": refused(timer(), DONE, reachable=False),
    "away, timer for an unknown number": refused(timer(recipient=OTHER_NUMBER), NOT_REGISTERED, reachable=False),
    "timer of a group": Case(
        (request("updateGroup", groupId=FRIENDS, expiration=60),), (updated(),), arrivals=(FRIENDS,)
    ),
    "timer of a group, rate limit": refused(
        request("updateGroup", groupId=FRIENDS, expiration=60),
        updated("RATE_LIMIT_FAILURE"),
        failing={ANNA: LIMITED, BERT: LIMITED},
    ),
    "timer of a group, service breaks for one": Case(
        (request("updateGroup", groupId=FRIENDS, expiration=60),),
        (BROKE,),
        arrivals=(FRIENDS,),
        failing={BERT: UNREACHED},
    ),
    "timer of an unknown group": refused(request("updateGroup", groupId=GROUP, expiration=60), NO_GROUP),
    "timer of a list of groups": refused(request("updateGroup", groupId=[FRIENDS], expiration=60), BAD_GROUP),
    "timer of a group, text": refused(request("updateGroup", groupId=FRIENDS, expiration="60"), CAST),
    "away, timer of a group": refused(
        request("updateGroup", groupId=FRIENDS, expiration=60), updated("NETWORK_FAILURE"), reachable=False
    ),
    # Whether somebody is on Signal
    "status of nobody": Case((request("getUserStatus"),), (result([]),)),
    "status of no number": Case(
        (request("getUserStatus", recipient="anna"),),
        (result([{"recipient": "anna", "uuid": None, "isRegistered": False}]),),
    ),
    "status no text": refused(request("getUserStatus", recipient=[5]), CAST),
    "away, status": refused(
        request("getUserStatus", recipient=OTHER_NUMBER),
        error(-3, Like(r"Unable to check if users are registered: .+ \((Socket|IO)Exception\)")),
        reachable=False,
    ),
    "refused, status": refused(
        request("getUserStatus", recipient=OTHER_NUMBER),
        error(
            -3, "Unable to check if users are registered: [403] Authorization failed! (AuthorizationFailedException)"
        ),
        status=403,
    ),
    # The account's devices, by which the service can be asked whether it is there
    "devices": Case(
        (request("listDevices"),),
        (result([{"id": 1, "name": None, "createdTimestamp": 0, "lastSeenTimestamp": THEN}]),),
    ),
    "devices of an unknown account": Case((request("listDevices", account=OTHER_NUMBER),), (NO_ACCOUNT,)),
    "away, devices": Case(
        (request("listDevices"),), no_devices(Like(f"Failed to get linked devices: {NOT_REACHED}")), reachable=False
    ),
    **{
        f"devices, {status}": Case(
            (request("listDevices"),), no_devices(f"Failed to get linked devices: [{status}] {words}"), status=status
        )
        for status, words in {
            401: "Authorization failed!",
            403: "Authorization failed!",
            404: "",
            413: "Rate Limited",
            429: "Rate Limited",
            500: "",
            503: "",
        }.items()
    },
    "removed device": refused(hello(), AWAY, status=403),
    # What a person can do about it
    "trust": Case((request("trust", recipient=ANNA, trustAllKnownKeys=True),), (DONE,)),
    "trust a stranger": refused(request("trust", recipient=DAN[:-1] + "9", trustAllKnownKeys=True), NO_TRUST),
    "trust a wrong number": refused(request("trust", recipient=ANNA, verifiedSafetyNumber="1" * 60), WRONG_NUMBER),
    "trust nonsense": refused(
        request("trust", recipient=ANNA, verifiedSafetyNumber="12345"),
        error(-1, "Safety number has invalid format, either specify the old hex fingerprint or the new safety number"),
    ),
    "trust nothing": refused(
        request("trust", recipient=ANNA),
        error(-1, "You need to specify the fingerprint/safety number you have verified with -v SAFETY_NUMBER"),
    ),
    "trust nobody": refused(request("trust"), MISSING),
    "trust no boolean": refused(request("trust", recipient=CLARA, trustAllKnownKeys="x"), CAST),
    "away, trust": Case((request("trust", recipient=ANNA, trustAllKnownKeys=True),), (DONE,), reachable=False),
    "away, trust an unknown number": refused(
        request("trust", recipient=OTHER_NUMBER, trustAllKnownKeys=True), NOT_REGISTERED, reachable=False
    ),
    "challenge": Case((request("submitRateLimitChallenge", challenge="a", captcha="signalcaptcha://b"),), (DONE,)),
    "challenge of nothing": refused(request("submitRateLimitChallenge", captcha="b"), MISSING),
    "challenge refused": refused(
        request("submitRateLimitChallenge", challenge="a", captcha="b"),
        error(-3, "Submit challenge error: [428] "),
        status=428,
    ),
    "away, challenge": refused(
        request("submitRateLimitChallenge", challenge="a", captcha="b"),
        error(-3, Like(f"Submit challenge error: {NOT_REACHED}")),
        reachable=False,
    ),
}
