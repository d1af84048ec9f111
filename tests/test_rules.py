"""The rules of conftest.py are in force."""

from __future__ import annotations

import socket

import pytest

from tests.conftest import NetworkUsed


def test_the_network_is_closed_to_tests() -> None:
    with socket.socket() as outside, pytest.raises(NetworkUsed):
        outside.connect(("192.0.2.1", 443))
    with pytest.raises(NetworkUsed):
        socket.getaddrinfo("example.com", 443)


def test_loopback_is_open() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        socket.create_connection(server.getsockname()).close()
