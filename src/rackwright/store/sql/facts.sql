-- Facts: values about scopes, each with one writer.

-- name: put_facts
-- Stores values; gives only what really differs. Rows come sorted, so that locks are taken in one order.
INSERT INTO fact (scope_id, path, value, writer)
SELECT * FROM unnest($1::bigint[], $2::text[], $3::jsonb[], $4::text[])
ON CONFLICT (scope_id, path) DO UPDATE SET value = excluded.value, revision = excluded.revision
WHERE fact.value <> excluded.value AND fact.writer = excluded.writer
RETURNING scope_id, path, revision;

-- name: lock_facts
-- Locks what a batch with deletions will touch, in the one order.
SELECT fact.scope_id
FROM fact JOIN unnest($1::bigint[], $2::text[]) AS given (scope_id, path) USING (scope_id, path)
ORDER BY fact.scope_id, fact.path
FOR UPDATE OF fact;

-- name: drop_facts
DELETE FROM fact USING unnest($1::bigint[], $2::text[], $3::text[]) AS given (scope_id, path, writer)
WHERE fact.scope_id = given.scope_id AND fact.path = given.path AND fact.writer = given.writer
RETURNING fact.scope_id, fact.path, nextval('fact_revision');

-- name: other_writers
-- Facts of this batch that somebody else owns.
SELECT scope.name, fact.path, fact.writer, given.writer
FROM unnest($1::bigint[], $2::text[], $3::text[]) AS given (scope_id, path, writer)
JOIN fact USING (scope_id, path)
JOIN scope ON scope.id = fact.scope_id
WHERE fact.writer <> given.writer
ORDER BY scope.name, fact.path
LIMIT 1;

-- name: address_owners
-- Who has one of these addresses already, besides the facts that are being written.
WITH held AS MATERIALIZED (
    SELECT address, scope_id, path FROM fact WHERE address IS NOT NULL AND address = ANY ($1::text[]::inet[])
), owner AS (
    SELECT address, scope_id FROM held
    WHERE NOT EXISTS (
        SELECT FROM unnest($2::bigint[], $3::text[]) AS written (scope_id, path)
        WHERE (written.scope_id, written.path) = (held.scope_id, held.path))
    LIMIT 1
)
SELECT host(owner.address), scope.name FROM owner JOIN scope ON scope.id = owner.scope_id;

-- name: facts
-- $2 lists the paths themselves and those above them; with one of $3 those begin that are below. Both are sorted, and no
-- text of $3 begins with another one: so the only one that may fit a path is the last that is not behind it. A search
-- by halves finds it: to compare each fact with each path would take most of the time.
SELECT scope_id, path, value, revision, writer
FROM fact
WHERE scope_id = ANY ($1::bigint[])
  AND (path = ($2::text[])[width_bucket(path, $2::text[])] OR path ^@ ($3::text[])[width_bucket(path, $3::text[])])
ORDER BY scope_id, path;
