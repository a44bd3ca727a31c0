-- The processes of the product, as they say themselves. Nothing rests on these rows: they are written again every few
-- seconds, so they need no log. After a crash of the server the table is empty until the next beats.
CREATE UNLOGGED TABLE service (
    id text PRIMARY KEY,
    kind text COLLATE "C" NOT NULL,
    name text COLLATE "C" NOT NULL,
    host text COLLATE "C" NOT NULL,
    pid bigint NOT NULL,
    version text NOT NULL,
    started_at double precision NOT NULL,
    seen_at double precision NOT NULL,
    number bigint NOT NULL,
    state text NOT NULL CHECK (state IN ('running', 'draining', 'ended')),
    loop_lag double precision NOT NULL,
    sample bytea NOT NULL
) WITH (fillfactor = 50, autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 1000);
