"""A proxy before a server that is far away."""

import socket
import threading
import time
from typing import Self

from sqlalchemy.engine import URL


class FarAway:
    """A proxy on a TCP port of this machine.

    Args:
        target: a database on a server of this machine.
        seconds: how long an answer takes at least.
    """

    def __init__(self, target: URL, *, seconds: float) -> None:
        self._path = f"{target.query['host']}/.s.PGSQL.{target.query['port']}"
        self._seconds = seconds
        self._listener = socket.create_server(("127.0.0.1", 0))
        port = self._listener.getsockname()[1]
        self.url = URL.create("postgresql+psycopg", target.username, None, "127.0.0.1", port, target.database)
        self._sockets: list[socket.socket] = []

    def __enter__(self) -> Self:
        """Start to listen."""
        threading.Thread(target=self._accept, daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        """Hang up."""
        for each in (self._listener, *self._sockets):
            each.close()

    def _accept(self) -> None:
        while True:
            try:
                client, _ = self._listener.accept()
            except OSError:
                return
            server = socket.socket(socket.AF_UNIX)
            server.connect(self._path)
            self._sockets += [client, server]
            for source, goal in ((client, server), (server, client)):
                threading.Thread(target=self._carry, args=(source, goal), daemon=True).start()

    def _carry(self, source: socket.socket, goal: socket.socket) -> None:
        try:
            while data := source.recv(65536):
                time.sleep(self._seconds / 2)
                goal.sendall(data)
            goal.shutdown(socket.SHUT_WR)
        except OSError:  # it has hung up
            return
