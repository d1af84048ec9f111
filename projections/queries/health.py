"""How the projections are doing: what operators watch and what keeps a period from closing."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from projections.queries.unrated import unrated_count
from projections.rows import micros
from projections.store.port import ProjectionStore


@dataclass(frozen=True, slots=True)
class Health:
    """Counts since an instant; what is unrated, dead letters and conflicts are of all time."""

    requests: int
    estimated: int
    unrated: int
    """Without a price, or with a unit without one, and not written off: waiting for a row."""
    lost: int
    dead_letters: int
    conflicts: int

    @property
    def estimate_share(self) -> float:
        """Of the requests that used anything, how many are estimated: 0.0 to 1.0."""
        return self.estimated / self.requests if self.requests else 0.0


def health(store: ProjectionStore, *, since: datetime) -> Health:
    """As the tables are now."""
    # A correction is recorded after its request ended, so the first condition says no more than the
    # second; it names the partitions that need not be read.
    (requests, estimated, lost) = store.query(
        """
        SELECT sum(sign * (state = 'settled')), sum(sign * (usage_source = 'estimate')),
            sum(sign * (failure = 'process_lost'))
        FROM $db.request_lines FINAL
        WHERE recorded_at >= fromUnixTimestamp64Micro({since:Int64}, 'UTC')
            AND terminal_at >= fromUnixTimestamp64Micro({since:Int64}, 'UTC')
        """,
        {"since": micros(since)},
    )[0]
    waiting = unrated_count(store)
    return Health(requests, estimated, waiting, lost, dead_letters(store), conflicts(store))


def dead_letters(store: ProjectionStore, *, account_id: str | None = None) -> int:
    """Events that could not be read and stand open; those of no account count for every one."""
    return _count(
        store,
        "SELECT count() FROM $db.dead_letters FINAL WHERE resolved = 0"
        " AND ({account:String} = '' OR account_id IN ({account:String}, ''))",
        account_id,
    )


def conflicts(store: ProjectionStore, *, account_id: str | None = None) -> int:
    """Seqs that came with a second payload."""
    return _count(
        store,
        "SELECT count() FROM $db.conflicts FINAL"
        " WHERE {account:String} = '' OR account_id IN ({account:String}, '')",
        account_id,
    )


def dead_letters_by_account(store: ProjectionStore) -> dict[str, int]:
    """Account → its events that could not be read and stand open; "": of nobody known."""
    return dict(
        store.query(
            "SELECT account_id, count() FROM $db.dead_letters FINAL WHERE resolved = 0"
            " GROUP BY account_id"
        )
    )


def conflicts_by_account(store: ProjectionStore) -> dict[str, int]:
    """Account → its seqs that came with a second payload; "": of nobody known."""
    return dict(
        store.query("SELECT account_id, count() FROM $db.conflicts FINAL GROUP BY account_id")
    )


def doubled_accounts(store: ProjectionStore) -> frozenset[str]:
    """Accounts of event ids that stand in the log with two payloads ("": of no account).

    Reads every line: for closing.
    """
    rows = store.query(
        "SELECT DISTINCT arrayJoin(accounts) FROM"
        " (SELECT groupUniqArray(account_id) AS accounts FROM $db.log_lines"
        " GROUP BY event_id HAVING min(hash) != max(hash))"
    )
    return frozenset(account for (account,) in rows)


def _count(store: ProjectionStore, sql: str, account_id: str | None) -> int:
    return int(store.query(sql, {"account": account_id or ""})[0][0])
