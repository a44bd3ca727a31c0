-- Errors that spread in slices (see core/spreading.py).

-- name: add_sources
INSERT INTO spreading (node_task, source, deployment_id, priority, reason)
SELECT id, true, deployment_id, priority, reason
FROM unnest($1::bigint[], $2::bigint[], $3::integer[], $4::text[]) AS new (id, deployment_id, priority, reason)
ON CONFLICT DO NOTHING;

-- name: crowded
-- The walk ends as soon as it has found enough.
WITH RECURSIVE below (is_barrier, id) AS (
    SELECT false, unnest($1::bigint[])
    UNION
    SELECT next.is_barrier, next.id
    FROM below
    CROSS JOIN LATERAL (
        SELECT false, unnest(children) FROM node_task WHERE NOT below.is_barrier AND node_task.id = below.id
        UNION ALL
        SELECT true, unnest(feeds) FROM node_task WHERE NOT below.is_barrier AND node_task.id = below.id
        UNION ALL
        SELECT false, unnest(children) FROM barrier WHERE below.is_barrier AND barrier.id = below.id
        UNION ALL
        SELECT true, unnest(feeds) FROM barrier WHERE below.is_barrier AND barrier.id = below.id
    ) AS next (is_barrier, id)
)
SELECT count(*) > $2 + cardinality($1)
FROM (SELECT FROM below WHERE NOT is_barrier LIMIT $2 + cardinality($1) + 1) AS found;

-- name: lock_spreading
-- Slices come one after the other, whoever works on them: what is above is blocked before what is below.
SELECT pg_try_advisory_xact_lock(hashtextextended('rackwright spreading', 0));

-- name: spread_out
WITH RECURSIVE taken AS (
    DELETE FROM spreading
    WHERE source AND deployment_id = (SELECT deployment_id FROM spreading WHERE source ORDER BY node_task LIMIT 1)
    RETURNING node_task, reason
), below (is_barrier, id) AS (
    SELECT false, node_task FROM taken
    UNION
    SELECT next.is_barrier, next.id
    FROM below
    CROSS JOIN LATERAL (
        SELECT false, unnest(children) FROM node_task WHERE NOT below.is_barrier AND node_task.id = below.id
        UNION ALL
        SELECT true, unnest(feeds) FROM node_task WHERE NOT below.is_barrier AND node_task.id = below.id
        UNION ALL
        SELECT false, unnest(children) FROM barrier WHERE below.is_barrier AND barrier.id = below.id
        UNION ALL
        SELECT true, unnest(feeds) FROM barrier WHERE below.is_barrier AND barrier.id = below.id
    ) AS next (is_barrier, id)
), found AS (
    INSERT INTO spreading (node_task, source, deployment_id, priority, reason)
    SELECT node_task.id, false, deployment_id, priority, (SELECT min(reason) FROM taken)
    FROM below JOIN node_task ON node_task.id = below.id
    WHERE NOT below.is_barrier AND state IN (-1, 0, 1) AND below.id NOT IN (SELECT node_task FROM taken)
    ON CONFLICT DO NOTHING
)
SELECT count(*) FROM taken;

-- name: spreading
SELECT node_task, reason FROM spreading WHERE NOT source ORDER BY priority DESC, node_task LIMIT :limit;

-- name: spread_done
DELETE FROM spreading WHERE NOT source AND node_task = ANY ($1::bigint[]);
