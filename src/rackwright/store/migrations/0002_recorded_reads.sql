-- What node tasks have read: of the newest attempt that was carried out, and of the last one that ended well.

-- One row per node task that has something to record, apart from node_task, whose rows change with every move.
-- `noted` and `kept` map the place of a value to its fingerprint. No foreign keys, as for node_task: what deletes node
-- tasks deletes these rows too.
CREATE TABLE recorded_reads (
    node_task bigint PRIMARY KEY,
    attempt integer NOT NULL,
    noted jsonb NOT NULL,
    kept_attempt integer,
    kept jsonb
) WITH (fillfactor = 70);

-- Values that expressions compare with, each once, however many node tasks have read it.
CREATE TABLE read_value (
    fingerprint text COLLATE "C" PRIMARY KEY,
    value jsonb NOT NULL
);
