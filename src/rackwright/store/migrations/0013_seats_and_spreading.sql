-- Which process works for a rack, and until when it is believed to live. Only racks have one.
ALTER TABLE scope ADD COLUMN holder text, ADD COLUMN seat text, ADD COLUMN held_until double precision;

-- Errors with very much below them. A source is a failed node task; the other rows are node tasks that are to be blocked.
-- As long as a deployment has any row here, nothing of it is claimed.
CREATE TABLE spreading (
    node_task bigint NOT NULL,
    source boolean NOT NULL,
    deployment_id bigint NOT NULL,
    priority integer NOT NULL,
    reason text NOT NULL,
    PRIMARY KEY (node_task, source)
);
CREATE INDEX spreading_of ON spreading (deployment_id);
CREATE INDEX spreading_next ON spreading (priority DESC, node_task) WHERE NOT source;
