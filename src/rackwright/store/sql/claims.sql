-- What racks ask for: work, and more time for it.

-- name: lock_racks
-- Claims of one rack come one after the other. This strength of lock lets nodes of the rack be added meanwhile.
SELECT id FROM scope WHERE id = ANY ($1::bigint[]) AND kind = 'rack' ORDER BY id FOR NO KEY UPDATE;

-- name: lock_idle_racks
-- The same, without those that another transaction has.
SELECT id FROM scope WHERE id = ANY ($1::bigint[]) AND kind = 'rack' ORDER BY id FOR NO KEY UPDATE SKIP LOCKED;

-- name: claimable
-- The heaviest node tasks that may run, one per scope, for each rack out of a window of those that are ready; the last
-- column is how full the rack's window was. What holds a row back is asked row by row, in one CASE: the planner takes a
-- single condition for true of every second row, reads the index in its order and stops when the window is full. Of a
-- chain of conditions it would think that hardly a row is left, and would read and sort them all (14 ms instead of 1).
-- The limit is written out: with LIMIT $n under a generic plan a claim costs 12 ms.
-- $8 are rows that this transaction has released and not yet written: they are ready too, and come back by id only.
WITH ready AS MATERIALIZED (
    SELECT asked.rack_id, room, found.*, count(*) OVER (PARTITION BY asked.rack_id) AS looked
    FROM unnest($1::bigint[], $2::integer[]) AS asked (rack_id, room)
    CROSS JOIN LATERAL (
    SELECT id, scope_id, priority
    FROM (
        (SELECT id, deployment_id, task, scope_id, priority, not_before, offline FROM node_task
         WHERE rack_id = asked.rack_id AND state = 1 ORDER BY priority DESC, id)
        UNION ALL
        (SELECT id, deployment_id, task, scope_id, priority, not_before, offline FROM node_task
         WHERE id = ANY ($8::bigint[]) AND rack_id = asked.rack_id ORDER BY priority DESC, id)
    ) AS node_task
    WHERE CASE
          WHEN not_before > $3 OR scope_id = ANY ($4::bigint[]) THEN false
          WHEN (SELECT true FROM node_task AS running
                WHERE running.scope_id = node_task.scope_id AND running.state = 2) THEN false
          WHEN (SELECT true FROM node_task AS stopper
                WHERE stopper.scope_id = node_task.scope_id AND stopper.state = -1 AND stopper.critical
                LIMIT 1) THEN false
          ELSE (SELECT (alive OR node_task.offline) AND available FROM scope WHERE scope.id = node_task.scope_id)
              AND NOT EXISTS (
                  SELECT FROM machine
                  WHERE machine.scope_id = node_task.scope_id AND phase = 'held'
                    AND machine.deployment_id = node_task.deployment_id)
              AND (SELECT NOT stopped FROM deployment WHERE deployment.id = node_task.deployment_id)
              AND NOT EXISTS (
                  SELECT FROM steering
                  WHERE steering.deployment_id = node_task.deployment_id
                    AND (held OR wave < (
                        SELECT member.wave FROM member
                        WHERE member.deployment_id = node_task.deployment_id AND member.scope_id = node_task.scope_id)))
              AND NOT EXISTS (SELECT FROM spreading WHERE spreading.deployment_id = node_task.deployment_id)
              AND (deployment_id, task) NOT IN (SELECT * FROM unnest($5::bigint[], $6::text[]))
              AND (deployment_id, '') NOT IN (SELECT * FROM unnest($5::bigint[], $6::text[]))
              AND ($7::text[] = '{}' OR coalesce((
                  SELECT NOT share.places && $7::text[] FROM work_share AS share WHERE share.id = node_task.id),
                  true))
          END
    ORDER BY priority DESC, id
    LIMIT :limit) AS found
), first AS MATERIALIZED (
    SELECT DISTINCT ON (scope_id) * FROM ready ORDER BY scope_id, priority DESC, id
), chosen AS MATERIALIZED (
    SELECT rack_id, id, priority, looked, room, row_number() OVER (PARTITION BY rack_id ORDER BY priority DESC, id) AS place
    FROM first
), locked AS (
    SELECT node_task.*
    FROM chosen JOIN node_task USING (id)
    WHERE node_task.state = 1 AND place <= room
    ORDER BY node_task.priority DESC, node_task.id
    FOR UPDATE OF node_task SKIP LOCKED
)
SELECT chosen.id, deployment_id, graph, task, scope_id, chosen.rack_id, state, waits, chosen.priority, critical, attempt,
       tries, runs, revision, fingerprint, claimed, forced, incarnation, claimed_at, lease_until, not_before, reason,
       children, feeds, gates, offline, looked
FROM chosen LEFT JOIN locked USING (id)
WHERE place <= room AND (locked.id IS NOT NULL OR chosen.id = ANY ($8::bigint[]))
ORDER BY chosen.priority DESC, chosen.id;

-- name: ready
-- A look into the index for each rack.
SELECT asked.rack, found.n
FROM unnest($1::bigint[], $2::integer[]) AS asked (rack, room) CROSS JOIN LATERAL (
    SELECT count(*) AS n FROM (
        SELECT FROM node_task WHERE rack_id = asked.rack AND state = 1 AND not_before <= $3 LIMIT asked.room) AS queued
) AS found
WHERE found.n > 0;

-- name: held
-- What is parked is held by nobody (see parking.sql).
SELECT id FROM node_task
WHERE rack_id = $1 AND state = 2 AND incarnation IS DISTINCT FROM $2 AND incarnation IS DISTINCT FROM 'parked'
ORDER BY id;

-- name: expired
-- What its rack has never named, and what is held by racks whose process is gone; their seats are locked, so none comes
-- back meanwhile. What ends very far from now is of a clock that was set back since.
WITH gone AS MATERIALIZED (
    SELECT rack_id FROM seat
    WHERE (until < $1 OR until > $2) AND EXISTS (
        SELECT FROM node_task WHERE node_task.rack_id = seat.rack_id AND state = 2 AND lease_until = 'infinity')
    ORDER BY rack_id
    LIMIT :limit
    FOR NO KEY UPDATE SKIP LOCKED
)
SELECT id, lease_until FROM (
    (SELECT id, lease_until FROM node_task
     WHERE state = 2 AND lease_until IS NOT NULL AND lease_until < $1 AND incarnation IS DISTINCT FROM 'parked'
     ORDER BY lease_until LIMIT :limit)
    UNION ALL
    (SELECT id, lease_until FROM node_task
     WHERE state = 2 AND lease_until IS NOT NULL AND lease_until > $2 AND lease_until < 'infinity'
       AND incarnation IS DISTINCT FROM 'parked'
     ORDER BY lease_until LIMIT :limit)
    UNION ALL
    (SELECT node_task.id, lease_until FROM gone JOIN node_task USING (rack_id) WHERE state = 2 AND lease_until = 'infinity'
     LIMIT :limit)
) AS ended
ORDER BY lease_until
LIMIT :limit;

-- name: seats_ending
SELECT count(*) FROM seat WHERE until BETWEEN $1 AND $2;

-- name: clock
SELECT extract(epoch FROM clock_timestamp())::double precision;

-- name: lock_clock
SELECT pg_advisory_xact_lock(hashtextextended('rackwright clock', 0));

-- name: note_jump
-- Every process sees the jump; the first that comes moves the times.
INSERT INTO clock_jump (at, seconds)
SELECT $1::double precision, $2::double precision
WHERE NOT EXISTS (SELECT FROM clock_jump WHERE abs(at - $1) < 60 AND abs(seconds - $2) < 5)
RETURNING at;

-- name: move_times
WITH moved AS (UPDATE parked SET deadline = deadline + $1::double precision)
UPDATE node_task SET not_before = not_before + $1::double precision WHERE state = 1 AND not_before > 0;

-- name: hold
-- Which of the given attempts there are. Those whose lease ends before $5, or after $6, are held from now on for as long as their rack
-- has its process; a row that is locked is about to move, or is held the next time.
WITH mine AS MATERIALIZED (
    SELECT rack_id, incarnation, node_task.id, attempt, lease_until
    FROM unnest($1::bigint[], $2::text[], $3::bigint[], $4::integer[]) AS given (rack_id, incarnation, id, attempt)
    JOIN node_task USING (id, rack_id, incarnation, attempt)
    WHERE node_task.state = 2
), due AS MATERIALIZED (
    SELECT node_task.id
    FROM node_task JOIN mine USING (id)
    WHERE (mine.lease_until < $5 OR mine.lease_until > $6) AND mine.lease_until < 'infinity' AND node_task.state = 2
      AND node_task.incarnation = mine.incarnation AND node_task.attempt = mine.attempt
    ORDER BY node_task.id
    FOR UPDATE OF node_task SKIP LOCKED
), held AS (
    UPDATE node_task SET lease_until = 'infinity' FROM due WHERE node_task.id = due.id
)
SELECT rack_id, incarnation, id, attempt FROM mine;

-- name: seats
-- Who works for these racks, and whether any limit is set.
SELECT scope.id,
       EXISTS (SELECT FROM work_limit) OR (EXISTS (SELECT FROM budget) AND EXISTS (SELECT FROM work_share)),
       incarnation, seat, until
FROM scope LEFT JOIN seat ON rack_id = scope.id
WHERE scope.id = ANY ($1::bigint[]) AND kind = 'rack';

-- name: seat
-- A heartbeat may renew a seat at any time, and then nobody else may take it: what is written for another process is
-- written only over what was read ($5, null: nobody sat there).
WITH new AS MATERIALIZED (
    SELECT * FROM unnest($1::bigint[], $2::text[], $3::text[], $4::double precision[], $5::double precision[])
        AS new (rack_id, incarnation, seat, until, was)
), locked AS MATERIALIZED (
    SELECT seat.rack_id FROM seat WHERE seat.rack_id = ANY ($1::bigint[]) ORDER BY seat.rack_id FOR NO KEY UPDATE
), renewed AS (
    UPDATE seat SET incarnation = new.incarnation, seat = new.seat, until = new.until, heard = greatest(heard, $6)
    FROM new
    WHERE seat.rack_id = new.rack_id AND seat.rack_id = ANY (ARRAY(SELECT locked.rack_id FROM locked))
      AND (seat.incarnation = new.incarnation OR seat.until = new.was)
    RETURNING seat.rack_id
), placed AS (
    INSERT INTO seat SELECT rack_id, incarnation, seat, until, $6 FROM new WHERE was IS NULL
    ON CONFLICT DO NOTHING
    RETURNING rack_id
)
SELECT rack_id FROM renewed UNION ALL SELECT rack_id FROM placed;

-- name: keep_seats
-- A seat that is locked is being renewed by a request for work, or taken away.
WITH locked AS MATERIALIZED (
    SELECT rack_id FROM seat WHERE rack_id = ANY ($1::bigint[]) ORDER BY rack_id FOR NO KEY UPDATE SKIP LOCKED
)
UPDATE seat SET until = given.until, heard = greatest(heard, $4)
FROM unnest($1::bigint[], $2::text[], $3::double precision[]) AS given (rack_id, incarnation, until)
WHERE seat.rack_id = given.rack_id AND seat.incarnation = given.incarnation
  AND seat.rack_id = ANY (ARRAY(SELECT locked.rack_id FROM locked))
RETURNING seat.rack_id, seat.incarnation;

-- name: heard
SELECT heard FROM seat WHERE rack_id = $1;
