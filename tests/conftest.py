"""Fixtures that tests of several folders share, and rules for every test.

No network but loopback, and no error that was only logged.
"""

from __future__ import annotations

import ipaddress
import logging
import sys
from collections.abc import Iterator

import pytest

pytest_plugins = ["tests.projections.stores", "tests.services.fixtures"]


class NetworkUsed(Exception):
    """A test reached for something outside this machine."""


def _is_local(host: object) -> bool:
    if host in {None, "", "localhost", b"localhost"} or not isinstance(host, str | bytes):
        return True
    text = host.decode() if isinstance(host, bytes) else host
    try:
        address = ipaddress.ip_address(text.partition("%")[0])
    except ValueError:
        return False
    return address.is_loopback or address.is_unspecified


def _guard(event: str, arguments: tuple[object, ...]) -> None:
    if event == "socket.connect":
        address = arguments[1]
        if isinstance(address, tuple) and not _is_local(address[0]):
            raise NetworkUsed(f"a test connects to {address!r}: only loopback is open")
    elif event == "socket.getaddrinfo" and not _is_local(arguments[0]):
        raise NetworkUsed(f"a test looks up {arguments[0]!r}: only loopback is open")


# An audit hook sees every socket, whichever library opens it; it cannot be taken out again.
sys.addaudithook(_guard)


class _Errors(logging.Handler):
    def __init__(self) -> None:
        super().__init__(level=logging.ERROR)
        self.records: list[logging.LogRecord] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.records.append(record)


@pytest.fixture(autouse=True)
def no_error_in_the_background() -> Iterator[None]:
    """asyncio and the web server only log what nobody awaited; here that fails the test."""
    errors = _Errors()
    loggers = [logging.getLogger(name) for name in ("asyncio", "uvicorn.error")]
    for logger in loggers:
        logger.addHandler(errors)
    yield
    for logger in loggers:
        logger.removeHandler(errors)
    logged = [f"{record.name}: {record.getMessage()}" for record in errors.records]
    assert not logged, "errors in the background:\n" + "\n".join(logged)
