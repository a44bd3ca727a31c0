-- What steers deployments beside their graphs: limits, pauses, windows, waves and tolerances.

-- How many node tasks may run at the same time: of the site (scope 0), a rack, a deployment, or a task of a deployment.
-- A claim that comes under limits locks their rows, in the order of the key; no other claim touches them.
CREATE TABLE work_limit (
    scope_id bigint NOT NULL,
    task text COLLATE "C" NOT NULL DEFAULT '',
    amount integer NOT NULL CHECK (amount >= 0),
    owner bigint GENERATED ALWAYS AS (nullif(scope_id, 0)) STORED REFERENCES scope ON DELETE CASCADE,
    PRIMARY KEY (scope_id, task)
);

-- A deployment that nothing steers has no row here. `held`, `wave` and `noop` repeat what claims ask of the document.
CREATE TABLE steering (
    deployment_id bigint PRIMARY KEY REFERENCES deployment ON DELETE CASCADE,
    document jsonb NOT NULL,
    held boolean NOT NULL,
    wave smallint,
    noop boolean NOT NULL
);

-- In which wave a node is; null: in none, it never waits for one.
ALTER TABLE member ADD COLUMN wave smallint;

CREATE INDEX node_task_failed ON node_task (deployment_id, scope_id) WHERE state = -1;
CREATE INDEX scope_gone ON scope (id) WHERE NOT alive;
