"""A database that cannot be reached is complained of without a word of its URL."""

from __future__ import annotations

import psycopg
import pytest

from domain.errors import UnsafeSetup
from domain.postgres import Connection, ConnectionLost, connect, unavailable

NOBODY = "127.0.0.1:1"


@pytest.mark.parametrize("password", ["hush%zz", "hu%sh", "hush%"])
def test_a_url_that_cannot_be_read_is_not_repeated(password: str) -> None:
    with pytest.raises(UnsafeSetup) as caught:
        connect(f"postgresql://me:{password}@{NOBODY}/books", purpose="test")
    assert "hu" not in str(caught.value)
    assert caught.value.__suppress_context__


def test_why_there_is_no_connection_is_said_without_the_address() -> None:
    with pytest.raises(ConnectionLost) as caught:
        connect(f"postgresql://me:hush@{NOBODY}/books", purpose="test")
    assert str(caught.value) == "no connection: Connection refused"
    assert caught.value.__suppress_context__


def test_what_is_taken_for_a_host_is_not_repeated(monkeypatch: pytest.MonkeyPatch) -> None:
    def look_up(*_: object, **__: object) -> Connection:  # of me:hu@sh@host: the driver's own text
        raise psycopg.OperationalError("failed to resolve host 'sh@host': unknown")

    monkeypatch.setattr(Connection, "connect", look_up)
    with pytest.raises(ConnectionLost) as caught:
        connect("postgresql://me:hu@sh@host/books", purpose="test")
    assert str(caught.value) == "no connection"


@pytest.mark.parametrize(
    ("said", "ours"),
    [
        (
            'FATAL:  password authentication failed for user "me"',
            "it refuses the user or the password",
        ),
        ('FATAL:  database "books" does not exist', "there is no such database or user"),
        ("Connection refused\n\tIs the server running?", "nothing listens at that address"),
        ("postgresql://me:hush@host", "OperationalError"),
    ],
)
def test_an_operator_is_told_where_to_look(
    said: str, ours: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refused(*_: object, **__: object) -> Connection:
        raise psycopg.OperationalError(f'connection to server at "host", port 1 failed: {said}')

    monkeypatch.setattr(Connection, "connect", refused)
    with pytest.raises(ConnectionLost) as caught:
        connect("postgresql://me:hush@host/books", purpose="test")
    assert str(unavailable(caught.value)) == f"the database is not available: {ours}"


def test_the_same_words_mean_nothing_where_there_was_a_connection() -> None:
    error = psycopg.OperationalError('relation "x" does not exist')
    assert str(unavailable(error)) == "the database is not available: OperationalError"
