-- Machines: nodes with a life cycle (see core.lifecycle), and node tasks that run while their node is not alive.

ALTER TABLE node_task ADD COLUMN offline boolean NOT NULL DEFAULT false;

CREATE TABLE machine (
    scope_id bigint PRIMARY KEY REFERENCES scope ON DELETE CASCADE,
    allocation text NOT NULL CHECK (allocation IN ('new', 'free', 'reserved', 'allocated', 'retired')),
    installed boolean NOT NULL,
    rescue boolean NOT NULL,
    verb text NOT NULL,
    activity text NOT NULL,
    phase text NOT NULL CHECK (phase IN ('idle', 'running', 'waiting', 'held', 'failed')),
    health text NOT NULL CHECK (health IN ('ok', 'degraded', 'broken', 'missing', 'unknown')),
    reason text NOT NULL,
    since double precision NOT NULL,
    last_seen double precision,
    beats boolean NOT NULL,
    last_verb text NOT NULL,
    last_outcome text NOT NULL,
    last_ended_at double precision,
    deployment_id bigint,
    -- The one word that follows from the others; kept so that it can be looked for.
    word text COLLATE "C" NOT NULL
) WITH (fillfactor = 80);
CREATE INDEX machine_word ON machine (word);
CREATE INDEX machine_held ON machine (scope_id) WHERE phase = 'held';
-- Who may be missed: its agent beats, it should be up, and nothing is done with it.
CREATE INDEX machine_beats ON machine (last_seen) WHERE beats AND phase = 'idle' AND health <> 'missing';

-- A machine that registers is found by what people or agents said of it before.
CREATE INDEX fact_macs ON fact USING gin (value) WHERE path IN ('desired.macs', 'observed.macs');
-- By hash, for nobody says how long a serial number may be.
CREATE INDEX fact_serial ON fact USING hash ((value #>> '{}')) WHERE path = 'observed.serial';
