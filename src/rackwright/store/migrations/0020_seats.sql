-- Which process works for a rack, and until when it is believed to live: beside the rack, whose row requests for work
-- lock for as long as they take. A heartbeat must not wait for them.
CREATE TABLE seat (
    rack_id bigint PRIMARY KEY REFERENCES scope ON DELETE CASCADE,
    incarnation text NOT NULL,
    seat text NOT NULL,
    until double precision NOT NULL,
    heard double precision NOT NULL
) WITH (fillfactor = 50);
INSERT INTO seat
SELECT id, holder, coalesce(seat, ''), held_until, coalesce(last_seen, 0) FROM scope
WHERE kind = 'rack' AND holder IS NOT NULL AND held_until IS NOT NULL;
ALTER TABLE scope DROP COLUMN holder, DROP COLUMN seat, DROP COLUMN held_until, DROP COLUMN last_seen;
