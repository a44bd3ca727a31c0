-- Reading for people. Nothing here locks.

-- name: view_nodes
-- First which nodes are on the page, then what is known of these. For who turns pages they are walked in the order of
-- their names until the page is full; how those of a rack, or of some names, are found is another text for each
-- (:whom), and the limit is written out: of one text for all the planner would read and sort every node. What machines
-- are asked for is one CASE, taken for true of every second node (see ``claimable``), with a value in place of EXISTS,
-- for which it would read every machine.
WITH page AS MATERIALIZED (
    SELECT * FROM scope
    WHERE kind = 'node' AND name > $1 AND :whom
      AND CASE
          WHEN num_nonnulls($5::text, $6::text, $7::text, $8::text) = 0 AND NOT $4::boolean THEN true
          ELSE (
              SELECT ($5::text IS NULL OR word = $5) AND ($6::text IS NULL OR allocation = $6)
                AND ($7::text IS NULL OR phase = $7) AND ($8::text IS NULL OR health = $8)
              FROM machine WHERE machine.scope_id = scope.id)
          END
    ORDER BY name
    LIMIT :limit
)
SELECT page.id, page.name, rack.name AS rack, address.value AS address, page.alive, page.available, page.labels,
       ARRAY(
           SELECT deployment.name || '/' || role
           FROM member JOIN scope AS deployment ON deployment.id = member.deployment_id
           CROSS JOIN unnest(member.roles) AS role
           WHERE member.scope_id = page.id
           ORDER BY 1
       ) AS roles,
       (SELECT jsonb_object_agg(state, n)
        FROM (
            SELECT (SELECT state FROM node_task WHERE node_task.id = place.id) AS state, count(*) AS n
            FROM node_task_place AS place
            WHERE place.scope_id = page.id
            GROUP BY 1
        ) AS counted) AS tasks,
       (SELECT to_jsonb(machine) || jsonb_build_object('id', machine.scope_id, 'deployment', machine.deployment_id)
        FROM machine WHERE machine.scope_id = page.id) AS machine,
       coalesce(traits.pool, '') AS pool,
       coalesce(nullif(traits.zone, ''), (SELECT zone FROM traits AS around WHERE around.scope_id = page.rack), '') AS zone,
       coalesce(traits.tags, '{}') AS tags
FROM page
LEFT JOIN LATERAL (SELECT name FROM scope WHERE scope.id = page.rack) AS rack ON true
LEFT JOIN LATERAL (SELECT pool, zone, tags FROM traits WHERE traits.scope_id = page.id) AS traits ON true
LEFT JOIN LATERAL (
    SELECT value FROM fact WHERE fact.scope_id = page.id AND fact.path = 'desired.address') AS address ON true
ORDER BY page.name;

-- name: view_facts
SELECT path, value FROM fact WHERE scope_id = $1 ORDER BY path;

-- name: view_racks
SELECT scope.name, (SELECT count(*) FROM scope AS node WHERE node.rack = scope.id) AS nodes, seat.heard AS last_seen,
       counted.tasks, served_rack.generation, served_rack.applied, served_rack.effect, served_rack.report
FROM scope
LEFT JOIN seat ON seat.rack_id = scope.id
LEFT JOIN served_rack ON served_rack.rack_id = scope.id
LEFT JOIN (
    SELECT rack_id, jsonb_object_agg(state, n) AS tasks
    FROM (SELECT rack_id, state, sum(n) AS n FROM rollup_now GROUP BY rack_id, state HAVING sum(n) <> 0) AS by_state
    GROUP BY rack_id
) AS counted ON counted.rack_id = scope.id
WHERE scope.kind = 'rack' AND ($1::text[] IS NULL OR scope.name = ANY ($1::text[]))
ORDER BY scope.name;

-- name: view_fleet
SELECT state, sum(n)::bigint AS n FROM rollup_now GROUP BY state HAVING sum(n) <> 0;

-- name: view_nodes_failed
-- Names of nodes with an error, out of the index of errors.
SELECT DISTINCT scope.name
FROM node_task JOIN scope ON scope.id = node_task.scope_id LEFT JOIN scope AS rack ON rack.id = scope.rack
WHERE node_task.state = -1 AND scope.kind = 'node' AND scope.name > $1 AND ($2::text IS NULL OR rack.name = $2)
ORDER BY scope.name
LIMIT $3;

-- name: view_nodes_running
-- Names of nodes on which something runs, without those that have an error.
SELECT scope.name
FROM node_task JOIN scope ON scope.id = node_task.scope_id LEFT JOIN scope AS rack ON rack.id = scope.rack
WHERE node_task.state = 2 AND scope.kind = 'node' AND scope.name > $1 AND ($2::text IS NULL OR rack.name = $2)
  AND NOT EXISTS (
      SELECT FROM node_task_place AS place JOIN node_task AS failed USING (id)
      WHERE place.scope_id = scope.id AND failed.state = -1)
ORDER BY scope.name
LIMIT $3;

-- name: view_nodes_resting
-- Names of nodes whose most pressing state is the one of this rank in the order of `node_state`; 7: no node tasks.
-- Nodes are walked by name: these states are those of very many nodes.
SELECT scope.name
FROM scope LEFT JOIN scope AS rack ON rack.id = scope.rack
WHERE scope.kind = 'node' AND scope.name > $1 AND ($2::text IS NULL OR rack.name = $2)
  AND $4 = coalesce((
      SELECT min(array_position(ARRAY[-1, 2, 1, 3, 4, 0]::smallint[], node_task.state))
      FROM node_task_place AS place JOIN node_task USING (id)
      WHERE place.scope_id = scope.id), 7)
ORDER BY scope.name
LIMIT $3;

-- name: view_deployments
SELECT scope.id, scope.name, coalesce(nullif(deployment.catalog_name, ''), deployment.catalog) AS catalog,
       parent.name AS parent, deployment.stopped, scope.created_at,
       (SELECT count(*) FROM member WHERE member.deployment_id = scope.id) AS members
FROM deployment
JOIN scope USING (id)
LEFT JOIN scope AS parent ON parent.id = deployment.parent
WHERE $1::text[] IS NULL OR scope.name = ANY ($1::text[])
ORDER BY scope.name;

-- name: view_counts
SELECT deployment_id, state, sum(n)::bigint AS n
FROM rollup_now
WHERE deployment_id = ANY ($1::bigint[])
GROUP BY deployment_id, state
HAVING sum(n) <> 0;

-- name: view_going
-- Those of the deployments in which something goes on by itself: a barrier has just opened, and what waits behind it is
-- still to be woken; or something in todo can run, for its scope is there and not stopped by a critical error. Only
-- racks that have something in todo are looked at, each until the first.
SELECT asked.id
FROM unnest($1::bigint[]) AS asked (id)
WHERE EXISTS (
    SELECT FROM barrier WHERE barrier.deployment_id = asked.id AND waits = 0 AND released < width
) OR EXISTS (
    SELECT FROM (
        SELECT rack_id FROM rollup_now
        WHERE rollup_now.deployment_id = asked.id AND state = 1 GROUP BY rack_id HAVING sum(n) > 0
    ) AS busy
    CROSS JOIN LATERAL (
        SELECT scope_id, offline FROM node_task
        WHERE node_task.rack_id = busy.rack_id AND state = 1 AND deployment_id = asked.id
        UNION ALL
        SELECT scope_id, offline FROM node_task
        WHERE busy.rack_id = 0 AND node_task.rack_id IS NULL AND state = 1 AND deployment_id = asked.id
    ) AS ready
    WHERE (SELECT (alive OR ready.offline) AND available FROM scope WHERE scope.id = ready.scope_id)
      AND NOT EXISTS (
          SELECT FROM node_task AS stopper
          WHERE stopper.scope_id = ready.scope_id AND stopper.state = -1 AND stopper.critical)
);

-- name: view_silent
-- Racks that have something to do in a deployment and were not heard of since $2.
SELECT rack.name, sum(rollup_now.n)::bigint AS n
FROM rollup_now JOIN scope AS rack ON rack.id = rollup_now.rack_id LEFT JOIN seat ON seat.rack_id = rack.id
WHERE rollup_now.deployment_id = $1 AND state IN (1, 2) AND coalesce(seat.heard, rack.created_at) < $2
GROUP BY rack.name
HAVING sum(rollup_now.n) > 0
ORDER BY rack.name
LIMIT 20;

-- name: view_reasons
-- Twenty of what does not go on, each kind by its own way: errors by their index, what is proposed or blocked in the
-- racks that have such, what is in todo on scopes that are gone, held back or stopped by a critical error. Nothing reads
-- all of a deployment.
WITH failed AS (
    SELECT id FROM node_task WHERE deployment_id = $1 AND state = -1 LIMIT 20
), waiting AS (
    SELECT row.id
    FROM (
        SELECT state, rack_id FROM rollup_now
        WHERE deployment_id = $1 AND state IN (3, 4)
        GROUP BY state, rack_id HAVING sum(n) > 0 ORDER BY state DESC, rack_id
    ) AS held
    CROSS JOIN LATERAL (
        SELECT scope.id FROM scope WHERE scope.rack = held.rack_id
        UNION
        SELECT unnest(ARRAY[held.rack_id, $1])
        UNION
        SELECT scope_id FROM member WHERE held.rack_id = 0 AND deployment_id = $1
    ) AS at
    CROSS JOIN LATERAL (SELECT place.id FROM node_task_place AS place WHERE place.scope_id = at.id OFFSET 0) AS there
    CROSS JOIN LATERAL (
        SELECT node_task.id FROM node_task
        WHERE node_task.id = there.id AND deployment_id = $1 AND state = held.state
          AND coalesce(node_task.rack_id, 0) = held.rack_id
        OFFSET 0
    ) AS row
    LIMIT 20
), gone AS (
    SELECT row.id
    FROM (SELECT id, true AS dead FROM scope WHERE NOT alive AND available
          UNION SELECT id, false FROM scope WHERE NOT available
          UNION SELECT scope_id, false FROM node_task WHERE state = -1 AND critical) AS at
    CROSS JOIN LATERAL (SELECT place.id FROM node_task_place AS place WHERE place.scope_id = at.id OFFSET 0) AS there
    CROSS JOIN LATERAL (
        SELECT node_task.id FROM node_task
        WHERE node_task.id = there.id AND deployment_id = $1 AND state = 1 AND NOT (at.dead AND offline)
        OFFSET 0
    ) AS row
    LIMIT 20
)
SELECT node_task.state, node_task.task, scope.name AS scope, node_task.reason, node_task.waits,
       scope.alive OR node_task.offline AS alive, scope.available
FROM (TABLE failed UNION ALL TABLE waiting UNION ALL TABLE gone) AS found
JOIN node_task USING (id) JOIN scope ON scope.id = node_task.scope_id
ORDER BY array_position(ARRAY[-1, 4, 3, 1]::smallint[], node_task.state), node_task.reason = '', node_task.id
LIMIT 20;

-- name: view_deployment_id
SELECT id FROM scope WHERE kind = 'deployment' AND name = $1;

-- name: view_tasks
SELECT node_task.id, node_task.graph, node_task.task, scope.name AS scope, rack.name AS rack, node_task.state,
       node_task.attempt, node_task.runs, node_task.waits, node_task.reason,
       nullif(node_task.claimed_at, 0) AS claimed_at
FROM node_task
JOIN scope ON scope.id = node_task.scope_id
LEFT JOIN scope AS rack ON rack.id = node_task.rack_id
WHERE node_task.deployment_id = $1 AND node_task.id > $5
  AND ($2::smallint IS NULL OR node_task.state = $2) AND ($3::text IS NULL OR scope.name = $3)
  AND ($4::text IS NULL OR node_task.task = $4)
ORDER BY node_task.id
LIMIT $6;

-- name: view_edges
SELECT id, children, feeds FROM node_task WHERE deployment_id = $1 ORDER BY id;

-- name: view_barriers
SELECT id, name, waits = 0 AS open, children, feeds FROM barrier WHERE deployment_id = $1 ORDER BY id;

-- name: view_runs
SELECT run.id, run.task, scope.name AS scope, rack.name AS rack, run.node_task, run.attempt, run.outcome, run.reason,
       run.started_at, run.ended_at, run.scope_id
FROM run
LEFT JOIN scope ON scope.id = run.scope_id
LEFT JOIN scope AS rack ON rack.id = run.rack_id
WHERE run.deployment_id = $1 AND run.id > $4 AND run.at >= $6 AND run.ended_at >= $6
  AND ($2::text IS NULL OR scope.name = $2) AND ($3::text IS NULL OR run.task = $3)
ORDER BY run.id
LIMIT $5;

-- name: view_plans
SELECT id, changes, apply, state, summary, fence, error, created_by, created_at, finished_at
FROM plan WHERE deployment_id = $1 ORDER BY id DESC LIMIT $2;

-- name: view_events
-- Events and ended attempts after the one with the id $1, of transactions older than every open one. They come in the
-- order of their transactions, and by id in each: by ids alone a reader would pass over the small id of a transaction
-- that is still open. One statement, for two would see two moments.
WITH place AS MATERIALIZED (
    SELECT xact
    FROM ((SELECT xact, id FROM event WHERE id <= $1 ORDER BY id DESC LIMIT 1)
          UNION ALL
          (SELECT xact, id FROM run WHERE id <= $1 ORDER BY id DESC LIMIT 1)) AS newest
    ORDER BY id DESC
    LIMIT 1
)
SELECT id, at, kind, text, deployment, scope, task, data
FROM (
    (SELECT xact, id, at, kind, text, deployment, scope, task, data
     FROM event
     WHERE (xact, id) > (coalesce((SELECT xact FROM place), '0'), $1) AND xact < pg_snapshot_xmin(pg_current_snapshot())
       AND ($2::text IS NULL OR deployment = $2)
     ORDER BY xact, id
     LIMIT $3)
    UNION ALL
    (SELECT run.xact, run.id, run.ended_at, 'run', NULL, deployment.name, scope.name, run.task,
            jsonb_build_object('node_task', run.node_task, 'rack', rack.name, 'attempt', run.attempt,
                               'outcome', run.outcome, 'reason', run.reason, 'started_at', run.started_at)
     FROM run
     LEFT JOIN scope ON scope.id = run.scope_id
     LEFT JOIN scope AS deployment ON deployment.id = run.deployment_id
     LEFT JOIN scope AS rack ON rack.id = run.rack_id
     WHERE (run.xact, run.id) > (coalesce((SELECT xact FROM place), '0'), $1)
       AND run.xact < pg_snapshot_xmin(pg_current_snapshot())
       AND ($2::text IS NULL OR deployment.name = $2)
     ORDER BY run.xact, run.id
     LIMIT $3)
) AS entry
ORDER BY xact, id
LIMIT $3;

-- name: view_place
-- The id of the entry before the newest $2, 0 when there is none.
SELECT coalesce((
    SELECT id
    FROM (
        (SELECT xact, id FROM event
         WHERE ($1::text IS NULL OR deployment = $1) AND xact < pg_snapshot_xmin(pg_current_snapshot())
         ORDER BY xact DESC, id DESC LIMIT $2 + 1)
        UNION ALL
        (SELECT xact, id FROM run
         WHERE ($1::text IS NULL OR deployment_id = (SELECT id FROM scope WHERE kind = 'deployment' AND name = $1))
           AND xact < pg_snapshot_xmin(pg_current_snapshot())
         ORDER BY xact DESC, id DESC LIMIT $2 + 1)
    ) AS newest
    ORDER BY xact DESC, id DESC
    OFFSET $2
    LIMIT 1
), 0);

-- name: view_catalogs
SELECT name, digest, changed_at AS created_at FROM catalog_name ORDER BY name;

-- name: add_log
-- A piece that comes twice on one day meets its like; one that comes again after midnight is looked for.
INSERT INTO log_piece (node_task, attempt, start, data, last)
SELECT node_task, attempt, start, data, last
FROM unnest($1::bigint[], $2::integer[], $3::bigint[], $4::bytea[], $5::boolean[], $6::bigint[])
    AS new (node_task, attempt, start, data, last, rack)
WHERE (new.rack IS NULL OR (SELECT rack_id = new.rack FROM node_task WHERE node_task.id = new.node_task))
  AND NOT EXISTS (
      SELECT FROM log_piece AS known
      WHERE known.at >= extract(epoch FROM now()) - 2 * 86400
        AND (known.node_task, known.attempt, known.start) = (new.node_task, new.attempt, new.start))
ON CONFLICT DO NOTHING;

-- name: newest_log
SELECT max(attempt) FROM log_piece WHERE node_task = $1;

-- name: log_pieces
SELECT start, data, last FROM log_piece
WHERE node_task = $1 AND attempt = $2 AND start < $4 AND start + length(data) >= $3
ORDER BY start;

-- name: rack_secret
SELECT id, secret FROM scope WHERE kind = 'rack' AND name = $1 AND secret IS NOT NULL;

-- name: add_token
INSERT INTO token (name, secret, scope) VALUES ($1, $2, $3)
ON CONFLICT (name) DO UPDATE SET secret = excluded.secret, scope = excluded.scope;

-- name: token
-- Notes the use at most once a minute, so that requests do not turn into writes.
WITH used AS (
    UPDATE token SET last_used = extract(epoch FROM clock_timestamp())
    WHERE secret = $1 AND coalesce(last_used, 0) < extract(epoch FROM clock_timestamp()) - 60
)
SELECT name, scope FROM token WHERE secret = $1;
