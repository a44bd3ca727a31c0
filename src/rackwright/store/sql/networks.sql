-- Networks of racks, and the addresses in them.

-- name: rack_networks
-- What the facts of these racks say of their networks.
SELECT scope_id, path, value FROM fact
WHERE scope_id = ANY ($1::bigint[]) AND path IN ('desired.rack', 'desired.rack.networks');

-- name: network_taken
-- The first of these networks that another one meets, and who has that. The racks $4 are written anew.
SELECT given.cidr::text, rack.name, other.cidr::text, owner.name
FROM unnest($1::bigint[], $2::cidr[], $3::boolean[]) AS given (rack_id, cidr, shared)
JOIN network AS other ON other.cidr && given.cidr
JOIN scope AS rack ON rack.id = given.rack_id
JOIN scope AS owner ON owner.id = other.rack_id
WHERE other.rack_id <> ALL ($4::bigint[]) AND NOT (given.shared AND upper(other.claim) IS NOT NULL)
LIMIT 1;

-- name: drop_networks
DELETE FROM network USING unnest($1::bigint[]) AS rack (id)
WHERE rack_id = rack.id AND NOT EXISTS (
    SELECT FROM unnest($2::bigint[], $3::cidr[]) AS kept (rack_id, cidr)
    WHERE (kept.rack_id, kept.cidr) = (network.rack_id, network.cidr));

-- name: keep_networks
-- Rows that stay are changed and not made anew: whoever allocates has locked them.
INSERT INTO network (rack_id, cidr, name, place, document, claim)
SELECT rack_id, cidr, name, place, document, CASE WHEN shared THEN int8range(rack_id, rack_id + 1) ELSE '(,)' END
FROM unnest($1::bigint[], $2::cidr[], $3::text[], $4::integer[], $5::jsonb[], $6::boolean[])
    AS given (rack_id, cidr, name, place, document, shared)
ON CONFLICT (rack_id, cidr) DO UPDATE SET
    name = excluded.name, place = excluded.place, document = excluded.document, claim = excluded.claim;

-- name: networks
SELECT rack_id, document FROM network
WHERE ($1::bigint[] IS NULL OR rack_id = ANY ($1::bigint[])) AND ($2::text[] IS NULL OR name = ANY ($2::text[]))
ORDER BY rack_id, place;

-- name: hold_racks
SELECT FROM scope WHERE id = ANY ($1::bigint[]) AND kind = 'rack' ORDER BY id FOR NO KEY UPDATE;

-- name: lock_networks
-- Of the racks that share a range the one with the lowest id stands for all.
WITH held AS MATERIALIZED (
    SELECT first.rack_id
    FROM (SELECT DISTINCT unnest($1::cidr[]) AS cidr ORDER BY 1) AS asked
    CROSS JOIN LATERAL (
        SELECT rack_id FROM network WHERE network.cidr = asked.cidr ORDER BY rack_id LIMIT 1 FOR NO KEY UPDATE
    ) AS first
)
SELECT rack_id, document FROM network
WHERE cidr = ANY ($1::cidr[]) AND EXISTS (SELECT count(*) FROM held) ORDER BY cidr, rack_id;

-- name: highest_address
-- How far the highest address that is taken is from the first of a range.
SELECT address - $1::inet FROM fact
WHERE address IS NOT NULL AND address BETWEEN $1::inet AND $1::inet + $2::bigint
ORDER BY address DESC
LIMIT 1;

-- name: free_addresses
-- The gaps between what is taken are walked in their order until there are enough. They are written into the series,
-- which is not made in advance, and none is longer than what is asked for.
WITH taken AS (
    SELECT address - $1::inet AS low, address - $1::inet AS high FROM fact
    WHERE address IS NOT NULL AND address BETWEEN $1::inet AND $1::inet + $2::bigint
    UNION ALL
    SELECT low, high FROM unnest($3::bigint[], $4::bigint[]) AS beside (low, high)
    UNION ALL
    SELECT $2::bigint + 1, $2::bigint + 1
), gap AS (
    SELECT coalesce(max(high) OVER (ORDER BY low ROWS BETWEEN UNBOUNDED PRECEDING AND 1 PRECEDING), -1) + 1 AS low,
           low - 1 AS high
    FROM taken
)
SELECT host($1::inet + free.step) AS address
FROM (SELECT generate_series(low, least(high, low + :limit - 1)) AS step FROM gap WHERE low <= high) AS free
LIMIT :limit;

-- name: held_in
SELECT count(*) FROM fact
WHERE address IS NOT NULL AND address BETWEEN host($1::inet)::inet AND host(broadcast($1::inet))::inet;
