-- Secrets of nodes (passwords of BMCs), sealed with a key that is not in the database.
CREATE TABLE sealed (
    scope_id bigint NOT NULL REFERENCES scope ON DELETE CASCADE,
    name text NOT NULL,
    data bytea NOT NULL,
    PRIMARY KEY (scope_id, name)
);
