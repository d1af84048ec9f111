-- Every line of the log that was projected: what makes the position true, density checkable, an open
-- request visible (routed, but no version 2) and a second payload under an old seq too (the hash is
-- part of the key, so both rows stay).
-- Inserted last in each batch: a seq that stands here stands in every other table.
-- `position` counts through the log and the stores that it continues (a restored backup does); with
-- one store, the usual case, it equals seq.
CREATE TABLE $db.log_lines
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
ENGINE = ReplacingMergeTree
ORDER BY (store_id, seq, hash)
SETTINGS non_replicated_deduplication_window = 1000, fsync_after_insert = 1;

-- One row per event of a request with version 2 or more: the state to which it led. An event of
-- version 3 or more also gives a row with sign -1, which takes back the state before, so that every
-- sum is sum(sign * x) and nobody has to know which version is in force.
CREATE TABLE $db.request_lines
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
ENGINE = ReplacingMergeTree(first_wins)
PARTITION BY toYYYYMM(recorded_at)
ORDER BY (account_id, event_id, sign)
SETTINGS non_replicated_deduplication_window = 1000, fsync_after_insert = 1;

-- Records that could not be read or rated as a whole. `resolved` 1 once a later try succeeded.
CREATE TABLE $db.dead_letters
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
ENGINE = ReplacingMergeTree(resolved)
ORDER BY (store_id, seq, hash)
SETTINGS non_replicated_deduplication_window = 1000, fsync_after_insert = 1;

-- A second payload for a seq or an event id that was already there. The first one counts.
CREATE TABLE $db.conflicts
(
    store_id LowCardinality(String),
    seq UInt64,
    hash FixedString(32),
    event_id UUID,
    account_id LowCardinality(String),
    topic LowCardinality(String),
    recorded_at DateTime64(6, 'UTC')
)
ENGINE = ReplacingMergeTree
ORDER BY (store_id, seq, hash)
SETTINGS non_replicated_deduplication_window = 1000, fsync_after_insert = 1;
