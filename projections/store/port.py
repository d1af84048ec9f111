"""The projection store: tables that can be dropped and rebuilt from the event log at any time.

A statement names tables as `$db.<table>`; the store puts its database there. Values never go into
the text of a statement: they are parameters, written `{name:Type}` as ClickHouse does.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from domain.errors import BadValue, DomainError

Value = str | int | Sequence[str] | Sequence[int]
"""What a parameter may be. Amounts travel as text, instants as microseconds."""

Row = tuple[Any, ...]
"""A row of an answer: text, int, Decimal, bytes, UUID, list, dict or None."""


class ProjectionUnavailable(DomainError):
    """The store cannot be asked now: closed, away, or it failed. Nothing was concluded."""


class OutOfRange(BadValue):
    """A value does not fit its column. The store would have cut it silently, so it was not sent."""


@dataclass(frozen=True, slots=True)
class Columns:
    """Rows to insert, column by column: a name and all its values, of equal length."""

    names: tuple[str, ...]
    values: tuple[Sequence[object], ...]

    def __len__(self) -> int:
        return len(self.values[0]) if self.values else 0


@dataclass(frozen=True, slots=True)
class Site:
    """Where the tables of an installation are, and who else is there."""

    name: str = "keytoll"
    """The database that says which generation is in force; `<name>_g1` holds the first one."""
    shared: bool = False
    """Several processes use the tables, and may be of two versions while one follows the other."""
    cluster: str | None = None
    """The cluster whose servers all hold every table."""


class ProjectionStore(Protocol):
    """One database of a column store. Any thread may call anything."""

    @property
    def site(self) -> Site:
        """Where the installation's tables are."""

    @property
    def database(self) -> str:
        """What `$db` stands for."""

    def command(self, sql: str) -> None:
        """Run a statement that answers nothing (DDL). Raises ProjectionUnavailable."""

    def insert(self, table: str, rows: Columns, *, token: str) -> None:
        """Store all rows or none; durable on return.

        The same token again, as long as the store remembers it, is dropped. That is only an
        optimisation: reading must collapse duplicates by itself. Raises OutOfRange before anything
        is sent, ProjectionUnavailable when it is unknown whether the rows were stored.
        """

    def query(self, sql: str, parameters: Mapping[str, Value] | None = None) -> Sequence[Row]:
        """All rows of an answer. Decimals are exact. Raises ProjectionUnavailable."""

    def at(self, database: str) -> ProjectionStore:
        """The same store with another database."""

    def use(self, database: str) -> None:
        """From now on `$db` is this database, for everybody who holds this object."""

    def close(self) -> None:
        """Wait for running statements, then refuse more. Closing twice is allowed."""
