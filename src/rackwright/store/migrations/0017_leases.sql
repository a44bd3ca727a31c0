-- Dynamic addresses that racks have given, for the process of a rack that takes over. Who serves many strangers writes
-- often here, and always the same rows.
CREATE TABLE rack_lease (
    rack_id bigint NOT NULL REFERENCES scope ON DELETE CASCADE,
    address text COLLATE "C" NOT NULL,
    client text NOT NULL,
    until double precision NOT NULL,
    seat text NOT NULL,
    PRIMARY KEY (rack_id, address)
) WITH (fillfactor = 80);
