"""A proxy that has one session of the server for all clients: each gets it for a transaction, or for good."""

import socket
import struct
import threading
from typing import Self

from sqlalchemy.engine import URL

SSL_REQUEST, GSS_REQUEST = 80877103, 80877104


class TransactionPooler:
    """A proxy on a TCP port of this machine, as PgBouncer can be one.

    Args:
        target: a database that needs no password.
        for_good: whether a client keeps the session until it hangs up: a session pool with one place.
    """

    def __init__(self, target: URL, *, for_good: bool = False) -> None:
        self._target = target
        self._for_good = for_good
        self._listener = socket.create_server(("127.0.0.1", 0))
        port = self._listener.getsockname()[1]
        self.url = URL.create("postgresql+psycopg", target.username, None, "127.0.0.1", port, target.database)
        self._turn = threading.Lock()
        self._clients: list[socket.socket] = []

    def __enter__(self) -> Self:
        """Start to listen."""
        path = f"{self._target.query['host']}/.s.PGSQL.{self._target.query['port']}"
        self._server = socket.socket(socket.AF_UNIX)
        self._server.connect(path)
        parameters = f"user\0{self._target.username}\0database\0{self._target.database}\0\0".encode()
        self._server.sendall(struct.pack("!ii", len(parameters) + 8, 196608) + parameters)
        self._greeting = b"".join(
            kind + struct.pack("!i", len(body) + 4) + body
            for kind, body in self._answer()
            if kind != b"K"  # cancelling is beyond this proxy; the pid it would tell is not the client's
        )
        threading.Thread(target=self._accept, daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        """Hang up."""
        for each in (self._listener, self._server, *self._clients):
            each.close()

    def _accept(self) -> None:
        while True:
            try:
                client, _ = self._listener.accept()
            except OSError:
                return
            self._clients.append(client)
            threading.Thread(target=self._serve, args=(client,), daemon=True).start()

    def _serve(self, client: socket.socket) -> None:
        holds = False
        try:
            while True:
                length, code = struct.unpack("!ii", _read(client, 8))
                if code not in {SSL_REQUEST, GSS_REQUEST}:
                    break
                client.sendall(b"N")
            _read(client, length - 8)
            key = b"K" + struct.pack("!iii", 12, 4242, 4242)
            client.sendall(self._greeting[:-6] + key + self._greeting[-6:])
            while True:
                kind, body = _message(client)
                if kind == b"X":
                    return
                if not holds:
                    self._turn.acquire()
                    holds = True
                self._server.sendall(kind + struct.pack("!i", len(body) + 4) + body)
                if kind not in {b"Q", b"S"}:
                    continue
                for answer, content in self._answer():
                    client.sendall(answer + struct.pack("!i", len(content) + 4) + content)
                if (
                    content == b"I" and not self._for_good
                ):  # no transaction: the session is free for the next client
                    self._turn.release()
                    holds = False
        except OSError:
            return
        finally:
            if holds:
                self._turn.release()

    def _answer(self) -> list[tuple[bytes, bytes]]:
        messages = [_message(self._server)]
        while messages[-1][0] != b"Z":
            messages.append(_message(self._server))
        return messages


def _message(source: socket.socket) -> tuple[bytes, bytes]:
    head = _read(source, 5)
    return head[:1], _read(source, struct.unpack("!i", head[1:])[0] - 4)


def _read(source: socket.socket, length: int) -> bytes:
    data = b""
    while len(data) < length:
        more = source.recv(length - len(data))
        if not more:
            raise ConnectionError
        data += more
    return data
