CREATE DATABASE IF NOT EXISTS $db ON CLUSTER 'billing';

CREATE TABLE IF NOT EXISTS $db.generations ON CLUSTER 'billing'
(generation UInt32, step UInt32, state LowCardinality(String))
ENGINE = ReplicatedReplacingMergeTree('/clickhouse/tables/{database}/{table}', '{replica}', step) ORDER BY generation
SETTINGS fsync_after_insert = 1;

CREATE TABLE IF NOT EXISTS $db.migrations ON CLUSTER 'billing'
(number UInt32, name String, sha256 String)
ENGINE = ReplicatedReplacingMergeTree('/clickhouse/tables/{database}/{table}', '{replica}') ORDER BY number
SETTINGS fsync_after_insert = 1;

CREATE TABLE IF NOT EXISTS $db.log_lines ON CLUSTER 'billing'
(
    store_id LowCardinality(String),
    seq UInt64,
    position UInt64,
    hash FixedString(32),
    event_id UUID,
    originator_id UUID,
    originator_version UInt32,
    topic LowCardinality(String),
    account_id LowCardinality(String),
    recorded_at DateTime64(6, 'UTC')
)
ENGINE = ReplicatedReplacingMergeTree('/clickhouse/tables/{database}/{table}', '{replica}')
ORDER BY (store_id, seq, hash)
SETTINGS replicated_deduplication_window = 1000, replicated_deduplication_window_seconds = 604800, fsync_after_insert = 1;

CREATE TABLE IF NOT EXISTS $db.request_lines ON CLUSTER 'billing'
(
    account_id LowCardinality(String),
    event_id UUID,
    sign Int8,
    request_id UUID,
    version UInt32,
    topic LowCardinality(String),
    store_id LowCardinality(String),
    seq UInt64,
    position UInt64,
    hash FixedString(32),
    recorded_at DateTime64(6, 'UTC'),
    terminal_at DateTime64(6, 'UTC'),
    routed_at DateTime64(6, 'UTC'),
    sandbox Bool,
    epoch LowCardinality(String),
    api_key_id LowCardinality(String),
    credential_id LowCardinality(String),
    provider LowCardinality(String),
    api LowCardinality(String),
    requested_model LowCardinality(String),
    model LowCardinality(String),
    tags Map(LowCardinality(String), String),
    stream Bool,
    state LowCardinality(String),
    status LowCardinality(String),
    usage_source LowCardinality(String),
    failure LowCardinality(String),
    finish_reason LowCardinality(String),
    delivered LowCardinality(String),
    first_byte_ms Nullable(UInt64),
    total_ms Nullable(UInt64),
    tries UInt32,
    account_version UInt64,
    price_book LowCardinality(String),
    price_at DateTime64(6, 'UTC'),
    markup_rate LowCardinality(String),
    rule LowCardinality(String),
    reference_provider LowCardinality(String),
    reference_model LowCardinality(String),
    price_rows Array(LowCardinality(String)),
    unrated_units Array(LowCardinality(String)),
    at_cost_usd Nullable(Decimal(38, 24)),
    fee_usd Nullable(Decimal(38, 24)),
    input_tokens Nullable(UInt64),
    cached_input_tokens Nullable(UInt64),
    cached_audio_tokens Nullable(UInt64),
    cache_write_5m_tokens Nullable(UInt64),
    cache_write_1h_tokens Nullable(UInt64),
    cache_write_tokens Nullable(UInt64),
    input_audio_tokens Nullable(UInt64),
    input_image_tokens Nullable(UInt64),
    output_tokens Nullable(UInt64),
    reasoning_tokens Nullable(UInt64),
    output_audio_tokens Nullable(UInt64),
    output_image_tokens Nullable(UInt64),
    web_search_calls Nullable(UInt64),
    first_wins UInt64
)
ENGINE = ReplicatedReplacingMergeTree('/clickhouse/tables/{database}/{table}', '{replica}', first_wins)
PARTITION BY toYYYYMM(recorded_at)
ORDER BY (account_id, event_id, sign)
SETTINGS replicated_deduplication_window = 1000, replicated_deduplication_window_seconds = 604800, fsync_after_insert = 1;

CREATE TABLE IF NOT EXISTS $db.dead_letters ON CLUSTER 'billing'
(
    store_id LowCardinality(String),
    seq UInt64,
    hash FixedString(32),
    account_id LowCardinality(String),
    topic LowCardinality(String),
    recorded_at DateTime64(6, 'UTC'),
    error String,
    resolved UInt8
)
ENGINE = ReplicatedReplacingMergeTree('/clickhouse/tables/{database}/{table}', '{replica}', resolved)
ORDER BY (store_id, seq, hash)
SETTINGS replicated_deduplication_window = 1000, replicated_deduplication_window_seconds = 604800, fsync_after_insert = 1;

CREATE TABLE IF NOT EXISTS $db.conflicts ON CLUSTER 'billing'
(
    store_id LowCardinality(String),
    seq UInt64,
    hash FixedString(32),
    event_id UUID,
    account_id LowCardinality(String),
    topic LowCardinality(String),
    recorded_at DateTime64(6, 'UTC')
)
ENGINE = ReplicatedReplacingMergeTree('/clickhouse/tables/{database}/{table}', '{replica}')
ORDER BY (store_id, seq, hash)
SETTINGS replicated_deduplication_window = 1000, replicated_deduplication_window_seconds = 604800, fsync_after_insert = 1;

CREATE TABLE IF NOT EXISTS $db.closed_periods ON CLUSTER 'billing'
(
    account_id LowCardinality(String),
    sandbox Bool,
    invoice_id String,
    number String,
    store_id LowCardinality(String),
    seq UInt64,
    position UInt64,
    hash FixedString(32),
    issued_at DateTime64(6, 'UTC'),
    period_start DateTime64(6, 'UTC'),
    period_end DateTime64(6, 'UTC'),
    cutoff UInt64,
    first_wins UInt64
)
ENGINE = ReplicatedReplacingMergeTree('/clickhouse/tables/{database}/{table}', '{replica}', first_wins)
ORDER BY (account_id, sandbox, invoice_id)
SETTINGS replicated_deduplication_window = 1000, replicated_deduplication_window_seconds = 604800, fsync_after_insert = 1;

ALTER TABLE $db.request_lines ON CLUSTER 'billing' ADD COLUMN IF NOT EXISTS written_off Bool DEFAULT false AFTER unrated_units;

ALTER TABLE $db.request_lines ON CLUSTER 'billing' ADD COLUMN IF NOT EXISTS attempt_of String DEFAULT '' AFTER tags;

CREATE TABLE IF NOT EXISTS $db.feed_offsets ON CLUSTER 'billing'
(
    topic LowCardinality(String),
    partition UInt32,
    life UInt32,
    highest UInt64
)
ENGINE = ReplicatedReplacingMergeTree('/clickhouse/tables/{database}/{table}', '{replica}', highest)
ORDER BY (topic, partition, life)
SETTINGS replicated_deduplication_window = 1000, replicated_deduplication_window_seconds = 604800, fsync_after_insert = 1;

DROP DATABASE IF EXISTS $db ON CLUSTER 'billing' SYNC;
