"""What a process that serves no calls tells whoever watches it: three paths, no more.

It has a thread of its own, so that it answers while the worker waits for a database.
"""

from __future__ import annotations

from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from json import dumps
from socket import AF_INET, AF_INET6
from threading import Thread
from typing import Final

from api.metrics import CONTENT_TYPE, Readings
from domain.errors import UnsafeSetup
from keytoll.setting import Address

WAIT_S: Final = 10.0
"""How long a connection may take over its request."""


class Monitor:
    """Answers `/metrics`, `/healthz` and `/readyz` until it is closed."""

    def __init__(
        self, address: Address, readings: Readings, why_not_ready: Callable[[], str | None]
    ) -> None:
        """Raises UnsafeSetup when the address is taken or not ours."""
        try:
            self._server = _server_class(address)(
                (address.host, address.port), _handler(readings, why_not_ready)
            )
        except OSError as error:
            raise UnsafeSetup(
                f"KEYTOLL_METRICS_LISTEN: cannot listen on {address}: {error.strerror}"
            ) from None
        self._thread = Thread(target=self._server.serve_forever, name="monitor", daemon=True)
        self._thread.start()

    @property
    def port(self) -> int:
        """The one that was given, or the free one that was taken."""
        return int(self._server.server_address[1])

    def close(self) -> None:
        """Stop answering."""
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()


def _server_class(address: Address) -> type[ThreadingHTTPServer]:
    class Server(ThreadingHTTPServer):
        address_family = AF_INET6 if ":" in address.host else AF_INET
        daemon_threads = True

        def handle_error(self, request: object, client_address: object) -> None:
            """Whoever asked has gone."""

    return Server


def _handler(
    readings: Readings, why_not_ready: Callable[[], str | None]
) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        timeout = WAIT_S
        server_version = "keytoll"
        sys_version = ""

        def do_GET(self) -> None:
            if self.path == "/metrics":
                self._answer(200, CONTENT_TYPE, readings.render())
            elif self.path == "/healthz":
                self._answer_json(200, status="ok")
            elif self.path == "/readyz":
                reason = why_not_ready()
                if reason is None:
                    self._answer_json(200, status="ready")
                else:
                    self._answer_json(503, status="not_ready", reason=reason)
            else:
                self._answer_json(404, status="not_found")

        def _answer_json(self, code: int, **fields: str) -> None:
            self._answer(code, "application/json", dumps(fields).encode())

        def _answer(self, status: int, kind: str, body: bytes) -> None:
            self.send_response(status)
            self.send_header("content-type", kind)
            self.send_header("content-length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the library's name
            """Health checks are not worth a line."""

    return Handler
