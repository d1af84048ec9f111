"""The table of all settings: name, default, meaning. docs/operations.md is written from it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final, Literal, cast

from keytoll.setting import (
    Setting,
    address,
    address_if_given,
    bootstrap_servers,
    clickhouse_url,
    count,
    file,
    folder,
    kafka_options,
    loopback,
    name_if_given,
    one_of,
    origin,
    origins,
    postgres_urls,
    secret,
    switch_if_given,
    topic,
    upstreams,
)

LogFormat = Literal["auto", "json", "text"]
LogLevel = Literal["debug", "info", "warning", "error"]

DATA: Final = Setting("KEYTOLL_DATA", "./data", "Folder of the embedded stores.", folder)
LISTEN: Final = Setting("KEYTOLL_LISTEN", "127.0.0.1:8080", "Address of the server.", address)
MASTER_KEY: Final = Setting(
    "KEYTOLL_MASTER_KEY",
    "",
    "Master key of the vault. Give this or the file, not both.",
    secret,
    shown="none",
)
MASTER_KEY_FILE: Final = Setting(
    "KEYTOLL_MASTER_KEY_FILE",
    "",
    "File of the master key, made on first start with mode 0600 unless `KEYTOLL_STORE` is given. "
    "Never inside the data folder, so that a copy of the folder opens nothing.",
    file,
    shown="the data folder's path with `.key` added",
)
CHECKPOINTS: Final = Setting(
    "KEYTOLL_CHECKPOINTS",
    "",
    "File that each seal of the log is also written to. Outside the data folder, so that a cut "
    "or rewritten log is found out; best on another disk.",
    file,
    shown="the data folder's path with `.checkpoints` added",
)
UPSTREAMS: Final = Setting(
    "KEYTOLL_UPSTREAMS",
    "{}",
    "JSON object, slug to base URL, in place of the provider's own. Naming a host here allows "
    "it, also over http and on loopback.",
    upstreams,
)
SANDBOX: Final = Setting(
    "KEYTOLL_SANDBOX",
    "",
    "`on` or `off`: the sandbox provider. Off, its slug is unknown.",
    switch_if_given,
    shown="on; off when `KEYTOLL_STORE` is given",
)
SANDBOX_LISTEN: Final = Setting(
    "KEYTOLL_SANDBOX_LISTEN",
    "127.0.0.1:0",
    "Loopback address of the sandbox provider.",
    loopback,
    shown="a free loopback port",
)
STORE: Final = Setting(
    "KEYTOLL_STORE",
    "",
    "Postgres URL of event log, vault and labels, `postgresql://user:password@host/database`. "
    "Several, separated by white space, are several logs; the first also keeps vault and labels.",
    postgres_urls,
    shown="SQLite files in the data folder",
)
KAFKA: Final = Setting(
    "KEYTOLL_KAFKA",
    "",
    "Kafka bootstrap servers, `host:port`, separated by commas: events are relayed to the topic "
    "`keytoll.events`.",
    bootstrap_servers,
    shown="none: the projector reads the log itself",
)
KAFKA_OPTIONS: Final = Setting(
    "KEYTOLL_KAFKA_OPTIONS",
    "",
    "JSON object of kafka-python's settings of TLS and SASL (`security_protocol`, `ssl_…`, "
    "`sasl_…`). Kept as a secret.",
    kafka_options,
    shown="none: plain text, for a network of its own",
)
KAFKA_TOPIC: Final = Setting(
    "KEYTOLL_KAFKA_TOPIC",
    "keytoll.events",
    "The topic; made by the first relay. Consumers form the group of this name with `.project`.",
    topic,
)
KAFKA_PARTITIONS: Final = Setting(
    "KEYTOLL_KAFKA_PARTITIONS",
    "12",
    "Partitions of the topic: as many projectors can share the work. Never changed later.",
    count(1, 1000),
)
KAFKA_REPLICAS: Final = Setting(
    "KEYTOLL_KAFKA_REPLICAS",
    "3",
    "Brokers that keep each partition, 1 where there is only one broker; else all but one of them "
    "must have a record before it counts.",
    count(1, 10),
)
KAFKA_RETENTION_DAYS: Final = Setting(
    "KEYTOLL_KAFKA_RETENTION_DAYS",
    "0",
    "Days that the topic keeps events; 0 keeps them for ever. The event log keeps them anyhow.",
    count(0, 36500),
)
MEMBER: Final = Setting(
    "KEYTOLL_MEMBER",
    "",
    "Name of this projector in its group, another one for each, the same after a restart.",
    name_if_given,
    shown="the host's name",
)
CLICKHOUSE: Final = Setting(
    "KEYTOLL_CLICKHOUSE",
    "",
    "URL of a ClickHouse server, `http(s)://user:password@host:8123/database`, for the tables.",
    clickhouse_url,
    shown="an engine of its own in the data folder",
)
CLICKHOUSE_CLUSTER: Final = Setting(
    "KEYTOLL_CLICKHOUSE_CLUSTER",
    "",
    "Name of the ClickHouse cluster over which the tables are replicated.",
    name_if_given,
    shown="none: one server",
)
LEASE_S: Final = Setting(
    "KEYTOLL_LEASE_S",
    "15",
    "Seconds after which a process that was not heard of counts as dead, and its open requests "
    "as lost. Only where several processes share a store.",
    count(3, 3600),
)
METRICS_LISTEN: Final = Setting(
    "KEYTOLL_METRICS_LISTEN",
    "",
    "Address of `/metrics`, `/healthz` and `/readyz` of a process: the only one of `keytoll work`, "
    "another one of `serve`. With `serve --workers N` the first child's; each further one takes "
    "the next port.",
    address_if_given,
    shown="none",
)
CORS_ORIGINS: Final = Setting(
    "KEYTOLL_CORS_ORIGINS",
    "",
    "Origins, separated by commas, whose pages may call. No wildcard.",
    origins,
    shown="none: CORS is off",
)
PUBLIC_URL: Final = Setting(
    "KEYTOLL_PUBLIC_URL",
    "",
    "Where people reach the server, such as `https://toll.example.com`: shown in example calls. "
    "With https the pages' cookie never travels over http.",
    origin,
    shown="the host that a browser asked for, over http",
)
LOG_FORMAT: Final = Setting(
    "KEYTOLL_LOG_FORMAT",
    "auto",
    "`json`, `text` or `auto` (text on a terminal, else JSON). Logs go to stderr.",
    cast("Callable[[str], LogFormat]", one_of("auto", "json", "text")),
)
LOG_LEVEL: Final = Setting(
    "KEYTOLL_LOG_LEVEL",
    "info",
    "`debug`, `info`, `warning` or `error`.",
    cast("Callable[[str], LogLevel]", one_of("debug", "info", "warning", "error")),
)
BODY_BYTES_MAX: Final = Setting(
    "KEYTOLL_BODY_BYTES_MAX",
    "33554432",
    "Largest body of a chat completion, in bytes; more answers 413. Other routes take 1 MiB.",
    count(1024, 1 << 30),
)
ANSWER_BYTES_MAX: Final = Setting(
    "KEYTOLL_ANSWER_BYTES_MAX",
    "134217728",
    "Largest answer of a provider, in bytes; the rest is cut off and the call settled.",
    count(65536, 1 << 32),
)
CALLS_MAX: Final = Setting(
    "KEYTOLL_CALLS_MAX", "1000", "Calls that may run at once.", count(1, 1_000_000)
)
ACCOUNT_CALLS_MAX: Final = Setting(
    "KEYTOLL_ACCOUNT_CALLS_MAX",
    "256",
    "Calls of one account that may run at once; more answer 429.",
    count(1, 1_000_000),
)
ACCOUNT_KEYS_MAX: Final = Setting(
    "KEYTOLL_ACCOUNT_KEYS_MAX",
    "100",
    "Provider credentials, and API keys, that one account may hold.",
    count(1, 100_000),
)
CONNECT_TIMEOUT_S: Final = Setting(
    "KEYTOLL_CONNECT_TIMEOUT_S", "10", "Seconds to reach a provider.", count(1, 600)
)
FIRST_BYTE_TIMEOUT_S: Final = Setting(
    "KEYTOLL_FIRST_BYTE_TIMEOUT_S",
    "600",
    "Seconds until the first byte of an answer.",
    count(1, 86_400),
)
SILENCE_TIMEOUT_S: Final = Setting(
    "KEYTOLL_SILENCE_TIMEOUT_S",
    "300",
    "Seconds that an answer may pause once it has begun.",
    count(1, 86_400),
)
ANSWER_TIMEOUT_S: Final = Setting(
    "KEYTOLL_ANSWER_TIMEOUT_S",
    "3600",
    "Seconds that a whole answer may take.",
    count(1, 604_800),
)
DRAINS_MAX: Final = Setting(
    "KEYTOLL_DRAINS_MAX",
    "100",
    "Answers read to their end at once after the client has gone; more are cancelled.",
    count(0, 1_000_000),
)
DRAIN_TIMEOUT_S: Final = Setting(
    "KEYTOLL_DRAIN_TIMEOUT_S",
    "300",
    "Seconds that an answer is read on after the client has gone.",
    count(1, 86_400),
)
SHUTDOWN_TIMEOUT_S: Final = Setting(
    "KEYTOLL_SHUTDOWN_TIMEOUT_S",
    "30",
    "Seconds that running calls get when the server stops; what remains is settled as estimated.",
    count(0, 3600),
)
SEAL_INTERVAL_S: Final = Setting(
    "KEYTOLL_SEAL_INTERVAL_S",
    "3600",
    "Seconds between seals of the log; an idle log is sealed too.",
    count(1, 3600),
)
CLOSE_GRACE_S: Final = Setting(
    "KEYTOLL_CLOSE_GRACE_S",
    "3600",
    "Seconds after a period's end before it may be closed; `keytoll close --grace` overrules.",
    count(0, 604_800),
)
UNRATED_DAYS: Final = Setting(
    "KEYTOLL_UNRATED_DAYS",
    "60",
    "Days that a call without a price waits for one; after that it is written off.",
    count(1, 3650),
)

SETTINGS: Final[tuple[Setting[object], ...]] = tuple(
    each for each in list(globals().values()) if isinstance(each, Setting)
)
"""Every setting above, in its order."""


def documentation() -> str:
    """The table of docs/operations.md, as Markdown."""
    rows = ["| setting | default | meaning |", "|---|---|---|"]
    for setting in SETTINGS:
        default = setting.shown or f"`{setting.default}`"
        rows.append(f"| `{setting.name}` | {default} | {setting.meaning} |")
    return "\n".join(rows) + "\n"
