-- Parked attempts. The sentinel in incarnation is node_task.PARKED. Node tasks are asked one by one: a join would be
-- planned to read all that run. An awaited path may lead into a fact: the longest fact on its way is looked into. Such
-- facts stand, in the order of paths, between the path's first word and the path itself: the index finds these few.

-- name: park
INSERT INTO parked (node_task, attempt, scope_id, deadline, awaits, result)
SELECT * FROM unnest($1::bigint[], $2::integer[], $3::bigint[], $4::double precision[], $5::jsonb[], $6::jsonb[])
ON CONFLICT (node_task) DO UPDATE SET
    attempt = excluded.attempt, scope_id = excluded.scope_id, deadline = excluded.deadline, awaits = excluded.awaits,
    result = excluded.result;

-- name: parked
SELECT parked.node_task, parked.attempt, parked.scope_id, parked.deadline, parked.awaits, parked.result
FROM parked
WHERE parked.node_task = ANY ($1::bigint[])
  AND (SELECT state = 2 AND node_task.attempt = parked.attempt AND incarnation = 'parked'
       FROM node_task WHERE node_task.id = parked.node_task)
ORDER BY parked.node_task;

-- name: overdue
SELECT parked.node_task, parked.attempt, parked.scope_id, parked.deadline, parked.awaits, parked.result
FROM parked
WHERE parked.deadline <= $1
  AND (SELECT state = 2 AND node_task.attempt = parked.attempt AND incarnation = 'parked'
       FROM node_task WHERE node_task.id = parked.node_task)
ORDER BY parked.node_task
LIMIT :limit;

-- name: answered
SELECT parked.node_task, parked.attempt, parked.scope_id, parked.deadline, parked.awaits, parked.result
FROM parked
WHERE parked.awaits <> '{}'
  AND NOT EXISTS (
      SELECT FROM jsonb_each(parked.awaits) AS awaited
      LEFT JOIN LATERAL (
          SELECT fact.value #> string_to_array(substr(awaited.key, length(fact.path) + 2), '.') AS value
          FROM fact
          WHERE fact.scope_id = parked.scope_id
            AND fact.path BETWEEN split_part(awaited.key, '.', 1) AND awaited.key
            AND starts_with(awaited.key || '.', fact.path || '.')
          ORDER BY length(fact.path) DESC
          LIMIT 1) AS found ON true
      WHERE found.value IS NULL OR awaited.value <> 'null' AND found.value <> awaited.value)
  AND (SELECT state = 2 AND node_task.attempt = parked.attempt AND incarnation = 'parked'
       FROM node_task WHERE node_task.id = parked.node_task)
ORDER BY parked.node_task
LIMIT :limit;

-- name: clear_parked
WITH cleared AS (
    DELETE FROM parked
    WHERE (SELECT state = 2 AND node_task.attempt = parked.attempt AND incarnation = 'parked'
           FROM node_task WHERE node_task.id = parked.node_task) IS NOT TRUE
    RETURNING node_task
)
SELECT count(*) FROM cleared;
