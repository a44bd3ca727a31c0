-- Leases of dynamic addresses.

-- name: note_leases
INSERT INTO rack_lease (rack_id, address, client, until, seat)
SELECT $1, address, client, extract(epoch FROM clock_timestamp()) + seconds, $2
FROM unnest($3::text[], $4::text[], $5::float8[]) AS given (address, client, seconds)
ON CONFLICT (rack_id, address) DO UPDATE
SET client = excluded.client, until = excluded.until, seat = excluded.seat;

-- name: drop_leases
DELETE FROM rack_lease WHERE rack_id = $1 AND until <= extract(epoch FROM clock_timestamp());

-- name: leases
SELECT address, client, (until - extract(epoch FROM clock_timestamp()))::float8 AS seconds
FROM rack_lease
WHERE rack_id = $1 AND seat <> $2 AND until > extract(epoch FROM clock_timestamp())
ORDER BY address;
