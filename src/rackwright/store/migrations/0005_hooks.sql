-- Hooks: who wants to be told what, and the messages that wait for them. Nothing is written where nobody wants it.

CREATE TABLE subscription (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    name text COLLATE "C" NOT NULL UNIQUE,
    kind text NOT NULL CHECK (kind IN ('webhook', 'python', 'script')),
    events text[] NOT NULL,
    -- No foreign key: that a deployment was deleted is told after it is gone.
    deployment_id bigint,
    tasks text[] NOT NULL,
    role text NOT NULL,
    target text NOT NULL,
    catalog text NOT NULL,
    salt bytea NOT NULL,
    created_at double precision NOT NULL
);
CREATE INDEX subscription_of ON subscription (deployment_id) WHERE deployment_id IS NOT NULL;

-- The outbox. `object` is what the message is about: messages about one are delivered in the order of their ids, which
-- is that of their transactions, because every move locks its row first.
CREATE TABLE message (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    key uuid NOT NULL DEFAULT gen_random_uuid(),
    subscription_id bigint NOT NULL REFERENCES subscription ON DELETE CASCADE,
    event text NOT NULL,
    object text COLLATE "C" NOT NULL,
    at double precision NOT NULL,
    data jsonb NOT NULL,
    state text NOT NULL DEFAULT 'waiting' CHECK (state IN ('waiting', 'delivered', 'parked')),
    tries integer NOT NULL DEFAULT 0,
    not_before double precision NOT NULL DEFAULT 0,
    error text NOT NULL DEFAULT ''
) WITH (fillfactor = 80);
CREATE INDEX message_of ON message (subscription_id, id);
CREATE INDEX message_waiting ON message (subscription_id, id) WHERE state = 'waiting';
CREATE INDEX message_in_order ON message (subscription_id, object, id) WHERE state = 'waiting';
CREATE INDEX message_undelivered ON message (subscription_id, state) WHERE state <> 'delivered';
CREATE INDEX message_delivered ON message (at) WHERE state = 'delivered';

-- The log of deliveries; only ever added.
CREATE TABLE delivery (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    message_id bigint NOT NULL REFERENCES message ON DELETE CASCADE,
    number integer NOT NULL,
    at double precision NOT NULL,
    took double precision NOT NULL,
    error text NOT NULL
);
CREATE INDEX delivery_of ON delivery (message_id, id);

-- The word that hooks were last told of a deployment: active, error, or open.
CREATE TABLE deployment_word (
    deployment_id bigint PRIMARY KEY,
    word text NOT NULL
);

-- The version of the job engine's schema, which is applied from its own package after these migrations.
CREATE TABLE job_schema (
    version text PRIMARY KEY,
    applied_at double precision NOT NULL DEFAULT extract(epoch FROM clock_timestamp())
);

-- Asks for a job in the caller's transaction. NULL: one with the same queueing lock waits already. A function, because
-- the engine's own raises an error there, which would undo the whole transaction of the caller.
CREATE FUNCTION defer_job(
    kind text, arguments jsonb, lock text, queueing_lock text, not_before double precision
) RETURNS bigint LANGUAGE plpgsql AS $$
BEGIN
    RETURN (procrastinate.procrastinate_defer_jobs_v1(ARRAY[
        ROW('rackwright', kind, 0, lock, queueing_lock, arguments, to_timestamp(not_before))
    ]::procrastinate.procrastinate_job_to_defer_v1[]))[1];
EXCEPTION WHEN unique_violation THEN
    RETURN NULL;
END
$$;
