"""Brings the projection store to today's schema, and knows which database is in force.

All tables of one generation live in a database of their own, `keytoll_g<n>`. A rebuild fills the
next generation beside the one in force; one row in `keytoll.generations` then exchanges them.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from domain.errors import UnsafeSetup
from projections.store.port import Columns, ProjectionStore

CONTROL: Final = "keytoll"
SCHEMA: Final = Path(__file__).parent / "schema"
_NAME: Final = re.compile(r"(\d{4})_[a-z0-9_]+\.sql")

_CONTROL_TABLE: Final = """
CREATE TABLE IF NOT EXISTS keytoll.generations
(generation UInt32, step UInt32, state LowCardinality(String))
ENGINE = ReplacingMergeTree(step) ORDER BY generation
SETTINGS fsync_after_insert = 1
"""
_MIGRATIONS_TABLE: Final = """
CREATE TABLE IF NOT EXISTS $db.migrations
(number UInt32, name String, sha256 String)
ENGINE = ReplacingMergeTree ORDER BY number
SETTINGS fsync_after_insert = 1
"""
_STATES: Final = ("building", "in_force", "retired", "dropped")


class SchemaDiffers(UnsafeSetup):
    """The tables were made by another program: newer, or with another text of a migration."""


@dataclass(frozen=True, slots=True)
class Migration:
    """One numbered file of `schema/`."""

    number: int
    name: str
    text: str

    @property
    def sha256(self) -> str:
        return hashlib.sha256(self.text.encode()).hexdigest()

    def statements(self) -> Sequence[str]:
        """The statements, without comments."""
        bare = "\n".join(line for line in self.text.splitlines() if not line.startswith("--"))
        return [part.strip() for part in bare.split(";") if part.strip()]


def migrations(folder: Path = SCHEMA) -> Sequence[Migration]:
    """All files of the schema, by number; the numbers are 1, 2, 3, …"""
    found: list[Migration] = []
    for path in sorted(folder.glob("*.sql")):
        match = _NAME.fullmatch(path.name)
        if match is None or int(match[1]) != len(found) + 1:
            raise UnsafeSetup(f"{path.name}: migrations are numbered 0001_name.sql without gap")
        found.append(Migration(int(match[1]), path.stem, path.read_text(encoding="utf-8")))
    return found


def prepare(store: ProjectionStore) -> None:
    """Make the tables of the generation in force, the first one if need be, and use it.

    Tables that another program's schema made are not touched but replaced by empty ones: the log
    fills them again.
    """
    store.command(f"CREATE DATABASE IF NOT EXISTS {CONTROL}")
    store.command(_CONTROL_TABLE)
    generations = _generations(store)
    generation = max((n for n, state in generations.items() if state == "in_force"), default=0)
    for number, state in generations.items():
        # A rebuild that died, or a generation that was replaced and may be let go of now.
        if number != generation and state != "dropped":
            drop(store, number)
    if generation:
        try:
            migrate(store.at(database_of(generation)))
        except SchemaDiffers:
            generation = 0
    if not generation:
        generation = next_generation(store)
        create(store, generation)
        record(store, generation, "in_force")
    store.use(database_of(generation))


def create(store: ProjectionStore, generation: int) -> ProjectionStore:
    """Empty tables of a new generation."""
    record(store, generation, "building")
    made = store.at(database_of(generation))
    made.command("CREATE DATABASE IF NOT EXISTS $db")
    migrate(made)
    return made


def drop(store: ProjectionStore, generation: int) -> None:
    """Let go of a generation's tables."""
    store.command(f"DROP DATABASE IF EXISTS {database_of(generation)} SYNC")
    record(store, generation, "dropped")


def record(store: ProjectionStore, generation: int, state: str) -> None:
    """The state of a generation; later states win."""
    store.at(CONTROL).insert(
        "generations",
        Columns(("generation", "step", "state"), ([generation], [_STATES.index(state)], [state])),
        token=f"{generation}-{state}",
    )


def migrate(store: ProjectionStore) -> None:
    """Run the files that the database has not seen. Raises SchemaDiffers if they do not agree."""
    store.command(_MIGRATIONS_TABLE)
    done: dict[int, str] = dict(store.query("SELECT number, sha256 FROM $db.migrations FINAL"))
    known = migrations()
    if len(done) > len(known):
        raise SchemaDiffers("the projections were made by a newer program")
    for migration in known:
        if migration.number in done:
            if done[migration.number] != migration.sha256:
                raise SchemaDiffers(f"{migration.name} was another text when it ran")
            continue
        for statement in migration.statements():
            # Repeatable, because the program may die between two statements.
            store.command(statement.replace("CREATE TABLE ", "CREATE TABLE IF NOT EXISTS ", 1))
        store.insert(
            "migrations",
            Columns(
                ("number", "name", "sha256"),
                ([migration.number], [migration.name], [migration.sha256]),
            ),
            token=migration.sha256,
        )


def database_of(generation: int) -> str:
    """The database of a generation."""
    return f"keytoll_g{generation}"


def generation_in_force(store: ProjectionStore) -> int:
    """The generation that readers use."""
    return max(n for n, state in _generations(store).items() if state == "in_force")


def next_generation(store: ProjectionStore) -> int:
    """A number that no generation had."""
    return max(_generations(store), default=0) + 1


def _generations(store: ProjectionStore) -> dict[int, str]:
    rows = store.query(
        "SELECT generation, state FROM keytoll.generations FINAL ORDER BY generation"
    )
    return dict(rows)
