-- Deployments, their members, and what concerns them.

-- name: add_deployment
INSERT INTO deployment (id, parent, catalog, catalog_name, stopped) VALUES ($1, $2, $3, $4, $5);

-- name: deployments
-- With all their ancestors. Names are looked up one by one: a join would be planned for more deployments than there
-- are, and read every node.
WITH RECURSIVE line (id) AS (
    SELECT unnest($1::bigint[])
    UNION
    SELECT deployment.parent FROM line JOIN deployment USING (id) WHERE deployment.parent IS NOT NULL
)
SELECT deployment.id, (SELECT scope.name FROM scope WHERE scope.id = deployment.id), parent, catalog, catalog_name,
       stopped, (SELECT scope.created_at FROM scope WHERE scope.id = deployment.id),
       EXISTS (SELECT FROM steering WHERE steering.deployment_id = deployment.id AND noop)
FROM line JOIN deployment USING (id);

-- name: memberships
SELECT member.deployment_id, member.scope_id, scope.name, scope.rack, member.roles, member.tags
FROM member JOIN scope ON scope.id = member.scope_id
WHERE member.deployment_id = $1
ORDER BY scope.name;

-- name: memberships_on
SELECT member.deployment_id, member.scope_id, scope.name, scope.rack, member.roles, member.tags
FROM member JOIN scope ON scope.id = member.scope_id
WHERE member.deployment_id = $1 AND member.scope_id = ANY ($2::bigint[])
ORDER BY scope.name;

-- name: deployments_of
-- OFFSET 0 lets each step be taken for what the step before has found: a join would be planned for a rack of very many
-- nodes, and read all of them where what is given is a node.
WITH RECURSIVE given (id) AS (
    SELECT unnest($1::bigint[])
), below (top, id) AS (
    SELECT deployment.id, deployment.id FROM given JOIN deployment USING (id)
    UNION
    SELECT below.top, deployment.id FROM below JOIN deployment ON deployment.parent = below.id
)
SELECT top AS scope_id, id AS deployment_id FROM below
UNION
SELECT given.id, found.deployment_id
FROM given CROSS JOIN LATERAL (SELECT deployment_id FROM member WHERE member.scope_id = given.id OFFSET 0) AS found
UNION
SELECT rack.id, found.deployment_id
FROM given
CROSS JOIN LATERAL (SELECT scope.id FROM scope WHERE scope.id = given.id AND kind = 'rack' OFFSET 0) AS rack
CROSS JOIN LATERAL (SELECT scope.id FROM scope WHERE scope.rack = rack.id OFFSET 0) AS node
CROSS JOIN LATERAL (SELECT deployment_id FROM member WHERE member.scope_id = node.id OFFSET 0) AS found
ORDER BY 1, 2;

-- name: drop_members
DELETE FROM member WHERE deployment_id = $1 AND scope_id <> ALL ($2::bigint[]) RETURNING scope_id;

-- name: put_members
-- Roles and tags come as JSON lists, for arrays of arrays must be rectangular.
INSERT INTO member (deployment_id, scope_id, roles, tags)
SELECT $1, new.scope_id, ARRAY(SELECT jsonb_array_elements_text(new.roles)),
       ARRAY(SELECT jsonb_array_elements_text(new.tags))
FROM unnest($2::bigint[], $3::jsonb[], $4::jsonb[]) AS new (scope_id, roles, tags)
ON CONFLICT (deployment_id, scope_id) DO UPDATE SET roles = excluded.roles, tags = excluded.tags
WHERE (member.roles, member.tags) IS DISTINCT FROM (excluded.roles, excluded.tags)
RETURNING scope_id;

-- name: set_deployment
UPDATE deployment
SET catalog = coalesce($2, catalog), stopped = coalesce($3, stopped), generation = generation + 1
WHERE id = $1
RETURNING id;

-- name: next_generation
UPDATE deployment SET generation = generation + 1 WHERE id = $1;

-- name: racks_with_work
-- Racks that have something to do in a deployment.
SELECT DISTINCT rack_id FROM node_task WHERE deployment_id = $1 AND state = 1 AND rack_id IS NOT NULL;

-- name: fence
-- The count tells deletions, the greatest revision everything else; generations tell the rest.
WITH RECURSIVE line (id) AS (
    SELECT $1::bigint
    UNION
    SELECT deployment.parent FROM line JOIN deployment USING (id) WHERE deployment.parent IS NOT NULL
), concerned (id) AS (
    SELECT id FROM line
    UNION
    SELECT scope_id FROM member WHERE deployment_id = $1
)
SELECT hashtextextended(
    concat_ws('/',
        (SELECT count(*) || '/' || coalesce(max(revision), 0) FROM fact JOIN concerned ON concerned.id = fact.scope_id),
        (SELECT string_agg(id || ':' || generation, ',' ORDER BY id) FROM deployment JOIN line USING (id))), 0);

-- name: lock_deployment
SELECT id FROM deployment WHERE id = $1 FOR NO KEY UPDATE;
