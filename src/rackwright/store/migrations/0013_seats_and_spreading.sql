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

-- The first in line of the queues whose rows do not say since when they wait.
CREATE TABLE queue_head (
    name text NOT NULL,
    place bigint NOT NULL,
    head bigint NOT NULL,
    since double precision NOT NULL,
    PRIMARY KEY (name, place)
);

-- Hooks have a queue of their own in the job engine: those that hang keep no other job from its place.
CREATE OR REPLACE FUNCTION defer_job(
    kind text, arguments jsonb, lock text, queueing_lock text, not_before double precision
) RETURNS bigint LANGUAGE plpgsql AS $$
BEGIN
    RETURN (procrastinate.procrastinate_defer_jobs_v1(ARRAY[
        ROW(CASE WHEN kind = 'hooks.deliver' THEN 'rackwright-hooks' ELSE 'rackwright' END, kind, 0, lock, queueing_lock,
            arguments, to_timestamp(not_before))
    ]::procrastinate.procrastinate_job_to_defer_v1[]))[1];
EXCEPTION WHEN unique_violation THEN
    RETURN NULL;
END
$$;

-- When the database's clock was set, and by how much: so that of many processes one moves the times that are written down.
CREATE TABLE clock_jump (at double precision NOT NULL, seconds double precision NOT NULL);
