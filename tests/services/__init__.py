"""Real services for tests and for developers, without containers: Kafka, Postgres, ClickHouse.

`fixtures.py` starts them on first use; `python -m tests.services` starts all three and prints the
environment lines that name them. Where KAFKA_BOOTSTRAP, POSTGRES_DSN or CLICKHOUSE_DSN name a
running one, that is used instead.
"""
