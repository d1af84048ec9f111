-- For each partition of the feed the highest offset up to which its records are in these tables.
-- Written after the rows of a batch and before the group's own commit, so a member that begins at
-- min(committed, 1 + highest) leaves nothing out, wherever the group's offsets were moved to.
-- `life` counts how often the topic was made anew, which begins the offsets again.
CREATE TABLE $db.feed_offsets
(
    topic LowCardinality(String),
    partition UInt32,
    life UInt32,
    highest UInt64
)
ENGINE = ReplacingMergeTree(highest)
ORDER BY (topic, partition, life)
SETTINGS non_replicated_deduplication_window = 1000, fsync_after_insert = 1;
