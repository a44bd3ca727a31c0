-- Nodes, racks and deployments.

-- name: scopes
-- Most have no labels, and nothing is decoded faster than nothing.
SELECT id, kind, name, rack, alive, available, nullif(labels, '{}'), created_at
FROM scope WHERE id = ANY ($1::bigint[]);

-- name: named
SELECT id, kind, name, rack, alive, available, labels, created_at
FROM scope WHERE kind = $1 AND name = ANY ($2::text[]);

-- name: named_all
SELECT id, kind, name, rack, alive, available, labels, created_at FROM scope WHERE kind = $1;

-- name: add_scope
INSERT INTO scope (kind, name, rack, alive, available, labels, secret) VALUES ($1, $2, $3, $4, $5, $6, $7)
ON CONFLICT (kind, name) DO NOTHING
RETURNING id;

-- name: add_nodes
INSERT INTO scope (kind, name, rack, alive, available, labels)
SELECT 'node', * FROM unnest($1::text[], $2::bigint[], $3::boolean[], $4::boolean[], $5::jsonb[])
ON CONFLICT (kind, name) DO NOTHING
RETURNING name, id;

-- name: set_alive
UPDATE scope SET alive = coalesce($2, alive), available = coalesce($3, available) WHERE id = $1 RETURNING rack;

-- name: set_rack
UPDATE scope SET rack = $2 WHERE id = $1;

-- name: lock_scope
SELECT id, kind, name FROM scope WHERE id = $1 FOR UPDATE;

-- name: busy_on
-- A node task that runs on a scope or in a deployment, or is carried out by a rack.
SELECT task FROM node_task WHERE state = 2 AND (scope_id = $1 OR deployment_id = $1 OR rack_id = $1) LIMIT 1;

-- name: stands_in
-- What would lose its place: nodes of a rack, deployments that a node is bound in, deployments below a deployment.
SELECT kind, name FROM scope WHERE rack = $1
UNION ALL
SELECT 'deployment', scope.name FROM member JOIN scope ON scope.id = member.deployment_id WHERE member.scope_id = $1
UNION ALL
SELECT 'deployment', scope.name FROM deployment JOIN scope USING (id) WHERE deployment.parent = $1
ORDER BY 2
LIMIT 1;

-- name: remove_rows
WITH gone AS (
    DELETE FROM node_task
    WHERE id = ANY (ARRAY(SELECT place.id FROM node_task_place AS place WHERE place.scope_id = $1))
    RETURNING id
)
DELETE FROM recorded_reads USING gone WHERE node_task = gone.id;

-- name: remove_rows_of
WITH gone AS (
    DELETE FROM node_task USING node_task_place AS place
    WHERE node_task.id = place.id AND place.deployment_id = $1
    RETURNING node_task.id
)
DELETE FROM recorded_reads USING gone WHERE node_task = gone.id;

-- name: remove_barriers_of
DELETE FROM barrier WHERE deployment_id = $1;

-- name: remove_plans_of
DELETE FROM plan WHERE deployment_id = $1;

-- name: remove_members_of
DELETE FROM member WHERE deployment_id = $1;

-- name: remove_deployment
DELETE FROM deployment WHERE id = $1;

-- name: remove_facts
DELETE FROM fact WHERE scope_id = $1;

-- name: remove_scope
DELETE FROM scope WHERE id = $1;
