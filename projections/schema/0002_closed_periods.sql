-- One row per invoice: which period of an account it closed, and with which cutoff. A usage row
-- whose terminal event is in a closed period, but whose position is past its cutoff, was billed (as an
-- adjustment) in the first later invoice whose cutoff covers it.
CREATE TABLE $db.closed_periods
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
ENGINE = ReplacingMergeTree(first_wins)
ORDER BY (account_id, sandbox, invoice_id)
SETTINGS non_replicated_deduplication_window = 1000, fsync_after_insert = 1;
