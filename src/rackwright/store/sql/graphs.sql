-- Graphs as a whole: what plans read and write.

-- name: graph_rows
SELECT node_task.id, node_task.deployment_id, node_task.graph, node_task.task, node_task.scope_id, rack_id, state, waits,
       priority, critical, attempt, tries, runs, revision, fingerprint, claimed, forced, incarnation, claimed_at,
       lease_until, not_before, reason, children, feeds, gates, offline
FROM node_task_place AS place JOIN node_task USING (id)
WHERE place.deployment_id = $1 AND place.graph = $2
ORDER BY node_task.id
FOR UPDATE OF node_task;

-- name: reserve_node_tasks
SELECT min(id), max(id) FROM (SELECT nextval('node_task_id') AS id FROM generate_series(1, $1)) AS fresh;

-- name: reserve_barriers
SELECT min(id), max(id) FROM (SELECT nextval('barrier_id') AS id FROM generate_series(1, $1)) AS fresh;

-- name: drop_rows
WITH gone AS (DELETE FROM node_task WHERE id = ANY ($1::bigint[]) AND deployment_id = $2 AND graph = $3 RETURNING id)
DELETE FROM recorded_reads USING gone WHERE node_task = gone.id;

-- name: reshape_rows
-- Everything that a new shape may change. Lists of ids come as text, for arrays of arrays must be rectangular.
UPDATE node_task SET
    rack_id = new.rack_id, state = new.state, waits = new.waits, priority = new.priority, critical = new.critical,
    attempt = new.attempt, tries = new.tries, runs = new.runs, revision = new.revision,
    fingerprint = new.fingerprint, claimed = new.claimed, forced = new.forced, incarnation = new.incarnation,
    claimed_at = new.claimed_at, lease_until = new.lease_until, not_before = new.not_before, reason = new.reason,
    children = new.children::bigint[], feeds = new.feeds::bigint[], gates = new.gates::bigint[],
    offline = new.offline
FROM unnest(
    $1::bigint[], $2::bigint[], $3::smallint[], $4::integer[], $5::integer[], $6::boolean[], $7::integer[],
    $8::integer[], $9::integer[], $10::bigint[], $11::bytea[], $12::bytea[], $13::boolean[], $14::text[],
    $15::double precision[], $16::double precision[], $17::double precision[], $18::text[],
    $19::text[], $20::text[], $21::text[], $22::boolean[]
) AS new (id, rack_id, state, waits, priority, critical, attempt, tries, runs, revision, fingerprint, claimed, forced,
          incarnation, claimed_at, lease_until, not_before, reason, children, feeds, gates, offline)
WHERE node_task.id = new.id;

-- name: drop_barriers
DELETE FROM barrier WHERE deployment_id = $1 AND graph = $2;

-- name: analyze_node_tasks
-- A plan that was made while the table was small would be kept for good; fresh statistics make PostgreSQL think anew.
ANALYZE node_task, node_task_place;
