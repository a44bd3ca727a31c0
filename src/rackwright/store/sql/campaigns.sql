-- Campaigns and budgets (see core/campaign.py). A machine is under way while it has the activity of its turn.

-- name: lock_campaigns
SELECT pg_advisory_xact_lock(hashtextextended('rackwright campaigns', 0));

-- name: budgets
SELECT kind, place, amount FROM budget ORDER BY kind, place;

-- name: put_budget
INSERT INTO budget (kind, place, amount) VALUES ($1, $2, $3)
ON CONFLICT (kind, place) DO UPDATE SET amount = excluded.amount;

-- name: drop_budget
DELETE FROM budget WHERE kind = $1 AND place = $2;

-- name: add_campaign
INSERT INTO campaign (document) VALUES ($1) RETURNING id;

-- name: campaigns
SELECT id, document FROM campaign WHERE $1::bigint[] IS NULL OR id = ANY ($1::bigint[]) ORDER BY id;

-- name: save_campaign
UPDATE campaign SET document = $2 WHERE id = $1;

-- name: end_campaign
DELETE FROM campaign WHERE id = $1;

-- name: in_campaigns
SELECT scope_id, campaign_id FROM campaign_turn WHERE scope_id = ANY ($1::bigint[]);

-- name: busy_places
SELECT campaign_id, place, count(*)
FROM campaign_turn
JOIN machine ON machine.scope_id = campaign_turn.scope_id AND machine.activity = campaign_turn.activity
CROSS JOIN LATERAL unnest(places) AS place
WHERE campaign_turn.activity IS NOT NULL AND phase IN ('running', 'waiting', 'held')
GROUP BY campaign_id, place
UNION ALL
-- Few node tasks run, and each is asked about by itself: a join would read all that take shares.
SELECT 0, place, count(*)
FROM node_task
CROSS JOIN LATERAL (SELECT places FROM work_share AS share WHERE share.id = node_task.id OFFSET 0) AS taken
CROSS JOIN LATERAL unnest(places) AS place
WHERE state = 2
GROUP BY place;

-- name: drop_shares
DELETE FROM work_share WHERE deployment_id = $1 AND graph = $2;

-- name: shares_of
SELECT id, places FROM work_share WHERE id = ANY ($1::bigint[]);

-- name: shares_wanted
SELECT EXISTS (SELECT FROM budget) AND EXISTS (
    SELECT FROM node_task
    CROSS JOIN LATERAL (SELECT FROM work_share AS share WHERE share.id = node_task.id OFFSET 0) AS taken
    WHERE rack_id = $1 AND state = 1);

-- name: next_turns
SELECT scope_id, scope.name, number, wave, places
FROM campaign_turn JOIN scope ON scope.id = campaign_turn.scope_id
WHERE campaign_id = $1 AND activity IS NULL AND wave <= $2 AND NOT places && $3::text[]
ORDER BY number
LIMIT :limit;

-- name: begin_turns
UPDATE campaign_turn SET activity = begun.activity
FROM unnest($1::bigint[], $2::text[]) AS begun (scope_id, activity)
WHERE campaign_turn.scope_id = begun.scope_id;

-- name: drop_turns
DELETE FROM campaign_turn
WHERE campaign_id = $1 AND activity IS NULL AND ($2::bigint[] IS NULL OR scope_id = ANY ($2::bigint[]))
RETURNING scope_id;

-- name: settle_turns
DELETE FROM campaign_turn USING machine
WHERE campaign_id = $1 AND campaign_turn.activity IS NOT NULL AND machine.scope_id = campaign_turn.scope_id
  AND machine.activity <> campaign_turn.activity;

-- name: campaign_seen
SELECT EXISTS (SELECT FROM campaign_turn WHERE campaign_id = $1 AND activity IS NULL AND wave <= $2)
    OR EXISTS (
        SELECT FROM campaign_turn
        JOIN machine ON machine.scope_id = campaign_turn.scope_id AND machine.activity = campaign_turn.activity
        WHERE campaign_id = $1 AND campaign_turn.activity IS NOT NULL AND wave <= $2 AND phase <> 'failed'),
    (SELECT count(*) FROM campaign_turn
     JOIN machine ON machine.scope_id = campaign_turn.scope_id AND machine.activity = campaign_turn.activity
     WHERE campaign_id = $1 AND campaign_turn.activity IS NOT NULL AND wave = $2 AND phase = 'failed');

-- name: campaign_counts
SELECT campaign_id, count(*) FILTER (WHERE campaign_turn.activity IS NULL),
       count(*) FILTER (WHERE machine.activity = campaign_turn.activity AND phase <> 'failed'),
       count(*) FILTER (WHERE machine.activity = campaign_turn.activity AND phase = 'failed')
FROM campaign_turn LEFT JOIN machine USING (scope_id)
GROUP BY campaign_id;
