-- Roll-ups: node tasks counted by deployment, rack (0: none) and state.

CREATE TABLE rollup (
    deployment_id bigint NOT NULL,
    rack_id bigint NOT NULL,
    state smallint NOT NULL,
    n bigint NOT NULL,
    PRIMARY KEY (deployment_id, rack_id, state)
) WITH (fillfactor = 50);

-- What transactions have changed and nobody has folded yet. Only ever appended, so that no commit waits for another.
CREATE TABLE rollup_change (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    deployment_id bigint NOT NULL,
    rack_id bigint NOT NULL,
    state smallint NOT NULL,
    n bigint NOT NULL
) WITH (autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 5000);

CREATE VIEW rollup_now AS
    SELECT deployment_id, rack_id, state, n FROM rollup
    UNION ALL
    SELECT deployment_id, rack_id, state, n FROM rollup_change;

INSERT INTO rollup
SELECT deployment_id, coalesce(rack_id, 0), state, count(*) FROM node_task GROUP BY 1, 2, 3;

-- Moves are counted by who makes them; what comes and goes as a whole is counted here.
CREATE FUNCTION node_task_more() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    INSERT INTO rollup_change (deployment_id, rack_id, state, n)
    SELECT deployment_id, coalesce(rack_id, 0), state, count(*) FROM fresh GROUP BY 1, 2, 3;
    RETURN NULL;
END $$;
CREATE FUNCTION node_task_fewer() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    INSERT INTO rollup_change (deployment_id, rack_id, state, n)
    SELECT deployment_id, coalesce(rack_id, 0), state, -count(*) FROM gone GROUP BY 1, 2, 3;
    RETURN NULL;
END $$;
CREATE TRIGGER more AFTER INSERT ON node_task
    REFERENCING NEW TABLE AS fresh FOR EACH STATEMENT EXECUTE FUNCTION node_task_more();
CREATE TRIGGER fewer AFTER DELETE ON node_task
    REFERENCING OLD TABLE AS gone FOR EACH STATEMENT EXECUTE FUNCTION node_task_fewer();

CREATE INDEX scope_held ON scope (id) WHERE NOT available;

-- Attempts that are parked: they wait for an event or for their deadline, and nobody holds them. A row counts only as
-- long as its node task is in transition with this attempt; what no longer counts is cleared away.
CREATE TABLE parked (
    node_task bigint PRIMARY KEY,
    attempt integer NOT NULL,
    scope_id bigint NOT NULL,
    deadline double precision NOT NULL,
    -- Facts of the scope, by path, that end the wait; null: any value does.
    awaits jsonb NOT NULL,
    result jsonb NOT NULL
);
CREATE INDEX parked_deadline ON parked (deadline);
