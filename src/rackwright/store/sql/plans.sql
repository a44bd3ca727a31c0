-- Catalogs, plans, events and news.

-- name: catalog
SELECT document FROM catalog WHERE digest = $1;

-- name: put_catalog
INSERT INTO catalog (digest, document) VALUES ($1, $2) ON CONFLICT (digest) DO NOTHING;

-- name: name_catalog
INSERT INTO catalog_name (name, digest) VALUES ($1, $2)
ON CONFLICT (name) DO UPDATE SET digest = excluded.digest, changed_at = excluded.changed_at
WHERE catalog_name.digest <> excluded.digest;

-- name: catalog_digest
SELECT digest FROM catalog_name WHERE name = $1;

-- name: next_plan
SELECT id, deployment_id, changes, apply, state, summary, fence, error, created_by, created_at, finished_at
FROM plan
WHERE state = 'requested' OR (state = 'ready' AND apply)
ORDER BY id
LIMIT 1
FOR UPDATE SKIP LOCKED;

-- name: plan
SELECT id, deployment_id, changes, apply, state, summary, fence, error, created_by, created_at, finished_at
FROM plan WHERE id = $1;

-- name: lock_plan
SELECT id, deployment_id, changes, apply, state, summary, fence, error, created_by, created_at, finished_at
FROM plan WHERE id = $1 FOR UPDATE;

-- name: add_plan
INSERT INTO plan (deployment_id, changes, apply, state, summary, fence, error, created_by, created_at, finished_at)
VALUES ($1, $2, $3, $4, $5, $6, $7, $8, coalesce($9, extract(epoch FROM clock_timestamp())), $10)
RETURNING id;

-- name: set_plan
UPDATE plan SET state = $2, apply = $3, summary = $4, fence = $5, error = $6, finished_at = $7 WHERE id = $1
RETURNING id;

-- name: add_events
INSERT INTO event (xact, at, kind, text, deployment, scope, task, data)
SELECT pg_current_xact_id(), extract(epoch FROM clock_timestamp()), new.*
FROM unnest($1::text[], $2::text[], $3::text[], $4::text[], $5::text[], $6::jsonb[]) AS new;

-- name: tell
SELECT pg_notify(channel, payload) FROM unnest($1::text[], $2::text[]) AS news (channel, payload);
