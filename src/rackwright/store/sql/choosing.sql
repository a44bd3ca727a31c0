-- Choosing machines, and finding nodes by what they have in common.

-- name: put_traits
-- What is null is forgotten; what is not said stays.
INSERT INTO traits AS known (scope_id, document)
SELECT * FROM unnest($1::bigint[], $2::jsonb[])
ON CONFLICT (scope_id) DO UPDATE SET document = jsonb_strip_nulls(known.document || excluded.document);

-- name: pick
-- The least machines first, in turn over the racks or zones. A machine that was taken since is passed over, and so is
-- one that another transaction is about to take.
SELECT machine.scope_id
FROM (
    SELECT ready.id, ready.name, ready.cpu, ready.memory, CASE WHEN $9::text = '' THEN 1 ELSE row_number() OVER (
        PARTITION BY CASE $9::text WHEN 'rack' THEN ready.rack::text WHEN 'zone' THEN ready.zone END
        ORDER BY ready.cpu, ready.memory, ready.name) END AS turn
    FROM ready_machine AS ready
    WHERE true = ALL (judged(ready, $1, $2, $3, $4, $5, $6, $7, $8))
    -- Sorted here, so that only so many are looked up below as are wished for.
    ORDER BY turn, ready.cpu, ready.memory, ready.name
) AS fit
JOIN machine ON machine.scope_id = fit.id
WHERE machine.word = 'ready'
ORDER BY fit.turn, fit.cpu, fit.memory, fit.name
LIMIT :limit
FOR UPDATE OF machine SKIP LOCKED;

-- name: judged
SELECT judged(ready, $1, $2, $3, $4, $5, $6, $7, $8) AS judgement, count(*) FROM ready_machine AS ready GROUP BY 1;

-- name: whom
SELECT scope.name
FROM scope
LEFT JOIN scope AS rack ON rack.id = scope.rack
LEFT JOIN traits ON traits.scope_id = scope.id
LEFT JOIN traits AS around ON around.scope_id = scope.rack
LEFT JOIN machine ON machine.scope_id = scope.id
WHERE scope.kind = 'node' AND scope.labels @> $1::jsonb AND ($2::text IS NULL OR rack.name = $2)
  AND ($3::text IS NULL OR traits.pool = $3)
  AND ($4::text IS NULL OR coalesce(nullif(traits.zone, ''), around.zone) = $4)
  AND coalesce(traits.tags, '{}') @> $5::text[]
  AND ($6::text IS NULL OR machine.word = $6)
ORDER BY scope.name;

-- name: tag_rules
SELECT name, expression, reads FROM tag_rule ORDER BY name;

-- name: put_tag_rule
INSERT INTO tag_rule (name, expression, reads, since) VALUES ($1, $2, $3, pg_current_xact_id())
ON CONFLICT (name) DO UPDATE SET expression = excluded.expression, reads = excluded.reads, since = excluded.since;

-- name: drop_tag_rule
DELETE FROM tag_rule WHERE name = $1 RETURNING true;

-- name: tag_rule_settled
SELECT coalesce((SELECT since < pg_snapshot_xmin(pg_current_snapshot()) FROM tag_rule WHERE name = $1), true);

-- name: nodes_after
SELECT id FROM scope WHERE kind = 'node' AND id > $1 ORDER BY id LIMIT $2;

-- name: view_networks
-- Networks with what each rack says of them, and how many addresses of all of it and of the static range are taken.
SELECT network.document, rack.name AS rack,
       (SELECT count(*) FROM fact
        WHERE fact.address IS NOT NULL AND fact.address BETWEEN host(network.cidr)::inet AND host(broadcast(network.cidr))::inet
       ) AS held,
       (SELECT count(*) FROM fact
        WHERE fact.address IS NOT NULL
          AND fact.address BETWEEN (network.document #>> '{static,0}')::inet AND (network.document #>> '{static,1}')::inet
       ) AS given
FROM network JOIN scope AS rack ON rack.id = network.rack_id
WHERE $1::text[] IS NULL OR network.name = ANY ($1::text[])
ORDER BY network.name, network.cidr, rack.name;

-- name: view_groups
-- What of the traits below is a name, with the nodes that have it and those of them that are ready.
SELECT named.name, count(*) AS nodes, count(*) FILTER (WHERE machine.word = 'ready') AS ready
FROM scope
LEFT JOIN traits ON traits.scope_id = scope.id
LEFT JOIN traits AS around ON around.scope_id = scope.rack
LEFT JOIN machine ON machine.scope_id = scope.id
CROSS JOIN LATERAL (
    SELECT traits.pool WHERE $1::text = 'pool'
    UNION
    SELECT coalesce(nullif(traits.zone, ''), around.zone) WHERE $1::text = 'zone'
    UNION
    SELECT unnest(traits.tags) WHERE $1::text = 'tag'
) AS named (name)
WHERE scope.kind = 'node' AND named.name <> ''
GROUP BY named.name
ORDER BY named.name;

-- name: view_tag_rules
SELECT tag_rule.name, expression, reads,
       (SELECT count(*) FROM traits WHERE traits.document @> jsonb_build_object('rule:' || tag_rule.name, true)) AS nodes
FROM tag_rule ORDER BY tag_rule.name;
