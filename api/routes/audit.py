"""The audit trail: what was recorded, and what it leads to (API.md 6)."""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Annotated, Final
from uuid import UUID

from fastapi import APIRouter, Depends, Query

from api.auth import Access, Caller
from api.errors import ApiError
from api.routes.schemas import ERRORS
from domain.directory import Directory
from domain.errors import BadValue
from domain.eventlog.checkpoint import Checkpoint, checkpoint_of
from domain.eventlog.port import EventLog, LogReader, Recorded, stores_of
from domain.events.base import JsonObject
from domain.ids import parse_id
from pricing.book import Books
from projections.trail import credential_state, event_json, request_state, request_trail

LIMIT_MAX: Final = 1000
SCANNED_MAX: Final = 20_000
"""Events looked at for one page of a filtered list; the rest comes with the next page."""
FIRST_LOOK: Final = 100
"""Events read at first when going back: mostly they are those that were asked for."""
_STREAM: Final = re.compile(r"(acc|cred|req|inv)_[0-9a-f]{32}")
_TOPIC: Final = re.compile(r"[a-z-]+(\.[a-z-]+)?")

Place = tuple[int, int]
"""The number of a store of the log, and a seq in it."""
After = Annotated[str | None, Query(max_length=100, description="<store_id>:<seq>")]
Limit = Annotated[int, Query(ge=1, le=LIMIT_MAX)]
Text = Annotated[str | None, Query(max_length=60)]


@dataclass(frozen=True, kw_only=True, slots=True)
class EventFilter:
    """Which events are asked for; None is any."""

    account: str | None
    stream: str | None
    topic: str | None

    def __post_init__(self) -> None:
        if self.topic is not None and not _TOPIC.fullmatch(self.topic):
            raise BadValue("topic looks like request.routed or request", param="topic")
        if self.stream is not None and not _STREAM.fullmatch(self.stream):
            raise BadValue("stream is a public id such as req_<32 hex digits>", param="stream")

    @property
    def kinds(self) -> set[str] | None:
        """First parts of the topics to read; None: all."""
        return None if self.topic is None else {self.topic.partition(".")[0]}

    def takes(self, recorded: Recorded) -> bool:
        """The event is one of them (the stream is chosen when reading)."""
        topics = {recorded.topic, recorded.topic.partition(".")[0]}
        return self.account in {None, recorded.account_id} and (
            self.topic is None or self.topic in topics
        )


@dataclass(frozen=True, slots=True)
class Trail:
    """Reads the log for people."""

    log: EventLog
    directory: Directory
    books: Books

    def events(self, after: str | None, limit: int, wanted: EventFilter) -> JsonObject:
        """One page, in the order of recording; `next` is the `after` of the next page."""
        found: list[JsonObject] = []
        for each in islice(self._source(after, wanted), SCANNED_MAX):
            after = f"{each.store_id}:{each.seq}"
            if wanted.takes(each):
                found.append(event_json(each))
            if len(found) == limit:
                break
        ended = next(self._source(after, wanted), None) is None
        return {"events": found, "next": None if ended else after}

    def newest(self, before: str | None, limit: int, wanted: EventFilter) -> JsonObject:
        """The other way round: the newest first; `next` is the `before` of the next page."""
        found: list[JsonObject] = []
        for each in islice(self._back(before, wanted), SCANNED_MAX):
            before = f"{each.store_id}:{each.seq}"
            if wanted.takes(each):
                found.append(event_json(each))
            if len(found) == limit:
                break
        ended = before is None or next(self._back(before, wanted), None) is None
        return {"events": found, "next": None if ended else before}

    def event(self, store_id: str, seq: int) -> Recorded:
        """One event by its place. Raises ApiError 404."""
        for store in self._stores():
            if store.store_id == store_id and 0 < seq <= store.head():
                return store.read(after=seq - 1, limit=1)[0]
        raise ApiError(404, "not_found", "There is no such event.")

    def request(self, request_id: str) -> JsonObject:
        """All events of a request and what they lead to."""
        recorded = self._stream(parse_id("req", request_id))
        state = request_state(recorded)
        if state is None:
            raise ApiError(404, "not_found", "There is no such request.")
        return request_trail(recorded, state, self.books, self.directory)

    def credential(self, credential_id: str) -> JsonObject:
        """All events of a credential and its present state."""
        recorded = self._stream(parse_id("cred", credential_id))
        view = self.directory.credential(credential_id)
        state = None if view is None else credential_state(view)
        shown = [event_json(each) for each in recorded]
        return {"credential_id": credential_id, "events": shown, "state": state}

    def checkpoints(self, after: str | None, limit: int) -> JsonObject:
        """Size and root of the log at each seal, oldest first."""
        seals = (each for each in self._events(self._place(after), {"store"}) if _is_seal(each))
        found = [checkpoint_of(each) for each in islice(seals, limit)]
        shown = [
            {
                "store_id": seal.store_id,
                "seq": seal.seq,
                "size": seal.size,
                "root": seal.root,
                "recorded_at": seal.recorded_at,
            }
            for seal in found
        ]
        more = len(found) == limit
        last = f"{found[-1].store_id}:{found[-1].seq}" if more else None
        return {"checkpoints": shown, "next": last}

    def newest_checkpoints(self, limit: int) -> Sequence[Checkpoint]:
        """Those of the last seals, the newest first."""
        seals = (each for each in self._events_back(None, {"store"}) if _is_seal(each))
        return [checkpoint_of(each) for each in islice(seals, limit)]

    def all_checkpoints(self) -> Iterator[Checkpoint]:
        """Of every seal, oldest first."""
        return (checkpoint_of(each) for each in self._events((0, 0), {"store"}) if _is_seal(each))

    def _source(self, after: str | None, wanted: EventFilter) -> Iterator[Recorded]:
        place = self._place(after)
        if wanted.stream is None:
            yield from self._events(place, wanted.kinds)
        else:
            number = {store.store_id: index for index, store in enumerate(self._stores())}
            for each in self.log.stream(UUID(wanted.stream.partition("_")[2])):
                if (number[each.store_id], each.seq) > place:
                    yield each

    def _events(self, place: Place, streams: set[str] | None) -> Iterator[Recorded]:
        """Everything past a place, store by store."""
        first, seq = place
        for store in self._stores()[first:]:
            while page := store.read(after=seq, limit=LIMIT_MAX, streams=streams):
                yield from page
                seq = page[-1].seq
            seq = 0

    def _back(self, before: str | None, wanted: EventFilter) -> Iterator[Recorded]:
        place = None if before is None else self._place(before)
        if wanted.stream is None:
            yield from self._events_back(place, wanted.kinds)
        else:
            number = {store.store_id: index for index, store in enumerate(self._stores())}
            for each in reversed(self.log.stream(UUID(wanted.stream.partition("_")[2]))):
                if place is None or (number[each.store_id], each.seq) < place:
                    yield each

    def _events_back(self, before: Place | None, streams: set[str] | None) -> Iterator[Recorded]:
        """Everything before a place (None: all), the newest first."""
        stores = self._stores()
        index, end = before or (len(stores) - 1, stores[-1].head() + 1)
        window = FIRST_LOOK
        for store in reversed(stores[: index + 1]):
            while end > 1:
                after = max(0, end - 1 - window)
                window = min(2 * window, LIMIT_MAX)
                page = store.read(after=after, limit=end - 1 - after, streams=streams)
                yield from (each for each in reversed(page) if each.seq < end)
                end = after + 1
            index -= 1
            end = stores[index].head() + 1 if index >= 0 else 0

    def _stores(self) -> Sequence[LogReader]:
        """All, chain by chain: a place in the trail counts through them."""
        return stores_of(self.log)

    def _place(self, after: str | None) -> Place:
        if after is None:
            return 0, 0
        store_id, _, seq = after.rpartition(":")
        known = [store.store_id for store in self._stores()]
        if store_id not in known or not re.fullmatch(r"[0-9]{1,18}", seq):
            raise BadValue(f"after must look like {known[-1]}:0", param="after")
        return known.index(store_id), int(seq)

    def _stream(self, originator_id: UUID) -> Sequence[Recorded]:
        recorded = self.log.stream(originator_id)
        if not recorded:
            raise ApiError(404, "not_found", "Nothing is recorded under this id.")
        return recorded


def _is_seal(recorded: Recorded) -> bool:
    return recorded.topic == "store.log-sealed"


def router(*, access: Access, trail: Trail) -> APIRouter:
    """The routes of this file."""
    routes = APIRouter(prefix="/api/v1/audit", tags=["audit"], responses=ERRORS)
    auditor = Depends(access.allow("auditor", "operator"))

    @routes.get("/events")
    def events(  # noqa: PLR0917 - FastAPI passes them by name
        caller: Annotated[Caller, auditor],
        after: After = None,
        limit: Limit = 100,
        account: Text = None,
        stream: Text = None,
        topic: Text = None,
    ) -> JsonObject:
        """Events in the order of recording. `stream`: a public id; `topic`: whole or first part."""
        return trail.events(after, limit, EventFilter(account=account, stream=stream, topic=topic))

    @routes.get("/requests/{request_id}")
    def request_trail(request_id: str, caller: Annotated[Caller, auditor]) -> JsonObject:
        """All events of a request, and the receipt that they lead to."""
        return trail.request(request_id)

    @routes.get("/credentials/{credential_id}")
    def credential_trail(credential_id: str, caller: Annotated[Caller, auditor]) -> JsonObject:
        """All events of a provider credential, and its present state."""
        return trail.credential(credential_id)

    @routes.get("/checkpoints")
    def checkpoints(
        caller: Annotated[Caller, auditor], after: After = None, limit: Limit = 100
    ) -> JsonObject:
        """Size and RFC 6962 root of the log at each seal."""
        return trail.checkpoints(after, limit)

    return routes
