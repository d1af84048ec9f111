"""Several logs as one: an account lives in one of them, and grows with it.

Invoices and price lists have one numbering for the whole installation, so they lie in the first
log. A new account goes to the last one: adding a log at the end is how an installation grows, and
no account ever moves.
"""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import Future
from itertools import chain
from threading import Lock
from typing import Final
from uuid import UUID

from domain.errors import BadValue
from domain.eventlog.log import StoredLog
from domain.eventlog.port import Chain, Recorded
from domain.events.base import Event
from domain.ids import parse_id

OF_THE_FIRST: Final = ("invoice.", "price-book.")
"""How the topics begin that are numbered once for all accounts."""


class SeveralLogs:
    """An EventLog over two logs or more, each of one chain. Any thread may call anything."""

    def __init__(self, logs: Sequence[StoredLog]) -> None:
        """Raises BadValue when two of them are the same store."""
        self._by_store = {log.store_id: log for log in logs}
        if len(self._by_store) < len(logs):
            raise BadValue("two of the stores have the same id")
        self._logs = tuple(logs)
        self._homes: dict[str, StoredLog] = {}

    def chains(self) -> Sequence[Chain]:
        return tuple(chain.from_iterable(log.chains() for log in self._logs))

    def home(self, account_id: str | None) -> str:
        return self._home(account_id).store_id

    def stream(self, originator_id: UUID) -> Sequence[Recorded]:
        found = (log.stream(originator_id) for log in reversed(self._logs))
        return next((rows for rows in found if rows), [])

    def submit(self, *events: Event, account_id: str | None) -> Future[tuple[Recorded, ...]]:
        return self._log_for(events, account_id).submit(*events, account_id=account_id)

    async def append(self, *events: Event, account_id: str | None) -> tuple[Recorded, ...]:
        return await self._log_for(events, account_id).append(*events, account_id=account_id)

    def opened(self, *, epoch: str, program: str) -> Future[tuple[Recorded, ...]]:
        return _together([log.opened(epoch=epoch, program=program) for log in self._logs])

    def seal(self) -> Future[tuple[Recorded, ...]]:
        return _together([log.seal() for log in self._logs])

    def open_requests(self) -> Sequence[UUID]:
        return list(chain.from_iterable(log.open_requests() for log in self._logs))

    def close(self) -> None:
        for log in self._logs:
            log.close()

    def _log_for(self, events: Sequence[Event], account_id: str | None) -> StoredLog:
        first, *_ = self._logs
        at_home = self._home(account_id)
        logs = {
            first if getattr(event, "TOPIC", "").startswith(OF_THE_FIRST) else at_home
            for event in events
        }
        if len(logs) > 1:
            raise BadValue("these events belong to different stores: append them one by one")
        return logs.pop() if logs else at_home

    def _home(self, account_id: str | None) -> StoredLog:
        """The log with the stream of the account; found once, it is that for ever."""
        last = self._logs[-1]
        if account_id is None:
            return last
        known = self._homes.get(account_id)
        if known is not None:
            return known
        try:
            stream = parse_id("acc", account_id)
        except BadValue:
            return last
        for log in self._logs:
            if log.stream(stream):
                self._homes[account_id] = log
                return log
        return last


def _together(
    futures: Sequence[Future[tuple[Recorded, ...]]],
) -> Future[tuple[Recorded, ...]]:
    """One future for all, in their order; the first failure if there is one."""
    whole: Future[tuple[Recorded, ...]] = Future()
    whole.set_running_or_notify_cancel()
    lock, missing = Lock(), len(futures)

    def count(_: Future[tuple[Recorded, ...]]) -> None:
        nonlocal missing
        with lock:
            missing -= 1
            if missing:
                return
        error = next((e for e in (each.exception() for each in futures) if e is not None), None)
        if error is None:
            whole.set_result(tuple(chain.from_iterable(each.result() for each in futures)))
        else:
            whole.set_exception(error)

    for future in futures:
        future.add_done_callback(count)
    return whole
