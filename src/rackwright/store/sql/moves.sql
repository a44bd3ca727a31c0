-- Node tasks and barriers on the way of every move. All of it works on sets.

-- name: find
-- Each form has its own text, so that each has its own plan. States are looked up row by row, and only if asked for.
SELECT id FROM node_task_place AS place
WHERE deployment_id = $1
  AND ($2::smallint IS NULL OR (SELECT state FROM node_task WHERE node_task.id = place.id) = $2)
ORDER BY id;

-- name: find_named
SELECT id FROM node_task_place AS place
WHERE deployment_id = $1 AND task = ANY ($3::text[])
  AND ($2::smallint IS NULL OR (SELECT state FROM node_task WHERE node_task.id = place.id) = $2)
ORDER BY id;

-- name: find_on
SELECT id FROM node_task_place AS place
WHERE deployment_id = $1 AND scope_id = ANY ($3::bigint[])
  AND ($2::smallint IS NULL OR (SELECT state FROM node_task WHERE node_task.id = place.id) = $2)
ORDER BY id;

-- name: find_named_on
SELECT id FROM node_task_place AS place
WHERE deployment_id = $1 AND task = ANY ($3::text[]) AND scope_id = ANY ($4::bigint[])
  AND ($2::smallint IS NULL OR (SELECT state FROM node_task WHERE node_task.id = place.id) = $2)
ORDER BY id;

-- name: standing_on
SELECT id, deployment_id, graph, task, scope_id, rack_id, state, waits, priority, critical, attempt, tries, runs,
       revision, fingerprint, claimed, forced, incarnation, claimed_at, lease_until, not_before, reason,
       children, feeds, gates, offline
FROM node_task
WHERE id = ANY (ARRAY(SELECT place.id FROM node_task_place AS place WHERE place.scope_id = $1))
ORDER BY id;

-- name: to_come
SELECT node_task.id, node_task.deployment_id, node_task.graph, node_task.task, node_task.scope_id, rack_id, state, waits,
       priority, critical, attempt, tries, runs, revision, fingerprint, claimed, forced, incarnation, claimed_at,
       lease_until, not_before, reason, children, feeds, gates, offline
FROM node_task_place AS place JOIN node_task USING (id)
WHERE place.deployment_id = $1 AND state <> 0
  AND (priority < $2::integer OR priority = $2::integer AND node_task.id > $3::bigint)
ORDER BY priority DESC, node_task.id
LIMIT :limit;

-- name: waited_for
-- Only a person who asks why waits for this: edges are kept with the parents, so all that is not active is looked at.
SELECT parent.id, parent.deployment_id, parent.graph, parent.task, parent.scope_id, parent.rack_id, parent.state,
       parent.waits, parent.priority, parent.critical, parent.attempt, parent.tries, parent.runs, parent.revision,
       parent.fingerprint, parent.claimed, parent.forced, parent.incarnation, parent.claimed_at, parent.lease_until,
       parent.not_before, parent.reason, parent.children, parent.feeds, parent.gates, parent.offline
FROM node_task AS child JOIN node_task AS parent USING (deployment_id, graph)
WHERE child.id = $1 AND parent.state <> 0 AND ($1 = ANY (parent.children) OR parent.feeds && $2::bigint[])
ORDER BY parent.id
LIMIT :limit;

-- name: last_run
SELECT run.node_task, run.deployment_id, run.task, run.scope_id, run.rack_id, run.attempt, run.outcome, run.reason,
       run.revision, run.fingerprint, run.started_at, run.ended_at
FROM run
WHERE run.scope_id = (SELECT scope_id FROM node_task WHERE id = $1) AND run.node_task = $1
  AND run.at <= extract(epoch FROM now()) + 86400
ORDER BY run.at DESC, run.id DESC
LIMIT 1;

-- name: existing
SELECT id FROM node_task WHERE id = ANY ($1::bigint[]);

-- name: slice
SELECT id FROM node_task WHERE id > $1 ORDER BY id LIMIT :limit;

-- name: unfinished
SELECT DISTINCT scope_id FROM node_task_place AS place
WHERE scope_id = ANY ($3::bigint[]) AND deployment_id = $1 AND graph = $2
  AND (SELECT state FROM node_task WHERE node_task.id = place.id) <> 0;

-- name: reach_children
SELECT id FROM unnest($1::bigint[]) AS id
UNION
SELECT unnest(children) FROM node_task WHERE id = ANY ($1::bigint[])
ORDER BY 1;

-- name: reach_descendants
-- Walks through barriers too: `below` holds node tasks and barriers side by side.
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
SELECT id FROM below WHERE NOT is_barrier ORDER BY id;

-- name: lock_rows
SELECT id, deployment_id, graph, task, scope_id, rack_id, state, waits, priority, critical, attempt, tries, runs,
       revision, fingerprint, claimed, forced, incarnation, claimed_at, lease_until, not_before, reason,
       children, feeds, gates, offline
FROM node_task
WHERE id = ANY ($1::bigint[])
ORDER BY id
FOR UPDATE;

-- name: lock_rows_and_children
SELECT id, deployment_id, graph, task, scope_id, rack_id, state, waits, priority, critical, attempt, tries, runs,
       revision, fingerprint, claimed, forced, incarnation, claimed_at, lease_until, not_before, reason,
       children, feeds, gates, offline
FROM node_task
WHERE id = ANY (ARRAY(
    SELECT unnest($1::bigint[]) UNION ALL SELECT unnest(children) FROM node_task WHERE id = ANY ($1::bigint[])))
ORDER BY id
FOR UPDATE;

-- name: lock_barriers
-- These barriers and all below them. Their children may be very many, and are not read.
WITH RECURSIVE below (id) AS (
    SELECT unnest($1::bigint[])
    UNION
    SELECT next.id
    FROM below CROSS JOIN LATERAL (SELECT unnest(feeds) FROM barrier WHERE barrier.id = below.id) AS next (id)
)
SELECT id, deployment_id, graph, name, waits, released, feeds
FROM barrier
WHERE id = ANY (ARRAY(SELECT below.id FROM below))
ORDER BY id
FOR UPDATE;

-- name: read_barriers
SELECT id, deployment_id, graph, name, waits, released, feeds FROM barrier WHERE id = ANY ($1::bigint[]) ORDER BY id;

-- name: save_rows
-- Only what moves change.
UPDATE node_task SET
    state = new.state, waits = new.waits, attempt = new.attempt, tries = new.tries, runs = new.runs,
    revision = new.revision, fingerprint = new.fingerprint, claimed = new.claimed, forced = new.forced,
    incarnation = new.incarnation, claimed_at = new.claimed_at, lease_until = new.lease_until,
    not_before = new.not_before, reason = new.reason
FROM unnest(
    $1::bigint[], $2::smallint[], $3::integer[], $4::integer[], $5::integer[], $6::integer[], $7::bigint[],
    $8::bytea[], $9::bytea[], $10::boolean[], $11::text[], $12::double precision[], $13::double precision[],
    $14::double precision[], $15::text[]
) AS new (id, state, waits, attempt, tries, runs, revision, fingerprint, claimed, forced, incarnation, claimed_at,
          lease_until, not_before, reason)
WHERE node_task.id = new.id;

-- name: save_barriers
UPDATE barrier SET waits = new.waits, released = new.released
FROM unnest($1::bigint[], $2::integer[], $3::integer[]) AS new (id, waits, released)
WHERE barrier.id = new.id;

-- name: add_runs
INSERT INTO run (xact, node_task, deployment_id, task, scope_id, rack_id, attempt, outcome, reason, revision,
                 fingerprint, started_at, ended_at, incarnation, outputs)
SELECT pg_current_xact_id(), new.node_task, new.deployment_id, new.task, new.scope_id, new.rack_id, new.attempt, new.outcome,
       new.reason, new.revision, new.fingerprint, new.started_at, new.ended_at, new.incarnation, new.outputs
FROM unnest(
    $1::bigint[], $2::bigint[], $3::text[], $4::bigint[], $5::bigint[], $6::integer[], $7::text[], $8::text[],
    $9::bigint[], $10::bytea[], $11::double precision[], $12::double precision[], $13::text[], $14::jsonb[]
) AS new (node_task, deployment_id, task, scope_id, rack_id, attempt, outcome, reason, revision, fingerprint,
          started_at, ended_at, incarnation, outputs);

-- name: wakeable
-- Some open barrier with children to wake, and the next of them.
SELECT id, deployment_id, graph, name, waits, released, feeds, children[released + 1 : released + $1]
FROM barrier
WHERE waits = 0 AND released < width
ORDER BY id
LIMIT 1;

-- name: released
UPDATE barrier SET released = $3 WHERE id = $1 AND waits = 0 AND released = $2 RETURNING id;
