-- Limits, and what steers deployments.

-- name: limits
-- Those that concern a rack: the site's, its own, and those of deployments that have something to do there.
SELECT scope_id, task, amount FROM work_limit
WHERE scope_id IN (0, $1) OR EXISTS (
    SELECT FROM node_task WHERE rack_id = $1 AND state = 1 AND deployment_id = work_limit.scope_id)
ORDER BY scope_id, task
FOR UPDATE;

-- name: running
-- What runs: everywhere, if $1; else in one rack, or for one of these deployments.
SELECT rack_id, deployment_id, task, count(*)
FROM node_task
WHERE state = 2 AND rack_id IS NOT NULL AND ($1 OR rack_id = $2 OR deployment_id = ANY ($3::bigint[]))
GROUP BY rack_id, deployment_id, task;

-- name: drop_limits
DELETE FROM work_limit WHERE scope_id = $1 AND task = ANY ($2::text[]);

-- name: put_limits
INSERT INTO work_limit (scope_id, task, amount)
SELECT $1, * FROM unnest($2::text[], $3::integer[])
ON CONFLICT (scope_id, task) DO UPDATE SET amount = excluded.amount WHERE work_limit.amount <> excluded.amount;

-- name: task_limits
SELECT task, amount FROM work_limit WHERE scope_id = $1 AND task <> '';

-- name: steering
SELECT document FROM steering WHERE deployment_id = $1;

-- name: steering_locked
SELECT document FROM steering WHERE deployment_id = $1 FOR UPDATE;

-- name: put_steering
INSERT INTO steering (deployment_id, document, held, wave, noop) VALUES ($1, $2, $3, $4, $5)
ON CONFLICT (deployment_id) DO UPDATE
SET document = excluded.document, held = excluded.held, wave = excluded.wave, noop = excluded.noop;

-- name: drop_steering
DELETE FROM steering WHERE deployment_id = $1;

-- name: steered
SELECT deployment_id FROM steering ORDER BY deployment_id;

-- name: assign_waves
UPDATE member SET wave = new.wave
FROM member AS old LEFT JOIN unnest($2::bigint[], $3::smallint[]) AS new (scope_id, wave) USING (scope_id)
WHERE member.deployment_id = $1 AND old.deployment_id = $1 AND member.scope_id = old.scope_id
  AND member.wave IS DISTINCT FROM new.wave;

-- name: unfinished_graph
SELECT EXISTS (SELECT FROM node_task WHERE deployment_id = $1 AND graph = $2 AND state <> 0);

-- name: wave_of
SELECT wave FROM member WHERE deployment_id = $1 AND scope_id = $2;

-- name: failed_scopes
SELECT DISTINCT scope_id FROM node_task WHERE deployment_id = $1 AND state = -1;

-- name: wave_busy
-- Whether anything can go on by itself in the waves up to $2: something runs, is to be woken, or may run. The first two
-- are asked first, for they look at few rows.
SELECT EXISTS (SELECT FROM node_task WHERE state = 2 AND rack_id IS NOT NULL AND deployment_id = $1)
    OR EXISTS (SELECT FROM barrier WHERE deployment_id = $1 AND waits = 0 AND released < width)
    OR EXISTS (
        SELECT FROM node_task
        JOIN scope ON scope.id = node_task.scope_id
        LEFT JOIN member ON member.deployment_id = $1 AND member.scope_id = node_task.scope_id
        WHERE node_task.deployment_id = $1 AND node_task.state = 1 AND (scope.alive OR node_task.offline)
          AND scope.available
          AND (member.wave IS NULL OR member.wave <= $2)
          AND NOT EXISTS (
              SELECT FROM node_task AS stopper
              WHERE stopper.scope_id = node_task.scope_id AND stopper.state = -1 AND stopper.critical));

-- name: wave_failed
-- Nodes of the wave, and racks or the deployment itself, on which something has failed.
SELECT count(DISTINCT node_task.scope_id)
FROM node_task LEFT JOIN member USING (deployment_id, scope_id)
WHERE deployment_id = $1 AND state = -1 AND (member.wave IS NULL OR member.wave = $2);

-- name: wave_gone
-- Nodes of the wave that are gone and have not done all of theirs, beside those on which something has failed. Few nodes
-- are gone, and each is asked about by itself: joins would be planned for very many.
SELECT count(*)
FROM scope
CROSS JOIN LATERAL (
    SELECT wave FROM member WHERE member.deployment_id = $1 AND member.scope_id = scope.id OFFSET 0) AS placed
WHERE NOT scope.alive AND placed.wave = $2
  AND (SELECT true FROM node_task_place AS place
       WHERE place.scope_id = scope.id AND place.deployment_id = $1
         AND (SELECT state FROM node_task WHERE node_task.id = place.id AND NOT offline) IN (1, 3) LIMIT 1)
  AND (SELECT true FROM node_task
       WHERE node_task.scope_id = scope.id AND node_task.deployment_id = $1 AND state = -1 LIMIT 1) IS NULL;

-- name: view_steering
SELECT document FROM steering WHERE deployment_id = ANY ($1::bigint[]);

-- name: view_limits
SELECT scope_id, amount FROM work_limit WHERE task = '' ORDER BY scope_id;

-- name: limits_of
SELECT scope_id, task, amount FROM work_limit WHERE scope_id = ANY ($1::bigint[]) ORDER BY scope_id, task;
