"""The address of an outbox that is kept by servers: ``nats://one:4222,two:4222/outbox``."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from urllib.parse import unquote

_ADDRESS = re.compile(
    r"(?P<scheme>nats|tls)://((?P<login>[^/@,]+)@)?(?P<hosts>[^/@]+)(/(?P<name>[A-Za-z0-9_-]{1,64})?)?"
)
_HOST = re.compile(r"(?P<host>[A-Za-z0-9._-]+|\[[0-9A-Fa-f:.]+\])(:(?P<port>[0-9]{1,5}))?")


@dataclass(frozen=True, slots=True)
class Servers:
    """An outbox on servers, which any machine can reach.

    Attributes:
        scheme: ``nats``, or ``tls``.
        hosts: of the servers, each with its port.
        name: of the outbox there.
        login: who this is, in the words of nats-py: ``user`` and ``password``, or ``token``; or nothing.
    """

    scheme: str
    hosts: tuple[str, ...]
    name: str = "outbox"
    login: Mapping[str, str] = field(default_factory=dict, repr=False)

    @property
    def addresses(self) -> list[str]:
        """Of each server."""
        return [f"{self.scheme}://{host}" for host in self.hosts]

    def __str__(self) -> str:
        """What a person may see of it: no login."""
        return f"{self.scheme}://{','.join(self.hosts)}/{self.name}"


def read_servers(text: str) -> Servers:
    """The servers, and the outbox there.

    Args:
        text: ``nats://HOST[:PORT][,HOST[:PORT]…][/NAME]``, with ``USER:PASSWORD@`` or ``TOKEN@`` before the first host
            for all of them, where what has a meaning of its own is written as ``%2F`` and so on.

    Raises:
        ValueError: what is allowed; it repeats nothing of the text.
    """
    found = _ADDRESS.fullmatch(text)
    hosts = [] if found is None else [_HOST.fullmatch(each) for each in found["hosts"].split(",")]
    if found is None or not all(hosts):
        raise ValueError("a file, or servers and the outbox's name there, such as nats://one:4222,two:4222/outbox")
    login: dict[str, str] = {}
    if found["login"]:
        first, colon, password = found["login"].partition(":")
        login = {"user": unquote(first), "password": unquote(password)} if colon else {"token": unquote(first)}
    addresses = tuple(f"{host['host']}:{host['port'] or 4222}" for host in hosts if host is not None)
    return Servers(found["scheme"], addresses, found["name"] or "outbox", login)
