-- Whether the request was written off: no price came in time for what has none (BILLING.md 1), and
-- none will be looked for any more. Its usage stays what it was, and is no longer waiting.
ALTER TABLE $db.request_lines ADD COLUMN IF NOT EXISTS written_off Bool DEFAULT false AFTER unrated_units;
