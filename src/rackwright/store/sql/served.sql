-- What racks serve to their machines.

-- name: lock_serving
-- Where these scopes are served, and where they stand now.
SELECT served_rack.rack_id
FROM served_rack
WHERE rack_id IN (
    SELECT rack FROM scope WHERE id = ANY ($1::bigint[])
    UNION ALL
    SELECT rack_id FROM served WHERE scope_id = ANY ($1::bigint[])
    UNION ALL
    SELECT unnest($1::bigint[]))
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
INSERT INTO served_rack (rack_id, generation, since)
VALUES ($1, (extract(epoch FROM clock_timestamp()) * 1e6)::bigint, pg_current_xact_id())
ON CONFLICT DO NOTHING;

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

-- name: serving_step
-- One snapshot for the counter and all that it counts.
WITH known AS (
    SELECT generation, EXISTS (
        SELECT FROM served_step WHERE served_step.rack_id = $1 AND served_step.generation = $2) AS found
    FROM served_rack WHERE rack_id = $1 AND generation <> $2
)
SELECT known.generation, known.found, lacking.scope_id, lacking.document
FROM known
-- Two branches, of which one is never begun: a delta must not read all that the rack serves.
LEFT JOIN LATERAL (
    SELECT scope_id, document FROM served WHERE known.found AND rack_id = $1 AND generation > $2
    UNION ALL
    SELECT scope_id, document FROM served WHERE NOT known.found AND rack_id = $1 AND document IS NOT NULL
) AS lacking ON true;

-- name: note_applied
UPDATE served_rack SET
    report = $3,
    applied = $2,
    effect = CASE
        WHEN applied = $2 THEN effect
        ELSE greatest(extract(epoch FROM clock_timestamp()) - $2 / 1e6::double precision, 0) END
WHERE rack_id = $1;

-- name: drop_steps
DELETE FROM served_step WHERE rack_id = $1 AND generation < $2;

-- name: drop_gone
DELETE FROM served WHERE rack_id = $1 AND generation < $2 AND document IS NULL;

-- name: serving
SELECT rack_id, generation, applied, effect, report
FROM served_rack WHERE $1::bigint[] IS NULL OR rack_id = ANY ($1::bigint[]);

-- name: allocations
SELECT scope_id, allocation FROM machine WHERE scope_id = ANY ($1::bigint[]);
