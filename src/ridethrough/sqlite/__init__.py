"""Messages on this machine's disk: :class:`SQLiteJournal`, and the way in for programs that do not own the file."""

from .client import OutboxClient, connect, put
from .door import serve
from .journal import Durability, SQLiteJournal

__all__ = ["Durability", "OutboxClient", "SQLiteJournal", "connect", "put", "serve"]
