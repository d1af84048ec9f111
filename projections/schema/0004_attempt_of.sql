-- The first request of the call that this one is another attempt of; empty for the first itself.
ALTER TABLE $db.request_lines ADD COLUMN IF NOT EXISTS attempt_of String DEFAULT '' AFTER tags;
