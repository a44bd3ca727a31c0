-- Node tasks that take shares of the budgets while they run: at which places. A plan writes those of its graph anew.
-- What stands here of a node task that is gone means nothing: ids come once.
CREATE TABLE work_share (
    id bigint PRIMARY KEY,
    deployment_id bigint NOT NULL REFERENCES deployment ON DELETE CASCADE,
    graph text COLLATE "C" NOT NULL,
    places text[] COLLATE "C" NOT NULL
);
CREATE INDEX work_share_graph ON work_share (deployment_id, graph);
