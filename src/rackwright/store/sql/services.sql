-- Beats of processes. In the order of their ids, so that two apis that tell of the same racks do not block each other.

-- name: beat
INSERT INTO service AS known
    (id, kind, name, host, pid, version, started_at, number, state, loop_lag, sample, seen_at)
SELECT said.*, extract(epoch FROM clock_timestamp())
FROM unnest($1::text[], $2::text[], $3::text[], $4::text[], $5::bigint[], $6::text[], $7::float8[], $8::bigint[],
            $9::text[], $10::float8[], $11::bytea[])
    AS said (id, kind, name, host, pid, version, started_at, number, state, loop_lag, sample)
ORDER BY said.id
ON CONFLICT (id) DO UPDATE SET seen_at = excluded.seen_at, number = excluded.number, state = excluded.state,
    loop_lag = excluded.loop_lag, sample = excluded.sample
WHERE known.number < excluded.number;

-- name: forget_services
DELETE FROM service
WHERE seen_at < extract(epoch FROM clock_timestamp()) - CASE state WHEN 'ended' THEN $1::float8 ELSE $2::float8 END;

-- name: view_services
SELECT kind, name, host, pid, version, state, started_at, seen_at, loop_lag,
       CASE WHEN $1 THEN sample END AS sample,
       greatest(extract(epoch FROM clock_timestamp()) - seen_at, 0)::float8 AS age
FROM service
WHERE state <> 'ended'
ORDER BY kind, host, name, started_at, id;

-- name: view_queues
-- What may be very much is counted to a limit.
SELECT 'plan' AS name, count(*) AS depth,
       (extract(epoch FROM clock_timestamp()) - min(created_at))::float8 AS oldest
FROM plan WHERE state = 'requested' OR (state = 'ready' AND apply)
UNION ALL
SELECT 'lease', count(*), (extract(epoch FROM clock_timestamp()) - min(ended))::float8
FROM (
    SELECT lease_until AS ended FROM node_task
    WHERE state = 2 AND lease_until IS NOT NULL AND lease_until < extract(epoch FROM clock_timestamp())
    UNION ALL
    SELECT until FROM seat JOIN node_task USING (rack_id)
    WHERE state = 2 AND lease_until = 'infinity' AND until < extract(epoch FROM clock_timestamp())
) AS late
UNION ALL
SELECT 'barrier', count(*),
       (SELECT (extract(epoch FROM clock_timestamp()) - min(since))::float8 FROM queue_head WHERE name = 'barrier')
FROM barrier WHERE waits = 0 AND released < width
UNION ALL
SELECT 'node_task', count(*),
       (SELECT (extract(epoch FROM clock_timestamp()) - min(since))::float8 FROM queue_head WHERE name = 'node_task')
FROM (SELECT FROM node_task WHERE state = 1 LIMIT 10000) AS ready
UNION ALL
SELECT 'hook', count(*), (extract(epoch FROM clock_timestamp()) - min(at))::float8
FROM (SELECT at FROM message WHERE state = 'waiting' ORDER BY subscription_id, id LIMIT 10000) AS waiting
UNION ALL
SELECT 'job', count(*), extract(epoch FROM clock_timestamp() - min(due))::float8
FROM (
    SELECT coalesce(scheduled_at, (SELECT min(at) FROM procrastinate.procrastinate_events WHERE job_id = job.id)) AS due
    FROM procrastinate.procrastinate_jobs AS job
    WHERE status = 'todo' AND (scheduled_at IS NULL OR scheduled_at <= now())
    ORDER BY id LIMIT 1000
) AS waiting;

-- name: look_at_heads
-- In each rack the node task that is claimed first, which is the first in the index; each open barrier by how far it has
-- come. Conductors that look at the same time write the same.
WITH heads AS MATERIALIZED (
    SELECT 'node_task' AS name, scope.id AS place, head.id AS head
    FROM scope CROSS JOIN LATERAL (
        SELECT node_task.id FROM node_task
        WHERE node_task.rack_id = scope.id AND node_task.state = 1
        ORDER BY node_task.priority DESC, node_task.id LIMIT 1
    ) AS head
    WHERE scope.kind = 'rack'
    UNION ALL
    SELECT 'barrier', id, released FROM barrier WHERE waits = 0 AND released < width
), gone AS (
    DELETE FROM queue_head WHERE (name, place) NOT IN (SELECT name, place FROM heads)
)
INSERT INTO queue_head AS known (name, place, head, since)
SELECT name, place, head, extract(epoch FROM clock_timestamp()) FROM heads ORDER BY name, place
ON CONFLICT (name, place) DO UPDATE SET head = excluded.head, since = excluded.since
WHERE known.head <> excluded.head;
