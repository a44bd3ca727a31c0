-- Roll-ups: counts of node tasks by deployment, rack and state.

-- name: add_counts
INSERT INTO rollup_change (deployment_id, rack_id, state, n)
SELECT * FROM unnest($1::bigint[], $2::bigint[], $3::smallint[], $4::bigint[]);

-- name: add_counts_of
-- These node tasks as they stand now, so many times each.
INSERT INTO rollup_change (deployment_id, rack_id, state, n)
SELECT deployment_id, coalesce(rack_id, 0), state, $2::bigint * count(*)
FROM node_task WHERE id = ANY ($1::bigint[])
GROUP BY 1, 2, 3;

-- name: fold_rollups
-- In the order of the key, so that two conductors do not wait for each other in a ring.
WITH taken AS (
    DELETE FROM rollup_change
    WHERE id = ANY (ARRAY(SELECT id FROM rollup_change ORDER BY id LIMIT $1 FOR UPDATE SKIP LOCKED))
    RETURNING deployment_id, rack_id, state, n
), folded AS (
    INSERT INTO rollup
    SELECT deployment_id, rack_id, state, sum(n) FROM taken GROUP BY 1, 2, 3 HAVING sum(n) <> 0 ORDER BY 1, 2, 3
    ON CONFLICT (deployment_id, rack_id, state) DO UPDATE SET n = rollup.n + excluded.n
)
SELECT count(*) FROM taken;

-- name: lock_recount
SELECT pg_advisory_xact_lock(hashtextextended('rackwright recount', 0));

-- name: recount
-- One statement sees one moment: moves and what they count are committed together.
WITH differs AS (
    SELECT deployment_id, rack_id, state, sum(n)::bigint AS n
    FROM (
        SELECT deployment_id, coalesce(rack_id, 0) AS rack_id, state, count(*) AS n FROM node_task GROUP BY 1, 2, 3
        UNION ALL
        SELECT deployment_id, rack_id, state, -n FROM rollup_now
    ) AS compared
    GROUP BY 1, 2, 3
    HAVING sum(n) <> 0
), mended AS (
    INSERT INTO rollup_change (deployment_id, rack_id, state, n) SELECT * FROM differs
)
SELECT deployment_id, rack_id, state, n FROM differs ORDER BY 1, 2, 3;

-- name: drop_empty_rollups
DELETE FROM rollup WHERE n = 0;
