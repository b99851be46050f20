"""MemoryServer: NATS in memory. Who is connected, who listens to what, and JetStream behind it."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable

from .jetstream import JetStream
from .message import Message
from .way import Way
from .weather import Weather


class Connection:
    """A client's connection, seen from both ends.

    Args:
        server: at the other end.
        on_cut: called when it breaks.
    """

    def __init__(self, server: MemoryServer, on_cut: Callable[[], None]) -> None:
        self.there = Way(server.weather.delay)
        self.back = Way(server.weather.delay)
        self._server = server
        self._on_cut = on_cut

    def cut(self) -> None:
        """Break: what is on its way back is lost, and most of what is on its way there."""
        self.close(self._server.weather.arrives(len(self.there)))
        self._on_cut()

    def close(self, arriving: int | None = None) -> None:
        """Close it from the client's end: what it has sent still arrives, unless that is said otherwise."""
        self.there.close(len(self.there) if arriving is None else arriving)
        self.back.close()
        self._server.forget(self)


class MemoryServer:
    """NATS 2.15 as one server, or so many that one of them is always there, as far as the shared buffer uses it.

    It works in whatever event loop of asyncio runs, and knows no other time than that of its clock.

    Args:
        weather: what happens on the way.

    Attributes:
        weather: as given.
    """

    def __init__(self, weather: Weather | None = None) -> None:
        self.weather = Weather() if weather is None else weather
        self.jetstream = JetStream(self.weather, self.deliver, self.listens)
        self._listeners: dict[str, dict[Connection, Callable[[Message], None]]] = defaultdict(dict)

    def subscribe(self, connection: Connection, subject: str, listener: Callable[[Message], None]) -> None:
        """From now on, hand what comes to a subject, which may end in ``*``, to the other end of a connection."""
        self._listeners[subject][connection] = listener

    def forget(self, connection: Connection) -> None:
        """A connection is gone, and who listened there."""
        for subject in [subject for subject, there in self._listeners.items() if there.pop(connection, None)]:
            if not self._listeners[subject]:
                del self._listeners[subject]

    def publish(self, message: Message) -> None:
        """A client has published that."""
        heard = self.deliver(message)
        if not self.jetstream.take(message) and not heard and message.reply:
            self.deliver(Message(message.reply, "", b"", {"Status": "503"}))

    def deliver(self, message: Message, to: str = "") -> bool:
        """Send it to all who listen to its subject, or to another one; False: nobody does."""
        heard = False
        to = to or message.subject
        for subject in (to, f"{to.rpartition('.')[0]}.*"):
            for connection, listener in list(self._listeners.get(subject, {}).items()):
                connection.back.send(lambda listener=listener: listener(message))  # type: ignore[misc]
                heard = True
        return heard

    def listens(self, subject: str) -> bool:
        """Whether anybody would get what is sent to that subject."""
        return any(subject in self._listeners for subject in (subject, f"{subject.rpartition('.')[0]}.*"))
