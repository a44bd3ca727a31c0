-- Addresses of any interface, networks of racks, and what machines are chosen by. All of it follows from facts.

-- An address is a fact like any other; here it is one that no second fact may hold, and that is found in its order.
ALTER TABLE fact DROP CONSTRAINT one_address;
ALTER TABLE fact ADD COLUMN address inet GENERATED ALWAYS AS (
    CASE WHEN path IN ('desired.address', 'desired.address6') OR path LIKE 'desired.nics.%.address' OR path LIKE 'desired.nics.%.address6'
        THEN (value #>> '{}')::inet END
) STORED;
-- Deferred, so that two nodes may swap their addresses in one transaction.
ALTER TABLE fact ADD CONSTRAINT one_address EXCLUDE USING btree (address WITH =) WHERE (address IS NOT NULL)
    DEFERRABLE INITIALLY DEFERRED;

-- The networks in the facts `desired.rack.networks`, each rack's by the place in its list.
CREATE TABLE network (
    rack_id bigint NOT NULL REFERENCES scope ON DELETE CASCADE,
    cidr cidr NOT NULL,
    name text COLLATE "C" NOT NULL,
    place integer NOT NULL,
    document jsonb NOT NULL,
    -- Whom it meets: everybody, or, where it is shared, only itself.
    claim int8range NOT NULL,
    PRIMARY KEY (rack_id, cidr),
    CONSTRAINT one_network EXCLUDE USING gist (cidr inet_ops WITH &&, claim WITH &&) DEFERRABLE INITIALLY DEFERRED
);
CREATE INDEX network_named ON network (name);
CREATE INDEX network_range ON network (cidr);

-- Those that there are. What cannot be read is left out, and two that meet are taken for shared: nobody is refused for
-- what was allowed before.
CREATE FUNCTION pg_temp.range_of(said text) RETURNS cidr LANGUAGE plpgsql AS $$
BEGIN
    RETURN said::cidr;
EXCEPTION WHEN invalid_text_representation THEN
    RETURN NULL;
END $$;
WITH known AS (
    SELECT DISTINCT ON (scope_id, range) scope_id, range, place, said
    FROM fact
    CROSS JOIN LATERAL jsonb_array_elements(CASE jsonb_typeof(value) WHEN 'array' THEN value ELSE '[]' END)
        WITH ORDINALITY AS listed (said, place)
    CROSS JOIN LATERAL pg_temp.range_of(said ->> 'cidr') AS range
    WHERE path = 'desired.rack.networks' AND range IS NOT NULL
    ORDER BY scope_id, range, place
)
INSERT INTO network (rack_id, cidr, name, place, document, claim)
SELECT scope_id, range, coalesce(nullif(said ->> 'name', ''), range::text), place, said,
       CASE WHEN EXISTS (SELECT FROM known AS other WHERE other.scope_id <> known.scope_id AND other.range && known.range)
           THEN int8range(scope_id, scope_id + 1) ELSE '(,)' END
FROM known
WHERE NOT EXISTS (
    SELECT FROM known AS wider
    WHERE wider.scope_id = known.scope_id AND wider.range >> known.range);

-- The tags among traits, each once and in order.
CREATE FUNCTION tags_of(document jsonb) RETURNS text[] LANGUAGE sql IMMUTABLE AS $$
SELECT coalesce(array_agg(DISTINCT split_part(key, ':', 2) COLLATE "C"), '{}')
FROM jsonb_each(document) WHERE value = 'true' AND (key LIKE 'tag:%' OR key LIKE 'rule:%')
$$;

-- What nodes are chosen by (see core.traits), as their facts say. Racks have a row too, for their zone.
CREATE TABLE traits (
    scope_id bigint PRIMARY KEY REFERENCES scope ON DELETE CASCADE,
    document jsonb NOT NULL,
    cpu double precision GENERATED ALWAYS AS ((document ->> 'cpu')::double precision) STORED,
    memory double precision GENERATED ALWAYS AS ((document ->> 'memory')::double precision) STORED,
    disk double precision GENERATED ALWAYS AS ((document ->> 'disk')::double precision) STORED,
    nics double precision GENERATED ALWAYS AS ((document ->> 'nics')::double precision) STORED,
    speed double precision GENERATED ALWAYS AS ((document ->> 'speed')::double precision) STORED,
    pool text COLLATE "C" GENERATED ALWAYS AS (coalesce(document ->> 'pool', '')) STORED,
    zone text COLLATE "C" GENERATED ALWAYS AS (coalesce(document ->> 'zone', '')) STORED,
    tags text[] GENERATED ALWAYS AS (tags_of(document)) STORED
) WITH (fillfactor = 80);

-- The machines that can be given to somebody: nothing is installed on them, and no deployment of people holds them.
CREATE VIEW ready_machine AS
SELECT machine.scope_id AS id, scope.name, scope.rack, coalesce(nullif(traits.zone, ''), around.zone, '') AS zone,
       coalesce(traits.pool, '') AS pool, traits.cpu, traits.memory, traits.disk, traits.nics, traits.speed,
       coalesce(traits.tags, '{}') AS tags
FROM machine
JOIN scope ON scope.id = machine.scope_id
LEFT JOIN traits ON traits.scope_id = machine.scope_id
LEFT JOIN traits AS around ON around.scope_id = scope.rack
WHERE machine.word = 'ready' AND NOT machine.installed AND NOT EXISTS (
    SELECT FROM member JOIN scope AS holder ON holder.id = member.deployment_id
    WHERE member.scope_id = machine.scope_id AND holder.name <> 'metal');

-- How a machine passes, constraint by constraint, in the order of core.wishes.CONSTRAINTS. Null: it is not asked for.
-- One expression without a query in it: so it is made a part of the statement that asks, and not called row by row.
CREATE FUNCTION judged(
    machine ready_machine, lowest double precision[], highest double precision[], pools text[], zones text[],
    racks bigint[], tags text[], without text[], apart bigint[]
) RETURNS boolean[] LANGUAGE sql IMMUTABLE AS $$
SELECT ARRAY[
    lowest[1] IS NULL OR coalesce(machine.cpu BETWEEN lowest[1] AND highest[1], false),
    lowest[2] IS NULL OR coalesce(machine.memory BETWEEN lowest[2] AND highest[2], false),
    lowest[3] IS NULL OR coalesce(machine.disk BETWEEN lowest[3] AND highest[3], false),
    lowest[4] IS NULL OR coalesce(machine.nics BETWEEN lowest[4] AND highest[4], false),
    lowest[5] IS NULL OR coalesce(machine.speed BETWEEN lowest[5] AND highest[5], false),
    pools IS NULL OR machine.pool = ANY (pools),
    zones IS NULL OR machine.zone = ANY (zones),
    racks IS NULL OR coalesce(machine.rack = ANY (racks), false),
    machine.tags @> tags AND NOT machine.tags && without,
    coalesce(machine.rack <> ALL (apart), true)
]
$$;

-- Rules that tag nodes. Nodes are judged by a new one once the transactions have ended that do not know of it.
CREATE TABLE tag_rule (
    name text COLLATE "C" PRIMARY KEY,
    expression text NOT NULL,
    reads text[] NOT NULL,
    since xid8 NOT NULL
);

-- The nodes that were there before have traits too.
INSERT INTO traits (scope_id, document)
SELECT scope_id, jsonb_object_agg(name, trait)
FROM (
    SELECT scope_id, 'cpu' AS name, value -> 'threads' AS trait FROM fact
    WHERE path = 'observed.inventory.cpu' AND jsonb_typeof(value -> 'threads') = 'number'
    UNION ALL
    SELECT scope_id, 'memory', value -> 'bytes' FROM fact
    WHERE path = 'observed.inventory.memory' AND jsonb_typeof(value -> 'bytes') = 'number'
    UNION ALL
    SELECT scope_id, 'disk', to_jsonb(max(bytes::double precision)) FROM fact
    CROSS JOIN LATERAL jsonb_path_query(value, '$[*].bytes ? (@.type() == "number")') AS bytes
    WHERE path = 'observed.inventory.disks' GROUP BY scope_id
    UNION ALL
    SELECT scope_id, 'nics', to_jsonb(count(*)) FROM fact
    CROSS JOIN LATERAL jsonb_path_query(value, '$[*] ? (@.type() == "object")') AS nic
    WHERE path = 'observed.inventory.nics' GROUP BY scope_id
    UNION ALL
    SELECT scope_id, 'speed', to_jsonb(max(speed::double precision)) FROM fact
    CROSS JOIN LATERAL jsonb_path_query(value, '$[*].speed ? (@.type() == "number")') AS speed
    WHERE path = 'observed.inventory.nics' GROUP BY scope_id
    UNION ALL
    SELECT scope_id, reverse(split_part(reverse(path), '.', 1)), value FROM fact
    WHERE path IN ('desired.pool', 'desired.zone', 'desired.rack.zone') AND jsonb_typeof(value) = 'string'
) AS said
GROUP BY scope_id;
