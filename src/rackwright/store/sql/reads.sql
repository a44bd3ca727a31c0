-- What node tasks have read.

-- name: put_values
-- Rows come sorted, so that two transactions never wait for each other in a ring.
INSERT INTO read_value (fingerprint, value)
SELECT * FROM unnest($1::text[], $2::jsonb[])
ON CONFLICT (fingerprint) DO NOTHING;

-- name: note_reads
INSERT INTO recorded_reads (node_task, attempt, noted)
SELECT * FROM unnest($1::bigint[], $2::integer[], $3::jsonb[])
ON CONFLICT (node_task) DO UPDATE SET attempt = excluded.attempt, noted = excluded.noted;

-- name: keep_reads
-- An attempt that is not the one that was noted is fenced off.
UPDATE recorded_reads SET kept = noted, kept_attempt = recorded_reads.attempt
FROM unnest($1::bigint[], $2::integer[]) AS ended (node_task, attempt)
WHERE recorded_reads.node_task = ended.node_task AND recorded_reads.attempt = ended.attempt;

-- name: kept_reads
SELECT node_task, kept, kept_attempt = attempt FROM recorded_reads
WHERE node_task = ANY ($1::bigint[]) AND kept IS NOT NULL;

-- name: read_values
SELECT fingerprint, value FROM read_value WHERE fingerprint = ANY ($1::text[]);

-- name: forget_reads
DELETE FROM recorded_reads WHERE node_task = ANY ($1::bigint[]);

-- name: unused_value
-- Asked before anything is locked: most of the time there is none.
WITH used AS (
    SELECT one.value AS fingerprint FROM recorded_reads CROSS JOIN LATERAL jsonb_each_text(noted) AS one
    UNION
    SELECT one.value FROM recorded_reads CROSS JOIN LATERAL jsonb_each_text(kept) AS one
)
SELECT fingerprint FROM read_value
WHERE NOT EXISTS (SELECT FROM used WHERE used.fingerprint = read_value.fingerprint)
LIMIT 1;

-- name: hold_notes
-- Notes take a weaker lock before they look whether a value is there, and keep it to their end: what is dropped under
-- this one is referred to by none that could not be seen.
LOCK TABLE read_value IN SHARE ROW EXCLUSIVE MODE;

-- name: drop_values
WITH used AS (
    SELECT one.value AS fingerprint FROM recorded_reads CROSS JOIN LATERAL jsonb_each_text(noted) AS one
    UNION
    SELECT one.value FROM recorded_reads CROSS JOIN LATERAL jsonb_each_text(kept) AS one
), dropped AS (
    DELETE FROM read_value
    WHERE NOT EXISTS (SELECT FROM used WHERE used.fingerprint = read_value.fingerprint)
    RETURNING 1
)
SELECT count(*) FROM dropped;
