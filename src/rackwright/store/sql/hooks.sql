-- Subscriptions and the messages that wait for them.

-- name: wanted_events
SELECT DISTINCT unnest(events), deployment_id FROM subscription;

-- name: announce
-- One message for each subscription that wants one of these, in their order.
INSERT INTO message (subscription_id, event, object, at, data)
SELECT wanting.id, said.event, said.object, $1,
       said.data || jsonb_strip_nulls(jsonb_build_object(
           'task', said.task, 'deployment', part.name, 'scope', place.name, 'rack', rack.name
       ))
FROM unnest($2::text[], $3::text[], $4::bigint[], $5::bigint[], $6::bigint[], $7::text[], $8::jsonb[])
     WITH ORDINALITY AS said (event, object, deployment_id, scope_id, rack_id, task, data, position)
JOIN subscription AS wanting ON said.event = ANY (wanting.events)
LEFT JOIN member ON member.deployment_id = wanting.deployment_id AND member.scope_id = said.scope_id
LEFT JOIN scope AS part ON part.id = said.deployment_id
LEFT JOIN scope AS place ON place.id = said.scope_id
LEFT JOIN scope AS rack ON rack.id = said.rack_id
WHERE CASE split_part(said.event, '.', 1)
          WHEN 'node' THEN wanting.deployment_id IS NULL OR member.scope_id IS NOT NULL
          ELSE wanting.deployment_id IS NULL OR wanting.deployment_id = said.deployment_id
      END
  AND (wanting.tasks = '{}' OR said.event NOT LIKE 'node\_task.%' OR said.task = ANY (wanting.tasks))
  AND (wanting.role = '' OR said.event LIKE 'deployment.%' OR wanting.role = ANY (member.roles))
ORDER BY said.position, wanting.id
RETURNING id;

-- name: lock_turned
-- One look after the other: each then sees what the one before has noted.
SELECT pg_try_advisory_xact_lock(hashtextextended('rackwright turned', 0));

-- name: turned
WITH now AS (
    SELECT deployment_id, CASE
               WHEN sum(n) FILTER (WHERE state = -1) > 0 THEN 'error'
               WHEN sum(n) FILTER (WHERE state <> 0) > 0 OR sum(n) = 0 THEN 'open'
               ELSE 'active'
           END AS word
    FROM rollup_now
    GROUP BY deployment_id
), noted AS (
    INSERT INTO deployment_word AS old (deployment_id, word)
    SELECT deployment_id, word FROM now ORDER BY deployment_id
    ON CONFLICT (deployment_id) DO UPDATE SET word = excluded.word WHERE old.word <> excluded.word
    RETURNING deployment_id, word
)
SELECT scope.id, scope.name, noted.word FROM noted JOIN scope ON scope.id = noted.deployment_id ORDER BY scope.id;

-- name: subscriptions
SELECT id, name, kind, events, deployment_id, tasks, role, target, catalog, salt, created_at
FROM subscription
WHERE $1::bigint[] IS NULL OR id = ANY ($1::bigint[])
ORDER BY name;

-- name: subscribe
INSERT INTO subscription AS old
    (name, kind, events, deployment_id, tasks, role, target, catalog, salt, created_at)
VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10)
ON CONFLICT (name) DO UPDATE SET
    events = excluded.events, deployment_id = excluded.deployment_id, tasks = excluded.tasks, role = excluded.role,
    target = excluded.target, catalog = excluded.catalog, salt = excluded.salt
WHERE old.kind = excluded.kind
RETURNING id;

-- name: unsubscribe
DELETE FROM subscription WHERE id = ANY ($1::bigint[]);

-- name: due
-- Of every object only the first message that waits can be delivered. That one is looked up for each message in turn:
-- asked as "no earlier one exists", all that waits would be read first.
SELECT subscription.id
FROM subscription
CROSS JOIN LATERAL (
    SELECT FROM message
    WHERE subscription_id = subscription.id AND state = 'waiting' AND not_before <= $1 AND id = (
        SELECT first.id FROM message AS first
        WHERE first.subscription_id = message.subscription_id AND first.state = 'waiting'
          AND first.object = message.object
        ORDER BY first.id
        LIMIT 1
    )
    ORDER BY subscription_id, id
    LIMIT 1
) AS found
ORDER BY subscription.id;

-- name: take_messages
WITH first AS (
    SELECT id FROM message
    WHERE subscription_id = $1 AND state = 'waiting' AND not_before <= $2 AND id = (
        SELECT first.id FROM message AS first
        WHERE first.subscription_id = message.subscription_id AND first.state = 'waiting'
          AND first.object = message.object
        ORDER BY first.id
        LIMIT 1
    )
    ORDER BY id
    LIMIT :limit
    FOR UPDATE SKIP LOCKED
)
UPDATE message SET tries = tries + 1, not_before = $3
FROM first
WHERE message.id = first.id
RETURNING message.id, key, subscription_id, event, object, at, data, state, tries, not_before, error;

-- name: settle_messages
WITH ended AS (
    SELECT * FROM unnest(
        $1::bigint[], $2::integer[], $3::text[], $4::double precision[], $5::double precision[],
        $6::double precision[], $7::text[]
    ) AS new (id, tries, state, not_before, at, took, error)
), logged AS (
    INSERT INTO delivery (message_id, number, at, took, error)
    SELECT ended.id, ended.tries, ended.at, ended.took, ended.error FROM ended JOIN message USING (id)
)
UPDATE message SET state = ended.state, not_before = ended.not_before, error = ended.error
FROM ended
WHERE message.id = ended.id AND message.tries = ended.tries AND message.state = 'waiting';

-- name: messages
SELECT id, key, subscription_id, event, object, at, data, state, tries, not_before, error
FROM message
WHERE subscription_id = $1 AND id > $2 AND ($3::text IS NULL OR state = $3)
ORDER BY id
LIMIT $4;

-- name: deliveries
SELECT message.id, delivery.number, delivery.at, delivery.took, delivery.error, message.key, message.event, delivery.id
FROM message JOIN delivery ON delivery.message_id = message.id
WHERE message.subscription_id = $1
ORDER BY delivery.id DESC
LIMIT $2;

-- name: backlog
SELECT subscription_id, state, count(*) FROM message WHERE state <> 'delivered' GROUP BY 1, 2;

-- name: redeliver
UPDATE message SET state = 'waiting', tries = 0, not_before = 0
WHERE subscription_id = $1 AND key = ANY ($2::uuid[])
RETURNING id;

-- name: redeliver_parked
UPDATE message SET state = 'waiting', tries = 0, not_before = 0
WHERE subscription_id = $1 AND state = 'parked'
RETURNING id;

-- name: forget_messages
DELETE FROM message
WHERE id = ANY (ARRAY(SELECT id FROM message WHERE state = 'delivered' AND at < $1 ORDER BY at LIMIT :limit))
RETURNING id;

-- name: forget_words
DELETE FROM deployment_word
WHERE NOT EXISTS (SELECT FROM deployment WHERE deployment.id = deployment_word.deployment_id);

-- name: forget_subscriptions
-- Of deployments that are gone, once nothing waits for them any more.
DELETE FROM subscription
WHERE deployment_id IS NOT NULL
  AND NOT EXISTS (SELECT FROM deployment WHERE deployment.id = subscription.deployment_id)
  AND NOT EXISTS (SELECT FROM message WHERE subscription_id = subscription.id AND state = 'waiting');
