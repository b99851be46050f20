"""Judge: what the daemon's answers lead to. Everything is decided here; answers.py reads, and link.py asks.

==========================================  ==========================================================================
answer to a message                         what it leads to
==========================================  ==========================================================================
a result                                    sent
a result that some of a group have failed   sent, too, and never again: the others have it (``SendResult.failures``)
a result that all have failed               as an error of these types
NETWORK_FAILURE                             everything pauses, longer each time, until a message was sent; the message
                                            is in doubt, since Signal may have taken it before the line was cut
-3, or -32603 about the network             the same, and not in doubt: it had not come to sending yet
one of these three, just after Signal was   this target pauses, longer each time: it is no matter of the network, and
reached                                     the others go on
-32603 about one member of a group          this target pauses, longer each time; in doubt: the others may have it
RATE_LIMIT_FAILURE, -5,                     this target pauses for as long as Signal says, or else longer each time
or -32603 about a rate limit
RATE_LIMIT_FAILURE with a token             the same, until somebody solves a CAPTCHA (``client.submit_challenge``)
IDENTITY_FAILURE, -4                        this target pauses, longer each time, until somebody trusts its new
                                            identity (``client.trust``); or rejected, by ``on_untrusted``
UNREGISTERED_FAILURE, or -1 saying so, of   Signal is asked about them: rejected if it knows that they are not there,
somebody whom the daemon never looked up    or else this target pauses, or everything if Signal was not reached
-32602                                      the account is not there: as if the link was lost, before anything was sent
any other                                   rejected
none, since the link was lost               unknown: sent again, or not, by ``on_doubt`` (see sender.py)
==========================================  ==========================================================================

Of several types in one answer, the first one in the table counts.

While Signal cannot be reached, the link probes whether it can before it sends, by ``listDevices``, which changes
nothing. So no message is in doubt for nothing, nor counts an attempt.

==========================================  ==========================================================================
answer to the probe                         what it leads to
==========================================  ==========================================================================
a result; -3 with another HTTP status       Signal is reached, and the message is sent
-3 without an HTTP status, or with 5xx      everything pauses, longer each time
-3 with the status 401 or 403               the same: Signal refuses the account
any other                                   nobody knows, and the message is sent
==========================================  ==========================================================================

The codes and the words are signal-cli's own and stand in no manual; measured on 0.13.19.
"""

from __future__ import annotations

import logging
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from anyio import current_time

from ..backoff import Backoff
from ..errors import LinkLost, Rejected, RetryLater
from ..logs import get_logger
from .answers import (
    IO_ERROR,
    DaemonError,
    ResultType,
    SendResult,
    is_for_a_member,
    read_failures,
    read_results,
    read_status,
    read_timestamp,
    read_types,
)
from .messages import SignalMessage
from .service import ServiceState, ServiceStatus
from .targets import Target, TargetKind

logger: logging.Logger = get_logger("signal_cli")

_REMEMBERED = 3600.0
"""For how long after its end a hold still counts, in seconds, so that the next one for the same reason is longer."""


class OnUntrusted(StrEnum):
    """What to do about a message for somebody whose identity has changed, and whom nobody has trusted since."""

    PARK = "park"
    """Keep it until somebody trusts them, and try again from time to time."""
    REJECT = "reject"
    """End it REJECTED."""


class HoldReason(StrEnum):
    """Why the messages for one target are held up."""

    RATE_LIMITED = "rate_limited"
    """Signal wants them later."""
    CAPTCHA = "captcha"
    """Signal wants somebody to solve a CAPTCHA first: see :meth:`SignalClient.submit_challenge`."""
    UNTRUSTED = "untrusted"
    """Their identity has changed: see :meth:`SignalClient.trust`."""
    NOT_LOOKED_UP = "not_looked_up"
    """The daemon does not know their UUID, or that of somebody whom a message names, and could not ask for it."""
    UNREACHABLE = "unreachable"
    """The daemon fails to send to them, though it reaches Signal."""


@dataclass(frozen=True, slots=True)
class Hold:
    """The messages for one target are held up.

    Attributes:
        target: whose.
        reason: why.
        attempt: how many tries in a row have failed for that reason.
        until: when they are tried again, on the clock of the event loop (:func:`anyio.current_time`).
        token: for a CAPTCHA: which one is to be solved.
    """

    target: Target
    reason: HoldReason
    attempt: int
    until: float
    token: str | None = None


_IN_WORDS = {
    HoldReason.RATE_LIMITED: "rate limited",
    HoldReason.CAPTCHA: "rate limited until somebody solves a CAPTCHA",
    HoldReason.UNTRUSTED: "the identity has changed, and nobody has trusted it",
    HoldReason.NOT_LOOKED_UP: "the daemon could not look somebody up",
    HoldReason.UNREACHABLE: "the daemon reaches Signal, and not the recipient",
}
_LIMITED, _SLOW = Backoff(initial=5.0, maximum=600.0), Backoff(initial=30.0, maximum=3600.0)
"""How long to pause for a rate limit, if Signal does not say; and for what is not over soon, or should not be tried
often, since others get it each time. Without jitter: there is no crowd to spread."""


class Judge:
    """Tells what the answers lead to. One for a client: how long to pause grows from link to link.

    Args:
        service: what it tells about Signal; nobody else does.
        backoff: how long to pause when the daemon cannot reach Signal, or a target.
        on_untrusted: see :class:`OnUntrusted`.

    Raises:
        ValueError: ``on_untrusted`` is neither.
    """

    def __init__(
        self, service: ServiceStatus, backoff: Backoff, on_untrusted: OnUntrusted | str = OnUntrusted.PARK
    ) -> None:
        if on_untrusted not in tuple(OnUntrusted):
            raise ValueError(f"on_untrusted must be 'park' or 'reject', not {on_untrusted!r}")
        self._service = service
        self._backoff = backoff
        self._on_untrusted = OnUntrusted(on_untrusted)
        self._holds: dict[Target, Hold] = {}
        self._released: set[HoldReason] = set()  # since the send that is under way began

    def holds(self) -> tuple[Hold, ...]:
        """Whose messages are held up at the moment, and why. To be asked in the event loop."""
        now = current_time()
        return tuple(hold for hold in self._holds.values() if hold.until > now)

    def release(self, reason: HoldReason) -> list[Target]:
        """Forget what is held up for that reason, as somebody has seen to it: the next hold is a first one.

        Returns:
            Whose messages these are.
        """
        released = [hold.target for hold in self._holds.values() if hold.reason is reason]
        for target in released:
            del self._holds[target]
        self._released.add(reason)
        return released

    def begin(self) -> None:
        """A send begins: what was released before has its effect on it."""
        self._released.clear()

    # ---------------------------------------------------------------- the probe

    def wants_probe(self, message: SignalMessage) -> bool:
        """Whether to find out if Signal can be reached, before sending that message."""
        hold = self._holds.get(message.target)
        return (
            self._service.state is ServiceState.UNREACHABLE
            or (hold is not None and hold.reason is HoldReason.UNREACHABLE)  # else it would make everything pause
            or not message.has_timestamp  # then its answer will tell nothing
        )

    def probed(self, answer: Any, *, unsent: bool) -> bool:
        """Tell what the answer to the probe leads to.

        Args:
            answer: a result or a DaemonError.
            unsent: whether the message that is in hand has not been sent yet.

        Returns:
            Whether it is known that Signal was reached.

        Raises:
            RetryLater: it was not.
        """
        if isinstance(answer, DaemonError):
            if answer.code != IO_ERROR:
                return False
            status = read_status(answer)
            if status in (401, 403):
                raise self._pause_all("Signal refuses the account: it may have been unlinked", unsent=unsent)
            if status is None or status >= 500:
                raise self._pause_all("the daemon cannot reach Signal", unsent=unsent)
        self._service.reached()
        return True

    # ---------------------------------------------------------------- answers to a message

    def sent(self, message: SignalMessage, result: Any) -> SendResult | None:
        """Read a result, which ends what has held its target up.

        Returns:
            What to give to who awaits the message; None for one whose answer says nothing.

        Raises:
            LinkLost: it is no result of a send, so that this is no daemon to go on with.
        """
        timestamp, results = read_timestamp(result), read_results(result)
        if timestamp is None and message.has_timestamp:
            raise LinkLost("the daemon answered a send without a timestamp")
        self._holds.pop(message.target, None)
        if message.target.kind is not TargetKind.SELF and any(each.type is ResultType.SUCCESS for each in results):
            self._service.worked()  # else nobody else was to get it, and the daemon did not need Signal for that
        return SendResult(timestamp, results) if message.has_timestamp and timestamp is not None else None

    def failed(self, target: Target, error: DaemonError, *, reached: bool) -> RetryLater | Rejected:
        """Tell what an error leads to.

        Args:
            target: whom the message goes to.
            error: the answer.
            reached: whether Signal was reached just before.
        """
        types, results = read_types(error), read_failures(error)
        if is_for_a_member(error):
            return self._hold(target, HoldReason.UNREACHABLE, pauses=_SLOW, in_doubt=True)
        if ResultType.NETWORK_FAILURE in types:
            if reached:
                return self._hold(target, HoldReason.UNREACHABLE, in_doubt=bool(results))
            return self._pause_all("the daemon cannot reach Signal", in_doubt=bool(results))
        if ResultType.RATE_LIMIT_FAILURE in types:
            said = max((each.retry_after or 0.0 for each in results), default=0.0)
            token = next((each.token for each in results if each.token is not None), None)
            reason = HoldReason.CAPTCHA if token else HoldReason.RATE_LIMITED
            return self._hold(target, reason, said, pauses=_LIMITED, token=token)
        if ResultType.IDENTITY_FAILURE in types and self._on_untrusted is OnUntrusted.PARK:
            return self._hold(target, HoldReason.UNTRUSTED, pauses=_SLOW)
        self._holds.pop(target, None)
        rejection = Rejected(", ".join(sorted(types)) or str(error))
        rejection.__cause__ = error.with_traceback(None)  # its frames hold the message
        return rejection

    def not_looked_up(self, target: Target) -> RetryLater:
        """Tell what it leads to that the daemon could not look up the target, or somebody whom a message names."""
        return self._hold(target, HoldReason.NOT_LOOKED_UP)

    # ---------------------------------------------------------------- pauses

    def _pause_all(self, reason: str, *, unsent: bool = False, in_doubt: bool = False) -> RetryLater:
        after = self._backoff.delay(self._service.attempt)
        self._service.failed(reason, after)
        return RetryLater(after, "all", reason, unsent=unsent, in_doubt=in_doubt)

    def _hold(
        self,
        target: Target,
        reason: HoldReason,
        after: float = 0.0,
        *,
        pauses: Backoff | None = None,
        token: str | None = None,
        in_doubt: bool = False,
    ) -> RetryLater:
        """Hold a target up: for so many seconds, or, if that is 0, longer each time."""
        if reason in self._released:  # while this was under way, so that it may go well now
            return RetryLater(0.0, "key", _IN_WORDS[reason], in_doubt=in_doubt)
        now = current_time()
        before = self._holds.get(target)
        failures = before.attempt if before is not None and before.reason is reason else 0
        if not after:
            after = self._backoff.delay(failures) if pauses is None else pauses.ceiling(failures)
        hold = Hold(target, reason, failures + 1, now + after, token)
        self._holds = {each.target: each for each in self._holds.values() if each.until + _REMEMBERED > now}
        self._holds[target] = hold
        told = failures > 0 and before is not None and before.token == token
        logger.log(
            logging.DEBUG if told else logging.WARNING,
            "messages for %r are held up for %.1f s: %s%s",
            target,
            after,
            _IN_WORDS[reason],
            _advice(hold),
        )
        return RetryLater(after, "key", _IN_WORDS[reason], in_doubt=in_doubt)


def _advice(hold: Hold) -> str:
    """What somebody could do about a hold."""
    match hold.reason:
        case HoldReason.CAPTCHA:
            where = "https://signalcaptchas.org/challenge/generate.html"
            return f". Get a captcha from {where} and pass it to client.submit_challenge with the token {hold.token}"
        case HoldReason.UNTRUSTED:
            return ". If it is theirs, call client.trust"
    return ""
