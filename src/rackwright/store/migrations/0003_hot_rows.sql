-- Where each node task belongs, apart from the rows that move.

-- PostgreSQL writes a new entry into every full index of a table whenever a row of it moves, for state is in the
-- conditions of its partial indexes. What never changes while a graph runs is looked up here instead, so that a move
-- writes to node_task's key and to the few partial indexes that it enters.
CREATE TABLE node_task_place (
    deployment_id bigint NOT NULL,
    task text COLLATE "C" NOT NULL,
    scope_id bigint NOT NULL,
    graph text COLLATE "C" NOT NULL,
    id bigint NOT NULL
);
INSERT INTO node_task_place SELECT deployment_id, task, scope_id, graph, id FROM node_task;
DROP INDEX one_of_each;
DROP INDEX node_task_on;
CREATE UNIQUE INDEX one_of_each ON node_task_place (deployment_id, task, scope_id, graph) INCLUDE (id);
CREATE INDEX node_task_on ON node_task_place (scope_id) INCLUDE (id);

-- Whatever adds or deletes node tasks keeps their places too. The plans are made for what comes: after a million rows
-- the next one must not be looked for by reading the table.
CREATE FUNCTION node_task_come() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    INSERT INTO node_task_place SELECT deployment_id, task, scope_id, graph, id FROM fresh;
    RETURN NULL;
END $$;
CREATE FUNCTION node_task_gone() RETURNS trigger LANGUAGE plpgsql SET plan_cache_mode = force_custom_plan AS $$
BEGIN
    DELETE FROM node_task_place AS place USING gone
    WHERE place.deployment_id = gone.deployment_id AND place.task = gone.task AND place.scope_id = gone.scope_id
      AND place.graph = gone.graph;
    RETURN NULL;
END $$;
CREATE TRIGGER come AFTER INSERT ON node_task
    REFERENCING NEW TABLE AS fresh FOR EACH STATEMENT EXECUTE FUNCTION node_task_come();
CREATE TRIGGER gone AFTER DELETE ON node_task
    REFERENCING OLD TABLE AS gone FOR EACH STATEMENT EXECUTE FUNCTION node_task_gone();
