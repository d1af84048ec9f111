"""How brokers are reached: addresses, TLS and SASL, time limits, and whose errors are whose."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from typing import Any, Final

import crc32c as _crc32c  # noqa: F401 - without it the library sums in Python, and takes thrice as long
from kafka.errors import (
    AuthorizationError,
    FencedInstanceIdError,
    KafkaConfigurationError,
    KafkaError,
    MessageSizeTooLargeError,
    SaslAuthenticationFailedError,
)
from kafka.net.compat import KafkaNetClient

from domain.eventlog.feed import Displaced, FeedMisconfigured, FeedUnavailable

ANSWER_S: Final = 10.0
"""How long any question to the brokers may take."""
RECORD_BYTES_MAX: Final = 8 * 1024 * 1024
"""Of a record, and of a compressed batch."""

_OPTIONS: Final = ("security_protocol", "ssl_", "sasl_")


@dataclass(frozen=True, slots=True)
class KafkaServers:
    """Where the brokers are, and how they are spoken to."""

    bootstrap: tuple[str, ...]
    """`host:port` of some of them."""
    options: Mapping[str, Any] = field(default_factory=dict, repr=False)
    """kafka-python's own settings of TLS and SASL: `security_protocol`, `ssl_…`, `sasl_…`."""
    answer_s: float = ANSWER_S

    def __post_init__(self) -> None:
        for name in self.options:
            if not name.startswith(_OPTIONS):
                raise FeedMisconfigured(f"{name!r} is not an option of TLS or SASL")


@contextmanager
def translated() -> Iterator[None]:
    """The library's errors as the port's."""
    try:
        yield
    except FencedInstanceIdError as error:
        raise Displaced("another process joined the group as this member") from error
    except (
        AuthorizationError,
        KafkaConfigurationError,
        MessageSizeTooLargeError,
        SaslAuthenticationFailedError,
    ) as error:
        raise FeedMisconfigured(f"Kafka refuses: {type(error).__name__}: {error}") from error
    except (KafkaError, OSError) as error:
        raise FeedUnavailable(f"Kafka: {type(error).__name__}: {error}") from error


def open_client(servers: KafkaServers, kind: Callable[..., Any], **settings: Any) -> Any:
    """A client of the library. Its threads end even if it cannot be opened."""
    _silence()
    answer_ms = int(servers.answer_s * 1000)
    nets: list[KafkaNetClient] = []

    def net_client(**configs: Any) -> KafkaNetClient:
        nets.append(KafkaNetClient(**configs))
        return nets[-1]

    with translated():
        try:
            return kind(
                bootstrap_servers=list(servers.bootstrap),
                bootstrap_timeout_ms=answer_ms,
                request_timeout_ms=answer_ms,
                reconnect_backoff_max_ms=1000,
                kafka_client=net_client,
                **servers.options,
                **settings,
            )
        except BaseException:
            for net in nets:
                with suppress(Exception):
                    net.close()
            raise


def _silence() -> None:
    """The library logs whole records and settings, passwords among them. Errors are raised."""
    log = logging.getLogger("kafka")
    log.propagate = False
    log.setLevel(logging.CRITICAL + 1)
