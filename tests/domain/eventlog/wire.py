"""A wire to a server that can be cut at a chosen moment."""

from __future__ import annotations

import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from urllib.parse import urlsplit


class Wire:
    """Forwards connections to a server on 127.0.0.1, and ends one when `word` is said on it.

    `at_word` says what happens then: whether the word still reaches the server, and what else.
    """

    def __init__(self, dsn: str) -> None:
        parts = urlsplit(dsn)
        self._port = parts.port or 0
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.dsn = dsn.replace(f":{self._port}/", f":{self._listener.getsockname()[1]}/")
        self.word = b""
        self.reaches = True
        self.meanwhile: Callable[[], None] = lambda: None
        self.cuts = 0
        self._mute: set[socket.socket] = set()
        threading.Thread(target=self._accept, daemon=True).start()

    def cut_at(
        self, word: bytes, *, reaches: bool, meanwhile: Callable[[], None] | None = None
    ) -> None:
        """End the next connection that says the word."""
        self.word, self.reaches = word, reaches
        self.meanwhile = meanwhile or (lambda: None)

    def close(self) -> None:
        self._listener.close()

    def _accept(self) -> None:
        with suppress(OSError):
            while True:
                client, _ = self._listener.accept()
                server = socket.create_connection(("127.0.0.1", self._port))
                threading.Thread(target=self._ask, args=(client, server), daemon=True).start()
                threading.Thread(target=self._tell, args=(server, client), daemon=True).start()

    def _ask(self, client: socket.socket, server: socket.socket) -> None:
        with suppress(OSError):
            while data := client.recv(65536):
                if self.word and self.word in data:
                    self.word = b""
                    self.cuts += 1
                    self._mute.add(server)
                    if self.reaches:
                        server.sendall(data)
                        self.meanwhile()
                    break
                server.sendall(data)
        _end(client, server)

    def _tell(self, server: socket.socket, client: socket.socket) -> None:
        with suppress(OSError):
            # What is muted stays open until the asking side ends it: the answer is lost, no more.
            while (data := server.recv(65536)) and server not in self._mute:
                client.sendall(data)
        if server not in self._mute:
            _end(client, server)


def _end(*ends: socket.socket) -> None:
    for end in ends:
        with suppress(OSError):
            end.shutdown(socket.SHUT_RDWR)
        end.close()


@contextmanager
def wire_to(dsn: str) -> Iterator[Wire]:
    """A wire to the server of a DSN."""
    wire = Wire(dsn)
    try:
        yield wire
    finally:
        wire.close()
