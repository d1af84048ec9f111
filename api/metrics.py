"""What operators can watch: the one home of the Prometheus client."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any, Final, TypeVar

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest
from prometheus_client.core import GaugeMetricFamily
from prometheus_client.registry import Collector

from domain.events.requests import (
    RequestFailed,
    RequestRouted,
    TerminalEvent,
    UsageEstimated,
)

CONTENT_TYPE: Final = "text/plain; version=0.0.4; charset=utf-8"
M = TypeVar("M", Counter, Histogram)
_BUCKETS_S: Final = (0.01, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 300)


class Readings:
    """Figures of one process that are read when they are asked for."""

    def __init__(self) -> None:
        self._registry = CollectorRegistry()

    def watch(self, name: str, meaning: str, read: Callable[[], float]) -> None:
        """One figure."""
        Gauge(name, meaning, registry=self._registry).set_function(read)

    def watch_each(
        self, name: str, meaning: str, label: str, read: Callable[[], Mapping[str, float]]
    ) -> None:
        """A figure for each value of a label, as `read` gives them."""
        self._registry.register(_Each(name, meaning, label, read))

    def render(self) -> bytes:
        """The exposition text."""
        return generate_latest(self._registry)


class Metrics(Readings):
    """Counters of a process that serves calls. Nothing here is money: the events are the record."""

    def __init__(self) -> None:
        super().__init__()
        self._children: dict[tuple[object, tuple[str, ...]], Any] = {}
        self._calls = Counter(
            "keytoll_calls_total",
            "Calls that have their terminal event.",
            ("provider", "outcome"),
            registry=self._registry,
        )
        self._refused = Counter(
            "keytoll_refused_total",
            "Requests refused before anything was recorded.",
            ("code",),
            registry=self._registry,
        )
        self._sent_again = Counter(
            "keytoll_retries_total",
            "Requests sent once more to a provider that had refused them at the door.",
            ("provider",),
            registry=self._registry,
        )
        self._fell_back = Counter(
            "keytoll_fallbacks_total",
            "Attempts with another credential after the one before had brought no answer.",
            ("provider",),
            registry=self._registry,
        )
        self._seconds = Histogram(
            "keytoll_call_seconds",
            "From the accepted request to its terminal event.",
            ("provider",),
            buckets=_BUCKETS_S,
            registry=self._registry,
        )
        self._first_byte = Histogram(
            "keytoll_first_byte_seconds",
            "From the accepted request to the first byte of the answer.",
            ("provider",),
            buckets=_BUCKETS_S,
            registry=self._registry,
        )

    def call_ended(self, routed: RequestRouted, event: TerminalEvent) -> None:
        """A call has its terminal event."""
        if isinstance(event, RequestFailed):
            outcome = event.failure
        else:
            outcome = "estimated" if isinstance(event, UsageEstimated) else "reported"
            if event.first_byte_ms is not None:
                self._of(self._first_byte, routed.provider).observe(event.first_byte_ms / 1000)
        self._of(self._calls, routed.provider, outcome).inc()
        if event.total_ms is not None:
            self._of(self._seconds, routed.provider).observe(event.total_ms / 1000)

    def sent_again(self, provider: str) -> None:
        """A request goes to its provider once more."""
        self._of(self._sent_again, provider).inc()

    def fell_back(self, provider: str) -> None:
        """Another credential is tried."""
        self._of(self._fell_back, provider).inc()

    def call_refused(self, code: str) -> None:
        """A request was answered with an error and left no event."""
        self._refused.labels(code).inc()

    def _of(self, metric: M, *labels: str) -> M:
        """The metric's child for some labels. The library looks for it under a lock each time."""
        child: M | None = self._children.get((metric, labels))
        if child is None:
            child = self._children[metric, labels] = metric.labels(*labels)
        return child


class _Each(Collector):
    """One gauge with a label whose values come and go."""

    def __init__(
        self, name: str, meaning: str, label: str, read: Callable[[], Mapping[str, float]]
    ) -> None:
        self._name = name
        self._meaning = meaning
        self._label = label
        self._read = read

    def collect(self) -> Iterator[GaugeMetricFamily]:
        family = GaugeMetricFamily(self._name, self._meaning, labels=[self._label])
        for value, figure in self._read().items():
            family.add_metric([value], figure)
        yield family
