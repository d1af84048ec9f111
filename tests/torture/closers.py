"""Closing and following all the while: two closers at once, and a reader that follows the trail."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Final

import httpx

from tests.e2e.plan import Json
from tests.torture.site import Site

REST_S: Final = 2.0
PAGE: Final = 500


@dataclass
class Periods:
    """Short periods, one after the other, from a whole second on."""

    start: datetime
    length_s: float

    def over(self) -> list[str]:
        """Those that have ended, as `keytoll close` names them."""
        now = datetime.now(UTC)
        count = int((now - self.start).total_seconds() // self.length_s)
        return [self.text(number) for number in range(count)]

    def text(self, number: int) -> str:
        """START/END."""
        start = self.start + timedelta(seconds=number * self.length_s)
        end = start + timedelta(seconds=self.length_s)
        return f"{start:%Y-%m-%dT%H:%M:%SZ}/{end:%Y-%m-%dT%H:%M:%SZ}"


@dataclass
class Closer:
    """Closes each period that is over, until it is closed for everybody."""

    site: Site
    periods: Periods
    documents: dict[str, Json] = field(default_factory=dict)
    """Invoice id → what the closing gave."""
    complaints: dict[str, int] = field(default_factory=dict)
    closed: set[str] = field(default_factory=set)
    """Periods that are closed for everybody."""
    _stopping: threading.Event = field(default_factory=threading.Event)
    _thread: threading.Thread | None = None

    def start(self) -> None:
        self._thread = threading.Thread(target=self._run, name="closer", daemon=True)
        self._thread.start()

    def stop(self) -> None:
        self._stopping.set()
        if self._thread is not None:
            self._thread.join(180)
            assert not self._thread.is_alive(), "a closer hangs"

    def _run(self) -> None:
        while not self._stopping.wait(REST_S):
            for period in self.periods.over():
                if period not in self.closed and not self._stopping.is_set():
                    self.close(period)

    def close(self, period: str) -> bool:
        """Close one; whether it is closed for all now."""
        try:
            done = self.site.command("close", "--period", period, "--grace", "0", "--json")
        except TimeoutError:
            return False
        try:
            answer = json.loads(done.stdout)
        except ValueError:
            self._complain(done.stderr)
            return False
        for document in answer["invoices"]:
            self.documents[document["id"]] = document
        for reason in answer["refused"].values():
            self._complain(reason)
        if done.returncode == 0:
            self.closed.add(period)
        return done.returncode == 0

    def _complain(self, text: str) -> None:
        first = text.strip().splitlines()[-1][:140] if text.strip() else "(nothing was said)"
        self.complaints[first] = self.complaints.get(first, 0) + 1


@dataclass
class Tail:
    """Follows the audit trail of one store through whichever door answers."""

    site: Site
    key: str
    read: list[tuple[str, int, str]] = field(default_factory=list)
    _stopping: threading.Event = field(default_factory=threading.Event)
    _thread: threading.Thread | None = None
    _turn: int = 0

    def start(self) -> None:
        self._thread = threading.Thread(target=self._run, name="tail", daemon=True)
        self._thread.start()

    def stop(self) -> None:
        self._stopping.set()
        if self._thread is not None:
            self._thread.join(60)

    def catch_up(self) -> None:
        """Read to the end, now that all is still."""
        while self._page():
            pass

    def _run(self) -> None:
        while not self._stopping.wait(0.02):
            self._page()

    def _page(self) -> bool:
        """One page; whether there was anything on it."""
        doors: Sequence[str] = [door.url for door in self.site.doors]
        self._turn += 1
        after = {"after": f"{self.read[-1][0]}:{self.read[-1][1]}"} if self.read else {}
        try:
            answer = httpx.get(
                f"{doors[self._turn % len(doors)]}/api/v1/audit/events",
                params={**after, "limit": PAGE},
                headers={"authorization": f"Bearer {self.key}"},
                timeout=10,
                verify=False,
            )
        except httpx.TransportError:
            time.sleep(0.1)
            return False
        if answer.status_code != 200:
            time.sleep(0.1)
            return False
        events = answer.json()["events"]
        self.read += [(each["store_id"], each["seq"], each["hash"]) for each in events]
        return bool(events)
