"""The socket that calls come in through."""

from __future__ import annotations

import errno
import socket
from typing import Final

from domain.errors import UnsafeSetup
from keytoll.setting import Address

BACKLOG: Final = 2048
"""Connections that may wait to be accepted."""


def listen(address: Address) -> socket.socket:
    """The listening socket. Raises UnsafeSetup when the address is taken or not ours."""
    family = socket.AF_INET6 if ":" in address.host else socket.AF_INET
    try:
        return socket.create_server((address.host, address.port), family=family, backlog=BACKLOG)
    except OSError as error:
        taken = error.errno == errno.EADDRINUSE
        said = (
            "it is in use; KEYTOLL_LISTEN chooses another"
            if taken
            else str(error.strerror).partition(" (while")[0]
        )
        raise UnsafeSetup(f"cannot listen on {address}: {said}") from None
