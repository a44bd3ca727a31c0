-- Machines, and the node tasks of their activities.

-- name: machines
SELECT scope_id, allocation, installed, rescue, verb, activity, phase, health, reason, since, last_seen, beats, last_verb,
       last_outcome, last_ended_at, deployment_id
FROM machine WHERE scope_id = ANY ($1::bigint[]);

-- name: lock_machines
SELECT scope_id, allocation, installed, rescue, verb, activity, phase, health, reason, since, last_seen, beats, last_verb,
       last_outcome, last_ended_at, deployment_id
FROM machine WHERE scope_id = ANY ($1::bigint[]) ORDER BY scope_id FOR UPDATE;

-- name: save_machines
INSERT INTO machine (scope_id, allocation, installed, rescue, verb, activity, phase, health, reason, since, last_seen,
                     beats, last_verb, last_outcome, last_ended_at, deployment_id, word)
SELECT * FROM unnest(
    $1::bigint[], $2::text[], $3::boolean[], $4::boolean[], $5::text[], $6::text[], $7::text[], $8::text[], $9::text[],
    $10::double precision[], $11::double precision[], $12::boolean[], $13::text[], $14::text[],
    $15::double precision[], $16::bigint[], $17::text[])
ON CONFLICT (scope_id) DO UPDATE SET
    allocation = excluded.allocation, installed = excluded.installed, rescue = excluded.rescue, verb = excluded.verb,
    activity = excluded.activity, phase = excluded.phase, health = excluded.health, reason = excluded.reason,
    since = excluded.since, last_seen = excluded.last_seen, beats = excluded.beats, last_verb = excluded.last_verb,
    last_outcome = excluded.last_outcome, last_ended_at = excluded.last_ended_at,
    deployment_id = excluded.deployment_id, word = excluded.word;

-- name: known_by
WITH found AS (
    SELECT scope_id FROM fact WHERE path IN ('desired.macs', 'observed.macs') AND value ?| $1::text[]
    UNION
    SELECT scope_id FROM unnest($2::text[]) AS serial JOIN fact ON path = 'observed.serial' AND value #>> '{}' = serial
)
SELECT scope.id, scope.name, scope.rack,
       (SELECT value FROM fact WHERE fact.scope_id = scope.id AND path = 'desired.macs') AS desired,
       (SELECT value FROM fact WHERE fact.scope_id = scope.id AND path = 'observed.macs') AS observed,
       (SELECT value FROM fact WHERE fact.scope_id = scope.id AND path = 'observed.serial') AS serial
FROM found JOIN scope ON scope.id = found.scope_id
WHERE scope.kind = 'node'
ORDER BY scope.id;

-- name: note_seen
-- Rows come sorted, so that two racks that tell of one machine do not wait for each other in a ring.
WITH before AS MATERIALIZED (
    SELECT machine.scope_id, machine.health, given.at
    FROM unnest($1::bigint[], $2::double precision[]) AS given (scope_id, at) JOIN machine USING (scope_id)
    ORDER BY machine.scope_id
    FOR UPDATE OF machine
), noted AS (
    UPDATE machine SET last_seen = greatest(last_seen, before.at), beats = true
    FROM before WHERE machine.scope_id = before.scope_id
)
SELECT scope_id FROM before WHERE health = 'missing' ORDER BY 1;

-- name: silent
-- A system that an activity has just brought needs a while until its agent is there.
SELECT machine.scope_id
FROM machine
WHERE beats AND phase = 'idle' AND health <> 'missing' AND last_seen < $1 AND coalesce(last_ended_at < $1, true)
  AND (SELECT alive FROM scope WHERE scope.id = machine.scope_id)
ORDER BY last_seen
LIMIT :limit;

-- name: drop_activity_rows
WITH gone AS (DELETE FROM node_task WHERE id = ANY ($1::bigint[]) RETURNING id)
DELETE FROM recorded_reads USING gone WHERE node_task = gone.id;

-- name: leave
DELETE FROM member WHERE deployment_id = $1 AND scope_id = ANY ($2::bigint[]);

-- name: set_living
WITH before AS MATERIALIZED (
    SELECT id FROM scope WHERE id = ANY ($1::bigint[]) AND alive <> $2 ORDER BY id FOR NO KEY UPDATE
)
UPDATE scope SET alive = $2 FROM before WHERE scope.id = before.id RETURNING scope.id, scope.rack;

-- name: lock_places
SELECT pg_advisory_xact_lock_shared(hashtextextended('rackwright places', 0));

-- name: lock_places_to_move
SELECT pg_advisory_xact_lock(hashtextextended('rackwright places', 0));
