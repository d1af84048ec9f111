"""Is the log what it was? Every line is hashed again, and every rule of the log is checked.

A store proves itself only up to its last seal. A cut tail, or a past that was rewritten together
with all its hashes and seals, shows against checkpoints that are kept elsewhere.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Final, NamedTuple, Protocol

from domain.errors import DomainError
from domain.eventlog.checkpoint import Checkpoint
from domain.events.base import JsonObject
from domain.events.codec import UnreadableEvent, canonical, event_of, read_line
from domain.events.requests import ROUTED_VERSION, TERMINAL_VERSION
from domain.ids import event_id_text
from domain.seal import Frontier, leaf_hash

FINDINGS_MAX: Final = 200
PAGE: Final = 5_000
"""Lines between two words on how far it is."""

_TERMINAL: Final = frozenset(
    {"request.usage-reported", "request.usage-estimated", "request.failed"}
)
_OPENED: Final = "store.opened"
_SEALED: Final = "store.log-sealed"


class RawLine(NamedTuple):
    """A row as it lies in the store, nothing checked. None: that part of it is missing."""

    seq: int
    hash: object
    originator_id: object
    """32 hex digits."""
    originator_version: object
    line: object
    filed: tuple[object, ...]
    """By what it is found: first part of the topic, topic, stream, version."""


class RawStore(Protocol):
    """One store of a log file, read without trusting it."""

    @property
    def store_id(self) -> str: ...

    def lines(self) -> Iterable[RawLine]:
        """Every row, by seq."""

    def kept(self) -> Frontier | None:
        """What the store says of its own tree, as of its end or of some line before.

        None: what it keeps is no such thing.
        """


class RawLog(Protocol):
    """A log file: its stores, oldest first, and what concerns all of them."""

    def stores(self) -> Sequence[RawStore]: ...

    def strays(self, limit: int) -> Sequence[str]:
        """Sentences about events that no line accounts for."""

    def broken_streams(self, limit: int) -> Sequence[str]:
        """Sentences about streams whose versions are not 1, 2, 3, …"""

    def open_requests(self) -> Iterable[str]:
        """What the store holds for open, 32 hex digits each."""


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that is wrong. `kind` is a fixed word, `message` says what and where."""

    kind: str
    store_id: str
    seq: int | None
    message: str


@dataclass(frozen=True, slots=True)
class StoreState:
    """What one store amounts to."""

    store_id: str
    size: int
    root: str
    seals: int


@dataclass(frozen=True, slots=True)
class Report:
    """What verifying found. Findings past FINDINGS_MAX are counted, not listed."""

    events: int
    stores: tuple[StoreState, ...]
    open_requests: int
    checkpoints: int
    findings: tuple[Finding, ...]
    findings_total: int

    @property
    def ok(self) -> bool:
        """Whether nothing at all is wrong."""
        return self.findings_total == 0


def verify(
    log: RawLog,
    *,
    checkpoints: Sequence[Checkpoint] = (),
    on_page: Callable[[int], None] | None = None,
) -> Report:
    """Check a whole log file, and each checkpoint against it.

    `on_page` is told now and then how many lines were checked.
    """
    findings = _Findings()
    requests = _Requests(findings)
    states: list[StoreState] = []
    recorded_at, expected = "", {checkpoint.store_id for checkpoint in checkpoints}
    for store in log.stores():
        own = [each for each in checkpoints if each.store_id == store.store_id]
        check = _StoreCheck(
            store.store_id, own, findings, requests, before=states[-1:], kept=store.kept()
        )
        check.recorded_at = recorded_at
        for raw in _told(store.lines(), on_page, sum(state.size for state in states)):
            check.line(raw)
        states.append(check.end())
        recorded_at = check.recorded_at
        expected.discard(store.store_id)
    for store_id in sorted(expected):
        findings.add("missing-store", store_id, None, f"there is no store {store_id}")
    for message in log.strays(FINDINGS_MAX):
        findings.add("stray-event", "", None, message)
    for message in log.broken_streams(FINDINGS_MAX):
        findings.add("broken-stream", "", None, message)
    requests.compare_with(log.open_requests())
    return Report(
        events=sum(state.size for state in states),
        stores=tuple(states),
        open_requests=len(requests.open),
        checkpoints=len(checkpoints),
        findings=tuple(findings.listed),
        findings_total=findings.total,
    )


@dataclass(slots=True)
class _Findings:
    listed: list[Finding] = field(default_factory=list)
    total: int = 0

    def add(self, kind: str, store_id: str, seq: int | None, message: str) -> None:
        self.total += 1
        if len(self.listed) < FINDINGS_MAX:
            self.listed.append(Finding(kind, store_id, seq, message))


class _Requests:
    """Pairs: each routed request ends once, and nothing ends or is corrected that did not begin."""

    def __init__(self, findings: _Findings) -> None:
        self._findings = findings
        self._damaged: set[str] = set()
        self.open: set[str] = set()

    def damaged(self, hex_id: object) -> None:
        """An event of this stream cannot be read; that is said once, not for its pair too."""
        self._damaged.add(str(hex_id))

    def see(self, fields: JsonObject) -> None:
        request, version, topic = (
            fields["originator_id"],
            fields["originator_version"],
            fields["topic"],
        )
        wrong = self._wrong(request, version, topic)
        if wrong is not None and request.replace("-", "") not in self._damaged:
            self._findings.add(
                "wrong-pair", fields["store_id"], fields["seq"], f"request {request}: {wrong}"
            )

    def _wrong(self, request: str, version: int, topic: str) -> str | None:
        if topic == "request.routed":
            known = request in self.open
            self.open.add(request)
            if version != ROUTED_VERSION:
                return f"routed as version {version}"
            return "routed twice" if known else None
        if topic in _TERMINAL:
            if request in self.open:
                self.open.remove(request)
                return None if version == TERMINAL_VERSION else f"ends with version {version}"
            return "a terminal event without a routed one, or a second one"
        if version <= TERMINAL_VERSION:
            return f"{topic} stands where the terminal event belongs"
        return f"{topic} before its terminal event" if request in self.open else None

    def compare_with(self, held: Iterable[str]) -> None:
        """Raise a finding unless the store holds those requests for open that are."""
        actual = {request.replace("-", "") for request in self.open}
        for request in sorted((actual ^ set(held)) - self._damaged):
            state = "open" if request in actual else "settled"
            message = f"request {request} is {state}, the store says otherwise"
            self._findings.add("wrong-open-requests", "", None, message)


class _StoreCheck:
    """Follows the lines of one store."""

    def __init__(
        self,
        store_id: str,
        checkpoints: Sequence[Checkpoint],
        findings: _Findings,
        requests: _Requests,
        *,
        before: Sequence[StoreState],
        kept: Frontier | None,
    ) -> None:
        self.recorded_at = ""
        """Of the latest line, be it of the store before."""
        self._before = before
        self._kept = kept or Frontier()
        self._store_id = store_id
        self._findings = findings
        self._requests = requests
        self._tree = Frontier()
        self._dense = True
        self._sealed_well = True
        self._seals = 0
        self._sealed = 0
        self._seq = 0
        self._due = _due(checkpoints)
        self._checkpoint = next(self._due, None)
        if kept is None:
            self._add("wrong-tail", None, "what the store keeps of its tree cannot be read")

    def line(self, raw: RawLine) -> None:
        """The next row."""
        seq = raw.seq
        if seq != self._seq + 1:
            self._gap(self._seq + 1, seq - 1)
        self._seq = seq
        while self._checkpoint is not None and self._checkpoint.size < seq:
            self._compare_root(self._checkpoint)
            self._checkpoint = next(self._due, None)
        leaf, fields = self._bytes(raw)
        if fields is None:
            self._requests.damaged(raw.originator_id)
        else:
            self._contents(seq, fields, raw)
        # A changed line is named already: its first hash keeps the roots above it comparable.
        kept = raw.hash if isinstance(raw.hash, bytes) and len(raw.hash) == 32 else leaf
        self._tree.add(kept)
        known = self._dense and self._sealed_well  # else that is said already
        if seq == self._kept.size and known and self._tree.root() != self._kept.root():
            self._add("wrong-tail", seq, f"the store keeps another root for its first {seq} lines")

    def end(self) -> StoreState:
        """No more rows."""
        if self._kept.size > self._seq:
            said = f"the log ends at seq {self._seq}, but the store says that it holds more"
            self._add("cut-tail", self._kept.size, f"{said}: {self._kept.size} lines")
        for checkpoint in (self._checkpoint, *self._due):
            if checkpoint is None:
                continue
            if checkpoint.seq > self._seq or checkpoint.size > self._seq:
                self._add(
                    "cut-tail",
                    checkpoint.seq,
                    f"the log ends at seq {self._seq}, but a checkpoint of"
                    f" {checkpoint.recorded_at} saw seq {checkpoint.seq}",
                )
            else:
                self._compare_root(checkpoint)
        return StoreState(self._store_id, self._seq, self._tree.root().hex(), self._seals)

    def _add(self, kind: str, seq: int | None, message: str) -> None:
        self._findings.add(kind, self._store_id, seq, message)

    def _gap(self, first: int, last: int) -> None:
        which = f"seq {first} is" if first == last else f"seq {first} to {last} are"
        self._add("gap", first, f"{which} missing; later roots cannot be compared")
        self._dense = False

    def _bytes(self, raw: RawLine) -> tuple[bytes, JsonObject | None]:
        """The leaf of the row and, if the bytes are those that were hashed, the line's fields."""
        seq, line = raw.seq, raw.line
        if not isinstance(line, bytes):
            what = "has no event" if line is None else "is not bytes"
            self._add("deleted-row" if line is None else "changed-bytes", seq, f"seq {seq} {what}")
            return leaf_hash(b""), None
        leaf = leaf_hash(line)
        if leaf != raw.hash:
            self._add("changed-bytes", seq, f"the bytes of seq {seq} do not have its hash")
            return leaf, None
        try:
            fields = read_line(line)
        except UnreadableEvent as error:
            self._add("unreadable", seq, f"seq {seq}: {error}")
            return leaf, None
        if canonical(fields) != line:
            self._add("unreadable", seq, f"the bytes of seq {seq} are not canonical JSON")
        return leaf, fields

    def _contents(self, seq: int, fields: JsonObject, raw: RawLine) -> None:
        """The line is where it says that it is, says when, and can be read as an event."""
        originator, version = fields["originator_id"], fields["originator_version"]
        if (fields["store_id"], fields["seq"], version, originator.replace("-", "")) != (
            self._store_id,
            seq,
            raw.originator_version,
            raw.originator_id,
        ):
            said = f"{fields['store_id']}:{fields['seq']}"
            self._add("misplaced", seq, f"the line at seq {seq} says that it is {said}")
        topic = fields["topic"]
        # Readers ask the tables for what they want, so a wrong column hides the line from them.
        if raw.filed != (topic.partition(".")[0], topic, originator.replace("-", ""), version):
            self._add("misfiled", seq, f"seq {seq} is not filed under what its line says")
        recorded_at = fields["recorded_at"]
        if recorded_at < self.recorded_at:
            self._add("clock-back", seq, f"seq {seq} was recorded before the one before it")
        self.recorded_at = max(self.recorded_at, recorded_at)
        if topic.startswith("request."):
            self._requests.see(fields)
        elif topic == _SEALED:
            self._seal(seq, fields["data"])
        elif topic == _OPENED:
            self._continues(seq, fields["data"])
        try:
            event = event_of(fields)
        except (DomainError, TypeError, ValueError, LookupError) as error:
            self._add("unreadable", seq, f"seq {seq}: {error}")
            return
        if fields["event_id"] != event_id_text(event.originator_id, version):
            self._add("wrong-event-id", seq, f"seq {seq} has an event_id that is not its own")

    def _seal(self, seq: int, data: JsonObject) -> None:
        self._seals += 1
        sealed, self._sealed_well = self._sealed_well, False
        if data.get("size") != seq - 1:
            self._add("wrong-root", seq, f"the seal at seq {seq} is over {data.get('size')} lines")
        elif self._dense and data.get("root") != self._tree.root().hex():
            since = f"since seq {self._sealed}" if self._sealed else "before it"
            self._add(
                "wrong-root",
                seq,
                f"the seal at seq {seq} has another root: lines {since} were rewritten",
            )
        else:
            self._sealed, self._sealed_well = seq, sealed

    def _continues(self, seq: int, data: JsonObject) -> None:
        """The store before is the one that this one says it continues."""
        said = data.get("continues")
        held = [
            {"store_id": state.store_id, "size": state.size, "root": state.root}
            for state in self._before
        ]
        if said is not None and said not in held:
            message = f"seq {seq} continues a store that the file does not hold like that: {said}"
            self._add("wrong-past", seq, message)

    def _compare_root(self, checkpoint: Checkpoint) -> None:
        """The tree stands at the checkpoint's size."""
        if self._dense and self._tree.root().hex() != checkpoint.root:
            self._add(
                "rewritten-past",
                checkpoint.size,
                f"the first {checkpoint.size} lines are not those of the checkpoint of"
                f" {checkpoint.recorded_at}",
            )


def _told(
    lines: Iterable[RawLine], on_page: Callable[[int], None] | None, before: int
) -> Iterator[RawLine]:
    for count, raw in enumerate(lines, start=before + 1):
        yield raw
        if on_page is not None and count % PAGE == 0:
            on_page(count)


def _due(checkpoints: Sequence[Checkpoint]) -> Iterator[Checkpoint]:
    return iter(sorted(checkpoints, key=lambda checkpoint: (checkpoint.size, checkpoint.seq)))
