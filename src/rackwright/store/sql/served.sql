-- What racks serve to their machines.

-- name: lock_serving
-- Where these scopes are served, and where they stand now. They are an array: a row that another transaction changed
-- while this one waited for it is looked at again, and of IN (... UNION ALL ...) PostgreSQL then knows nothing any more
-- and leaves the row out.
SELECT served_rack.rack_id
FROM served_rack
WHERE rack_id = ANY (ARRAY(
    SELECT rack FROM scope WHERE id = ANY ($1::bigint[])
    UNION ALL
    SELECT rack_id FROM served WHERE scope_id = ANY ($1::bigint[])
    UNION ALL
    SELECT unnest($1::bigint[])))
ORDER BY rack_id
FOR UPDATE;

-- name: serving_places
SELECT rack, id FROM scope WHERE id = ANY ($1::bigint[]) AND rack = ANY ($2::bigint[])
UNION
SELECT id, id FROM scope WHERE id = ANY ($1::bigint[]) AND id = ANY ($2::bigint[])
UNION
SELECT rack_id, scope_id FROM served
WHERE scope_id = ANY ($1::bigint[]) AND rack_id = ANY ($2::bigint[]) AND document IS NOT NULL;

-- name: serve
WITH given AS MATERIALIZED (
    SELECT * FROM unnest($1::bigint[], $2::bigint[], $3::bytea[]) AS given (rack_id, scope_id, document)
),
fresh AS MATERIALIZED (
    SELECT given.* FROM given LEFT JOIN served USING (rack_id, scope_id)
    WHERE served.document IS DISTINCT FROM given.document
),
stamped AS (
    UPDATE served_rack
    SET generation = greatest(generation + 1, (extract(epoch FROM clock_timestamp()) * 1e6)::bigint)
    WHERE rack_id IN (SELECT rack_id FROM fresh)
    RETURNING rack_id, generation
),
stepped AS (
    INSERT INTO served_step SELECT rack_id, generation FROM stamped
),
kept AS (
    INSERT INTO served (rack_id, scope_id, generation, document)
    SELECT rack_id, scope_id, stamped.generation, document FROM fresh JOIN stamped USING (rack_id)
    ON CONFLICT (rack_id, scope_id) DO UPDATE SET generation = excluded.generation, document = excluded.document
)
SELECT rack_id FROM stamped;

-- name: ask_to_serve
-- Twice: a transaction that looked for the row before it was committed has an older id than the second one.
INSERT INTO served_rack AS known (rack_id, generation, since)
VALUES ($1, (extract(epoch FROM clock_timestamp()) * 1e6)::bigint, '18446744073709551615')
ON CONFLICT (rack_id) DO UPDATE SET since = pg_current_xact_id() WHERE known.since = '18446744073709551615';

-- name: may_make_all
SELECT complete OR since < pg_snapshot_xmin(pg_current_snapshot()) FROM served_rack WHERE rack_id = $1;

-- name: lock_served_rack
SELECT complete FROM served_rack WHERE rack_id = $1 FOR UPDATE;

-- name: standing_in
-- And what is still served and stands there no longer: there should be none.
SELECT id FROM scope WHERE rack = $1
UNION
SELECT scope_id FROM served WHERE rack_id = $1 AND scope_id <> $1 AND document IS NOT NULL
ORDER BY id;

-- name: made_all
UPDATE served_rack SET complete = true WHERE rack_id = $1;

-- name: serving_steps
-- One snapshot for the counters and all that they count. Two branches, of which one is never begun: a delta must not
-- read all that the rack serves.
SELECT asked.rack_id, asked.after, served_rack.generation, known.found, lacking.scope_id, lacking.document
FROM unnest($1::bigint[], $2::bigint[]) AS asked (rack_id, after)
JOIN served_rack ON served_rack.rack_id = asked.rack_id AND complete
CROSS JOIN LATERAL (
    SELECT EXISTS (
        SELECT FROM served_step
        WHERE served_step.rack_id = asked.rack_id AND served_step.generation = asked.after) AS found
) AS known
LEFT JOIN LATERAL (
    SELECT scope_id, document FROM served
    WHERE known.found AND served.rack_id = asked.rack_id AND served.generation > asked.after
    UNION ALL
    SELECT scope_id, document FROM served
    WHERE NOT known.found AND served.rack_id = asked.rack_id AND document IS NOT NULL
) AS lacking ON served_rack.generation <> asked.after;

-- name: note_applied
-- The racks' rows are locked already.
WITH said AS MATERIALIZED (
    SELECT * FROM unnest($1::bigint[], $2::bigint[], $3::jsonb[]) AS said (rack_id, generation, report)
), old_steps AS (
    DELETE FROM served_step USING said
    WHERE served_step.rack_id = said.rack_id AND served_step.generation < said.generation - $4
), old_gone AS (
    DELETE FROM served USING said
    WHERE served.rack_id = said.rack_id AND served.generation < said.generation - $4 AND served.document IS NULL
)
UPDATE served_rack SET
    report = said.report,
    applied = said.generation,
    effect = CASE
        WHEN applied = said.generation THEN effect
        ELSE greatest(extract(epoch FROM clock_timestamp()) - said.generation / 1e6::double precision, 0) END
FROM said WHERE served_rack.rack_id = said.rack_id
RETURNING served_rack.rack_id, effect;

-- name: serving
SELECT rack_id, generation, applied, effect, report
FROM served_rack WHERE $1::bigint[] IS NULL OR rack_id = ANY ($1::bigint[]);

-- name: lock_racks_served
SELECT rack_id, generation, applied, effect, report
FROM served_rack WHERE $1::bigint[] IS NULL OR rack_id = ANY ($1::bigint[])
ORDER BY rack_id
FOR NO KEY UPDATE;

-- name: allocations
SELECT scope_id, allocation FROM machine WHERE scope_id = ANY ($1::bigint[]);
