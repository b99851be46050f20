"""A daemon to test against: it answers as signal-cli's does, and breaks on demand."""

from __future__ import annotations

import random
from collections.abc import Sequence
from http import HTTPStatus
from typing import Any, Self

from anyio import Event, create_task_group, sleep
from anyio.abc import SocketStream
from anyio.lowlevel import checkpoint

from ..signal_cli.endpoints import HttpEndpoint
from ._clients import Client, encoded
from ._http import HttpClient, HttpRequest
from ._params import INTERNAL_ERROR, USER_ERROR, RequestFailed
from ._receiving import Receiving
from ._requests import Request, UnreadableLine, error_of, read_line, result_of
from ._server import Server
from .fake_signal import SENDING, FakeSignal
from .faults import CutAfter, CutBefore, CutInAnswer, Failure, Fault, Flood, Garbage, Late, Refuse, Stall, WrongId


class FakeSignalDaemon(FakeSignal):
    """Stands in for signal-cli's daemon with several accounts. Use it with ``async with``.

    It answers what sends, what asks and what subscribes, and refuses everything else, in the very words of signal-cli
    0.13.19. Like that one it performs requests at the same time, so that those which are sent without waiting for the
    answer overtake each other, and performs what it has read even if its client has gone.

    Args:
        endpoint: where to listen: ``unix:/path``, ``tcp://host:port``, or ``http://host:port[/prefix]`` to speak HTTP,
            with port 0 for any that is free.
        accounts: the telephone numbers of its accounts.
        receive_mode: whom it tells of incoming messages: ``"on-start"``: whoever is there, ``"on-connection"``: the
            same, and if there is nobody they wait, ``"manual"``: who has asked by ``subscribeReceive``, and they wait.
            Over HTTP, who waits for events is there and has asked.

    Attributes:
        sends: what reached Signal, in order.
        faults: what happens to the next sends, one each, in order; a send in a batch meets none.
        accounts: the telephone numbers of the accounts that it has. Take one out, and it is missing.
        groups: the groups that the accounts are in: by the group's id, its other members as they would be addressed.
        per_recipient: whom Signal fails, and how, for as long as it stands there: by recipient as it is addressed.
        service_reachable: whether it reaches Signal. If not, sends fail at once.
        service_status: the HTTP status of a Signal that refuses everything; None: it does not.
        safety_numbers: the numbers that ``trust`` is to be given: by recipient as it is addressed.
        sticker_packs: the packs that the accounts have, by their ids in hex.

    Raises:
        TypeError, ValueError: ``endpoint`` is none, or ``receive_mode`` is unknown.
        OSError: from ``async with``: it cannot listen there.
    """

    def __init__(
        self,
        endpoint: str = "tcp://127.0.0.1:0",
        *,
        accounts: Sequence[str] = ("+15550001111",),
        receive_mode: str = "on-start",
    ) -> None:
        super().__init__(accounts)
        self.faults: list[Fault] = []
        self._receiving = Receiving(receive_mode)
        self._server = Server(endpoint, self._serve)
        place = self._server.place
        self._prefix = place.prefix if isinstance(place, HttpEndpoint) else None  # None: it speaks lines
        if isinstance(place, HttpEndpoint) and place.scheme != "http":
            raise ValueError("endpoint must not be https: put something before it that speaks TLS")
        self._thawed: Event | None = None  # None: it is not frozen
        self._order = random.Random(0)  # noqa: S311

    @property
    def endpoint(self) -> str:
        """Where it listens, with the port that it got."""
        return self._server.endpoint

    @property
    def listeners(self) -> int:
        """How many clients would be told of an incoming message now."""
        return len(self._receiving)

    def fail_next(self, *faults: Fault) -> None:
        """Have these faults happen to the next sends, one each, in order, after those that are due already."""
        self.faults.extend(faults)

    async def stop(self) -> None:
        """Die as by ``kill -9``: connections are cut, nobody listens; what was not performed yet never is.

        A UNIX socket's file stays behind. A second time changes nothing.
        **Cancellation**: it dies all the same.
        """
        await self._server.stop()

    async def start(self) -> None:
        """Listen again at the same place. While it listens, this changes nothing.

        Raises:
            OSError: it cannot listen there any more.

        **Cancellation** leaves it stopped.
        """
        await self._server.start()

    def freeze(self) -> None:
        """Stand still as by ``SIGSTOP``: connections and what is sent on them are taken, and nothing happens."""
        if self._thawed is None:
            self._thawed = Event()

    def thaw(self) -> None:
        """Go on as by ``SIGCONT``, with what has come in the meantime too."""
        if self._thawed is not None:
            self._thawed.set()
            self._thawed = None

    async def push(self, envelope: dict[str, Any], account: str | None = None) -> None:
        """Tell of an incoming message whoever is to be told; see ``receive_mode``.

        Args:
            envelope: what signal-cli would say of it.
            account: whom it is for; the first of the accounts if None.

        **Cancellation**: some clients have been told.
        """
        await self._receiving.push({"envelope": envelope, "account": account or self.accounts[0]})

    async def __aenter__(self) -> Self:
        await self._server.__aenter__()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._server.__aexit__()

    def __repr__(self) -> str:
        return f"<FakeSignalDaemon at {self.endpoint}, {len(self.sends)} sends>"

    async def _serve(self, stream: SocketStream) -> None:
        if self._prefix is None:
            await self._serve_lines(Client(stream))
        else:
            await self._serve_http(HttpClient(stream), self._prefix)

    async def _serve_lines(self, client: Client) -> None:
        self._receiving.connected(client)
        try:
            await self._receiving.push_waiting()
            async with create_task_group() as requests:  # outlives the client: what was read is performed
                while (line := await client.next_line()) is not None:
                    await self._while_frozen()
                    try:
                        requests.start_soon(self._answer, client, read_line(line))
                    except UnreadableLine:
                        break  # it reads no further, and ends the connection once it has answered what it read before
        finally:
            self._receiving.gone(client)

    async def _serve_http(self, client: HttpClient, prefix: str) -> None:
        while (request := await client.next_request()) is not None:
            await self._while_frozen()
            status = request.status(prefix)
            if status is not HTTPStatus.OK or request.path.endswith("/check"):
                await client.respond(status)
            elif request.path.endswith("/events"):
                await self._serve_events(client, request)
            else:
                await self._answer_http(client, request.body)

    async def _serve_events(self, client: HttpClient, request: HttpRequest) -> None:
        account = request.query.get("account", [None])[0]
        if account is not None and account not in self.accounts:
            return await client.respond(HTTPStatus.BAD_REQUEST)
        await client.begin_events()
        self._receiving.listening(client, account)
        try:
            await self._receiving.push_waiting()
            await client.wait_gone()
        finally:
            self._receiving.gone(client)

    async def _answer_http(self, client: HttpClient, body: bytes) -> None:
        try:
            request = read_line(body)
        except UnreadableLine:
            failed = RequestFailed(INTERNAL_ERROR, "An internal server error has occurred.")
            return await client.answer(encoded(error_of(Request(), failed)))
        await self._answer(client, request)
        if not any(each.wants_answer for each in (request if isinstance(request, list) else [request])):
            await client.respond(HTTPStatus.CREATED)

    async def _while_frozen(self) -> None:
        while self._thawed is not None:
            await self._thawed.wait()

    async def _answer(self, client: Client, request: Request | list[Request]) -> None:
        for _ in range(self._order.randrange(4)):  # whoever does not wait for answers gets no order
            await checkpoint()
        await self._while_frozen()
        if isinstance(request, list):
            return await self._answer_batch(client, request)
        fault = self.faults.pop(0) if request.method in SENDING and self.faults else None
        if isinstance(fault, CutBefore):
            await client.cut()
        else:
            answer = self._perform(client, request, fault)
            if request.wants_answer:
                await self._write(client, answer, fault)
        await self._receiving.push_waiting()  # somebody may have subscribed

    async def _answer_batch(self, client: Client, batch: list[Request]) -> None:
        answers = [self._perform(client, request, None) for request in batch]
        wanted = [answer for answer, request in zip(answers, batch, strict=True) if request.wants_answer]
        if wanted:
            await client.answer(encoded(wanted))

    def _perform(self, client: Client, request: Request, fault: Fault | None) -> dict[str, Any]:
        try:
            if request.error is not None:
                raise request.error
            if isinstance(fault, Refuse):
                raise RequestFailed(fault.code, fault.message, fault.data)
            if request.method == "subscribeReceive" and self._prefix is None:
                return result_of(request, self._subscribe(client, request.params))
            if request.method == "unsubscribeReceive" and self._prefix is None:
                return result_of(request, self._unsubscribe(client, request.params))
            failure = fault if isinstance(fault, Failure) else None
            return result_of(request, self.call(request.method, request.params, failure))
        except RequestFailed as error:
            return error_of(request, error)

    def _subscribe(self, client: Client, params: dict[str, Any]) -> int:
        account = None if params.get("account") is None else self._account(params)
        return self._receiving.subscribe(client, account)

    def _unsubscribe(self, client: Client, params: dict[str, Any]) -> dict[str, Any]:
        if "subscription" not in params:
            raise RequestFailed(USER_ERROR, "Missing subscription parameter with subscription id")
        if not self._receiving.unsubscribe(client, params["subscription"]):
            raise RequestFailed(USER_ERROR, "Unknown subscription id")
        return {}

    async def _write(self, client: Client, answer: dict[str, Any], fault: Fault | None) -> None:
        match fault:
            case CutAfter():
                await client.cut()
            case CutInAnswer():
                await client.answer_half(encoded(answer))
            case Stall():
                pass
            case Garbage(line):
                await client.answer(line)
            case Flood():
                await client.flood()
            case Late(seconds):
                await sleep(seconds)
                await self._while_frozen()
                await client.answer(encoded(answer))
            case WrongId():
                await client.answer(encoded(answer | {"id": -1}))
            case _:
                await client.answer(encoded(answer))
