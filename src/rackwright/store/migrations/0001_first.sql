-- The first schema. Times are seconds since the epoch (double precision), as everywhere in the product.

-- What facts hang on and node tasks work on: nodes, racks and deployments share one id space.
CREATE TABLE scope (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    kind text NOT NULL CHECK (kind IN ('node', 'rack', 'deployment')),
    name text COLLATE "C" NOT NULL,
    rack bigint REFERENCES scope,
    alive boolean NOT NULL DEFAULT true,
    available boolean NOT NULL DEFAULT true,
    labels jsonb NOT NULL DEFAULT '{}',
    secret bytea,
    created_at double precision NOT NULL DEFAULT extract(epoch FROM clock_timestamp()),
    last_seen double precision,
    UNIQUE (kind, name)
);
CREATE INDEX scope_in_rack ON scope (rack) WHERE rack IS NOT NULL;

-- One sequence of revisions for all facts: the newest of any set of facts is its greatest.
CREATE SEQUENCE fact_revision;
CREATE TABLE fact (
    scope_id bigint NOT NULL REFERENCES scope,
    path text COLLATE "C" NOT NULL,
    value jsonb NOT NULL,
    revision bigint NOT NULL DEFAULT nextval('fact_revision'),
    writer text NOT NULL,
    PRIMARY KEY (scope_id, path),
    -- Deferred, so that two nodes may swap their addresses in one transaction.
    CONSTRAINT one_address EXCLUDE USING btree (value WITH =) WHERE (path = 'desired.address')
        DEFERRABLE INITIALLY DEFERRED
) WITH (fillfactor = 90);

CREATE TABLE catalog (
    digest text PRIMARY KEY,
    document bytea NOT NULL,
    created_at double precision NOT NULL DEFAULT extract(epoch FROM clock_timestamp())
);
CREATE TABLE catalog_name (
    name text COLLATE "C" PRIMARY KEY,
    digest text NOT NULL REFERENCES catalog,
    changed_at double precision NOT NULL DEFAULT extract(epoch FROM clock_timestamp())
);

CREATE TABLE deployment (
    id bigint PRIMARY KEY REFERENCES scope,
    parent bigint REFERENCES deployment,
    catalog text NOT NULL DEFAULT '',
    catalog_name text NOT NULL DEFAULT '',
    stopped boolean NOT NULL DEFAULT false,
    -- Grows with every change of the deployment, its members or its set of node tasks.
    generation bigint NOT NULL DEFAULT 0
);
CREATE INDEX deployment_below ON deployment (parent) WHERE parent IS NOT NULL;

CREATE TABLE member (
    deployment_id bigint NOT NULL REFERENCES deployment,
    scope_id bigint NOT NULL REFERENCES scope,
    roles text[] NOT NULL,
    tags text[] NOT NULL,
    PRIMARY KEY (deployment_id, scope_id)
);
CREATE INDEX member_of ON member (scope_id);

-- The rows that move. States: -1 error, 0 active, 1 todo, 2 transition, 3 blocked, 4 proposed.
-- No foreign keys: they would be checked row by row when a graph of millions is copied in; `remove` keeps it clean.
CREATE SEQUENCE node_task_id;
CREATE TABLE node_task (
    id bigint PRIMARY KEY,
    deployment_id bigint NOT NULL,
    graph text COLLATE "C" NOT NULL,
    task text COLLATE "C" NOT NULL,
    scope_id bigint NOT NULL,
    rack_id bigint,
    state smallint NOT NULL CHECK (state BETWEEN -1 AND 4),
    waits integer NOT NULL,
    priority integer NOT NULL,
    critical boolean NOT NULL,
    attempt integer NOT NULL,
    tries integer NOT NULL,
    runs integer NOT NULL,
    revision bigint NOT NULL,
    fingerprint bytea,
    claimed bytea,
    forced boolean NOT NULL,
    incarnation text,
    claimed_at double precision NOT NULL,
    lease_until double precision NOT NULL,
    not_before double precision NOT NULL,
    reason text NOT NULL,
    children bigint[] NOT NULL,
    feeds bigint[] NOT NULL,
    gates bigint[] NOT NULL
) WITH (fillfactor = 80, autovacuum_vacuum_scale_factor = 0.05, autovacuum_analyze_scale_factor = 0.05);
-- The law of the product: at most one node task runs on a scope at any time.
CREATE UNIQUE INDEX one_running ON node_task (scope_id) WHERE state = 2;
CREATE UNIQUE INDEX one_of_each ON node_task (deployment_id, task, scope_id, graph);
CREATE INDEX node_task_on ON node_task (scope_id);
CREATE INDEX node_task_ready ON node_task (rack_id, priority DESC, id) WHERE state = 1;
-- The conditions differ from one_running's, so that the planner can take neither of these two for "does something run
-- on this scope": while few rows run they look as cheap, and would be read to the end for every row of a claim.
CREATE INDEX node_task_running ON node_task (rack_id) WHERE state = 2 AND rack_id IS NOT NULL;
CREATE INDEX node_task_lease ON node_task (lease_until) WHERE state = 2 AND lease_until IS NOT NULL;
CREATE INDEX node_task_stopper ON node_task (scope_id) WHERE state = -1 AND critical;

CREATE SEQUENCE barrier_id;
CREATE TABLE barrier (
    id bigint PRIMARY KEY,
    deployment_id bigint NOT NULL,
    graph text COLLATE "C" NOT NULL,
    name text NOT NULL,
    waits integer NOT NULL,
    released integer NOT NULL,
    -- How many children there are: counting the array would read all of it at every change.
    width integer NOT NULL,
    children bigint[] NOT NULL,
    feeds bigint[] NOT NULL
) WITH (fillfactor = 50);
ALTER TABLE barrier ALTER COLUMN children SET STORAGE EXTERNAL;
CREATE INDEX barrier_of ON barrier (deployment_id, graph);
CREATE INDEX barrier_wakeable ON barrier (id) WHERE waits = 0 AND released < width;

-- Attempts and events are only ever appended, share one sequence of ids, and carry the transaction that wrote them:
-- readers go by the order of transactions and take only those that no open one can still precede.
CREATE SEQUENCE history_id;
CREATE TABLE run (
    xact xid8 NOT NULL,
    id bigint PRIMARY KEY DEFAULT nextval('history_id'),
    node_task bigint NOT NULL,
    deployment_id bigint NOT NULL,
    task text NOT NULL,
    scope_id bigint NOT NULL,
    rack_id bigint,
    attempt integer NOT NULL,
    outcome text NOT NULL,
    reason text NOT NULL,
    revision bigint NOT NULL,
    fingerprint bytea,
    started_at double precision NOT NULL,
    ended_at double precision NOT NULL
);
CREATE INDEX run_order ON run (xact, id);
CREATE INDEX run_of ON run (deployment_id, id);
CREATE TABLE event (
    xact xid8 NOT NULL,
    id bigint PRIMARY KEY DEFAULT nextval('history_id'),
    at double precision NOT NULL,
    kind text NOT NULL,
    text text NOT NULL,
    deployment text,
    scope text,
    task text,
    data jsonb NOT NULL
);
CREATE INDEX event_order ON event (xact, id);

CREATE TABLE plan (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    deployment_id bigint NOT NULL REFERENCES deployment,
    changes jsonb NOT NULL,
    apply boolean NOT NULL,
    state text NOT NULL CHECK (state IN ('requested', 'ready', 'applied', 'failed')),
    summary jsonb NOT NULL,
    fence bigint NOT NULL,
    error text NOT NULL,
    created_by text NOT NULL,
    created_at double precision NOT NULL,
    finished_at double precision
);
CREATE INDEX plan_of ON plan (deployment_id, id);
CREATE INDEX plan_to_do ON plan (id) WHERE state = 'requested' OR (state = 'ready' AND apply);

CREATE TABLE log_piece (
    node_task bigint NOT NULL,
    attempt integer NOT NULL,
    start bigint NOT NULL,
    last boolean NOT NULL,
    data bytea NOT NULL,
    PRIMARY KEY (node_task, attempt, start)
);

CREATE TABLE token (
    name text PRIMARY KEY,
    secret bytea NOT NULL UNIQUE,
    scope text NOT NULL CHECK (scope IN ('admin', 'read')),
    created_at double precision NOT NULL DEFAULT extract(epoch FROM clock_timestamp()),
    last_used double precision
);
