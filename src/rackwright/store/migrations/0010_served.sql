-- What racks serve. Nothing is written for a rack until its process has asked for it.

-- The counter of a rack: whoever changes what it serves locks this row, so that its generations are committed in order.
-- Generations are microseconds since the epoch, or one more than the last where that is later: so that a database
-- restored from a backup never gives one out a second time.
CREATE TABLE served_rack (
    rack_id bigint PRIMARY KEY REFERENCES scope ON DELETE CASCADE,
    generation bigint NOT NULL,
    -- The transaction since which changes are noted: documents are made once those before it have ended.
    since xid8 NOT NULL,
    complete boolean NOT NULL DEFAULT false,
    applied bigint NOT NULL DEFAULT -1,
    effect double precision,
    report jsonb NOT NULL DEFAULT '{}'
) WITH (fillfactor = 50);

-- Scopes are nodes or the rack itself. Null: it was there and is gone; no foreign key, for it outlives its scope.
CREATE TABLE served (
    rack_id bigint NOT NULL REFERENCES served_rack ON DELETE CASCADE,
    scope_id bigint NOT NULL,
    generation bigint NOT NULL,
    document bytea,
    PRIMARY KEY (rack_id, scope_id)
);
CREATE INDEX served_since ON served (rack_id, generation);
CREATE INDEX served_of ON served (scope_id);
CREATE INDEX served_gone ON served (rack_id, generation) WHERE document IS NULL;

-- The generations that this history has given out: a replica at any other one gets everything anew.
CREATE TABLE served_step (
    rack_id bigint NOT NULL REFERENCES served_rack ON DELETE CASCADE,
    generation bigint NOT NULL,
    PRIMARY KEY (rack_id, generation)
);
