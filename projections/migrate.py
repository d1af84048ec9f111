"""Brings the projection store to today's schema, and knows which database is in force.

All tables of one generation live in a database of their own, `keytoll_g<n>`. A rebuild fills the
next generation beside the one in force; one row in `keytoll.generations` then exchanges them.
(`keytoll` is the usual name of an installation; `Site` says which it is.)

Several processes may do any of this at the same time: every step can be repeated, and whoever
makes the first tables finds those that another is making. Nothing is dropped on the way, except by
`tidy`, for which the caller must be alone.
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

SCHEMA: Final = Path(__file__).parent / "schema"
_NAME: Final = re.compile(r"(\d{4})_[a-z0-9_]+\.sql")

_CONTROL_TABLE: Final = """
CREATE TABLE $db.generations
(generation UInt32, step UInt32, state LowCardinality(String))
ENGINE = ReplacingMergeTree(step) ORDER BY generation
SETTINGS fsync_after_insert = 1
"""
_MIGRATIONS_TABLE: Final = """
CREATE TABLE $db.migrations
(number UInt32, name String, sha256 String)
ENGINE = ReplacingMergeTree ORDER BY number
SETTINGS fsync_after_insert = 1
"""
_STATES: Final = ("building", "in_force", "retired", "dropped")


_TARGET: Final = re.compile(
    r"(?:CREATE DATABASE IF NOT EXISTS|DROP DATABASE IF EXISTS|CREATE TABLE IF NOT EXISTS"
    r"|ALTER TABLE) [$\w.]+"
)
_ENGINE: Final = re.compile(r"\bENGINE = (\w*MergeTree)\b(?:\((\w+)\))?")
_REPLICAS: Final = "'/clickhouse/tables/{database}/{table}', '{replica}'"
"""Where the replicas of a table meet. No shard in it: every server holds the whole table."""
_WINDOW: Final = re.compile(r"\bnon_replicated_deduplication_window = (\d+)")


class SchemaDiffers(UnsafeSetup):
    """The tables were made by another program: newer, or with another text of a migration."""


class SchemaIsNewer(SchemaDiffers):
    """The tables were made by a newer program."""


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


def ddl(statement: str, *, cluster: str | None) -> str:
    """A statement of the schema as it is run: repeatable, and in a cluster on all its servers.

    There the tables are replicated, and meet by their names, which no generation uses twice; the
    servers' macro `replica` tells them apart.
    """
    statement = statement.replace("CREATE TABLE $", "CREATE TABLE IF NOT EXISTS $", 1)
    if cluster is None:
        return statement
    statement = _TARGET.sub(rf"\g<0> ON CLUSTER '{cluster}'", statement, count=1)
    statement = _ENGINE.sub(_replicated, statement)
    return _WINDOW.sub(
        r"replicated_deduplication_window = \1, replicated_deduplication_window_seconds = 604800",
        statement,
    )


def _replicated(engine: re.Match[str]) -> str:
    arguments = f"{_REPLICAS}, {engine[2]}" if engine[2] else _REPLICAS
    return f"ENGINE = Replicated{engine[1]}({arguments})"


def prepare(store: ProjectionStore) -> None:
    """Make the tables of the generation in force, the first one if need be, and use it.

    Tables that another program's schema made are not touched but replaced by empty ones: the log
    fills them again. Raises SchemaIsNewer where other processes use the tables: they go on.
    """
    control = _control(store)
    control.command(ddl("CREATE DATABASE IF NOT EXISTS $db", cluster=store.site.cluster))
    control.command(ddl(_CONTROL_TABLE, cluster=store.site.cluster))
    generation = generation_in_force(store)
    if generation:
        try:
            migrate(store.at(database_of(store, generation)))
        except SchemaDiffers as error:
            if store.site.shared and isinstance(error, SchemaIsNewer):
                raise
            generation = 0
    while not generation:
        # Not a new number: another process may be making the same tables just now.
        generation = _unused_generation(store)
        try:
            create(store, generation)
        except SchemaDiffers:
            record(store, generation, "retired")
            generation = 0
        else:
            record(store, generation, "in_force")
    store.use(database_of(store, generation_in_force(store)))
    if not store.site.shared:
        tidy(store)


def tidy(store: ProjectionStore) -> None:
    """Drop the tables of rebuilds that died and of generations that were replaced.

    Only while no other process rebuilds, or still reads what was replaced.
    """
    current = generation_in_force(store)
    for number, state in _generations(store).items():
        if number != current and state != "dropped":
            drop(store, number)


def create(store: ProjectionStore, generation: int) -> ProjectionStore:
    """Empty tables of a new generation."""
    record(store, generation, "building")
    made = store.at(database_of(store, generation))
    made.command(ddl("CREATE DATABASE IF NOT EXISTS $db", cluster=store.site.cluster))
    migrate(made)
    return made


def drop(store: ProjectionStore, generation: int) -> None:
    """Let go of a generation's tables."""
    statement = ddl("DROP DATABASE IF EXISTS $db SYNC", cluster=store.site.cluster)
    store.at(database_of(store, generation)).command(statement)
    record(store, generation, "dropped")


def record(store: ProjectionStore, generation: int, state: str) -> None:
    """The state of a generation; later states win."""
    _control(store).insert(
        "generations",
        Columns(("generation", "step", "state"), ([generation], [_STATES.index(state)], [state])),
        token=f"{generation}-{state}",
    )


def migrate(store: ProjectionStore) -> None:
    """Run the files that the database has not seen. Raises SchemaDiffers if they do not agree."""
    cluster = store.site.cluster
    store.command(ddl(_MIGRATIONS_TABLE, cluster=cluster))
    done: dict[int, str] = dict(store.query("SELECT number, sha256 FROM $db.migrations FINAL"))
    known = migrations()
    if len(done) > len(known):
        raise SchemaIsNewer("the projections were made by a newer program")
    for migration in known:
        if migration.number in done:
            if done[migration.number] != migration.sha256:
                raise SchemaDiffers(f"{migration.name} was another text when it ran")
            continue
        for statement in migration.statements():
            # Repeatable, because the program may die between two statements.
            store.command(ddl(statement, cluster=cluster))
        store.insert(
            "migrations",
            Columns(
                ("number", "name", "sha256"),
                ([migration.number], [migration.name], [migration.sha256]),
            ),
            token=migration.sha256,
        )


def database_of(store: ProjectionStore, generation: int) -> str:
    """The database of a generation."""
    return f"{store.site.name}_g{generation}"


def generation_in_force(store: ProjectionStore) -> int:
    """The generation that readers use; 0 before there is one."""
    return max((n for n, state in _generations(store).items() if state == "in_force"), default=0)


def next_generation(store: ProjectionStore) -> int:
    """A number that no generation had."""
    return max(_generations(store), default=0) + 1


def _unused_generation(store: ProjectionStore) -> int:
    """The first number above those that ever were in force; perhaps being built already."""
    used = (n for n, state in _generations(store).items() if state != "building")
    return max(used, default=0) + 1


def _control(store: ProjectionStore) -> ProjectionStore:
    return store.at(store.site.name)


def _generations(store: ProjectionStore) -> dict[int, str]:
    rows = _control(store).query(
        "SELECT generation, state FROM $db.generations FINAL ORDER BY generation"
    )
    return dict(rows)
