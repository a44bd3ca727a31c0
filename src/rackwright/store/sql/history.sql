-- Looking back: changes, attempts, and the parts of time in which they are kept.

-- name: add_changes
INSERT INTO audit (asked_by, address, request, kind, text, deployment, scope, before, after)
SELECT $1, $2, $3, new.*
FROM unnest($4::text[], $5::text[], $6::text[], $7::text[], $8::jsonb[], $9::jsonb[]) AS new;

-- name: view_changes
SELECT id, at, asked_by AS by, address, request, kind, text, deployment, scope, before, after
FROM audit
WHERE id < $1
ORDER BY id DESC
LIMIT $2;

-- name: view_changes_of
SELECT id, at, asked_by AS by, address, request, kind, text, deployment, scope, before, after
FROM audit
WHERE id < $1 AND deployment = $3
ORDER BY id DESC
LIMIT $2;

-- name: view_changes_on
SELECT id, at, asked_by AS by, address, request, kind, text, deployment, scope, before, after
FROM audit
WHERE id < $1 AND scope = $3
ORDER BY id DESC
LIMIT $2;

-- name: view_scope
-- What a name stands for: a node, else a rack, else a deployment.
SELECT id FROM scope WHERE name = $1 AND kind = ANY (ARRAY['node', 'rack', 'deployment'])
ORDER BY array_position(ARRAY['node', 'rack', 'deployment'], kind)
LIMIT 1;

-- name: view_attempts
-- The newest first: the parts of time are read one after the other, from the present one back, until there are enough.
-- The limit is written out, for the planner to see.
SELECT past.id, past.at, deployment.name AS deployment, past.task, past.scope_id, scope.name AS scope,
       rack.name AS rack, past.incarnation, past.node_task, past.attempt, past.outcome, past.reason, past.fingerprint,
       past.outputs, past.started_at, past.ended_at
FROM (
    SELECT *
    FROM run
    WHERE scope_id = $1 AND at <= least($2, extract(epoch FROM now()) + 86400) AND (at, id) < ($2, $3)
      AND ($4::text IS NULL
           OR deployment_id = (SELECT scope.id FROM scope WHERE scope.kind = 'deployment' AND scope.name = $4))
      AND ($5::text IS NULL OR task = $5)
    ORDER BY at DESC, id DESC
    LIMIT :limit
) AS past
LEFT JOIN scope ON scope.id = past.scope_id
LEFT JOIN scope AS deployment ON deployment.id = past.deployment_id
LEFT JOIN scope AS rack ON rack.id = past.rack_id
ORDER BY past.at DESC, past.id DESC;

-- name: view_lanes
-- What ran in a window of time, and what runs now (without an outcome), by task and outcome.
SELECT task, outcome, count(*) AS n, min(started_at) AS started, max(ended_at) AS ended,
       sum(ended_at - started_at) AS busy
FROM run
WHERE deployment_id = $1 AND at >= $2 AND ended_at >= $2 AND started_at <= $3
GROUP BY task, outcome
UNION ALL
SELECT task, NULL, count(*), min(claimed_at), NULL, 0
FROM node_task
WHERE deployment_id = $1 AND state = 2 AND claimed_at <= $3
GROUP BY task;

-- name: view_last_start
SELECT started_at FROM run WHERE deployment_id = $1 ORDER BY id DESC LIMIT 1;

-- name: view_last_cause
-- The newest change before a time that lets node tasks of a deployment run.
SELECT at FROM audit WHERE deployment = $1 AND kind = ANY ($3::text[]) AND at <= $2 ORDER BY id DESC LIMIT 1;

-- name: view_course_runs
SELECT id, node_task, scope_id, started_at, ended_at
FROM run
WHERE deployment_id = $1 AND id > $2 AND at >= $3 AND started_at >= $3 AND outcome = ANY ($4::text[])
ORDER BY id
LIMIT $5;

-- name: view_course_edges
SELECT id, children, feeds FROM node_task WHERE deployment_id = $1 AND id > $2 ORDER BY id LIMIT $3;

-- name: view_tasks_named
SELECT node_task.id, node_task.task, scope.name AS scope
FROM node_task JOIN scope ON scope.id = node_task.scope_id
WHERE node_task.id = ANY ($1::bigint[]);

-- name: history_alone
SELECT pg_try_advisory_xact_lock(7225928842);

-- name: history_impatient
-- What is locked is wanted by everybody: better later than long.
SELECT set_config('lock_timeout', '1s', true);

-- name: history_parts
SELECT first, beyond, empty FROM history_parts($1);

-- name: history_drop
SELECT history_drop($1, $2, $3);

-- name: history_narrow
SELECT history_narrow($1, $2, $3);

-- name: history_make
SELECT history_make($1, $2, $3);

-- name: typical_seconds
-- Of the newest attempts that ended well; the limit is written out, so that only the newest parts of time are read.
SELECT task, percentile_cont(0.5) WITHIN GROUP (ORDER BY took)
FROM (
    SELECT task, ended_at - started_at AS took
    FROM run
    WHERE deployment_id = $1 AND outcome IN ('active', 'unchanged')
    ORDER BY id DESC
    LIMIT 20000
) AS newest
GROUP BY task;
