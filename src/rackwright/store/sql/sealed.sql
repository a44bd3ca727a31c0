-- Sealed secrets.

-- name: put_sealed
INSERT INTO sealed (scope_id, name, data) SELECT unnest($1::bigint[]), $2, unnest($3::bytea[])
ON CONFLICT (scope_id, name) DO UPDATE SET data = excluded.data;

-- name: drop_sealed
DELETE FROM sealed WHERE scope_id = ANY ($1::bigint[]) AND name = $2;

-- name: sealed
SELECT scope_id, data FROM sealed WHERE scope_id = ANY ($1::bigint[]) AND name = $2;
