-- History in parts by time: attempts, events, changes and logs. Each table's parts cover all of time, so that no row is
-- ever refused; old parts go as a whole. What there is becomes the oldest part as it stands: nothing is copied.

-- The parts of a table in the order of time; `empty` is asked only of the first and of the last.
CREATE FUNCTION history_parts(series text) RETURNS TABLE (first double precision, beyond double precision, empty boolean)
LANGUAGE plpgsql STABLE AS $$
DECLARE part record;
BEGIN
    FOR part IN
        SELECT oid::regclass AS name,
               replace(bound[1], 'MINVALUE', '-Infinity')::double precision AS first,
               replace(bound[2], 'MAXVALUE', 'Infinity')::double precision AS beyond
        FROM (
            SELECT child.oid, regexp_match(
                pg_get_expr(child.relpartbound, child.oid), 'FROM \(''?([^'')]+)''?\) TO \(''?([^'')]+)''?\)') AS bound
            FROM pg_inherits JOIN pg_class AS child ON child.oid = inhrelid
            WHERE inhparent = series::regclass
        ) AS found
        ORDER BY 2
    LOOP
        first := part.first;
        beyond := part.beyond;
        empty := false;
        IF first = '-Infinity' OR beyond = 'Infinity' THEN
            EXECUTE format('SELECT NOT EXISTS (SELECT FROM %s)', part.name) INTO empty;
        END IF;
        RETURN NEXT;
    END LOOP;
END $$;

-- The name of the part that begins at a time, and its edges as PostgreSQL wants them.
CREATE FUNCTION history_part(series text, first double precision, beyond double precision) RETURNS text
LANGUAGE sql STABLE AS $$
    SELECT series || '_' || CASE
        WHEN first = '-Infinity' THEN 'oldest'
        WHEN beyond = 'Infinity' THEN 'newest'
        ELSE to_char(to_timestamp(first) AT TIME ZONE 'UTC', 'YYYYMMDD') END
$$;
CREATE FUNCTION history_edges(first double precision, beyond double precision) RETURNS text
LANGUAGE sql IMMUTABLE AS $$
    SELECT format('FROM (%s) TO (%s)', CASE WHEN first = '-Infinity' THEN 'MINVALUE' ELSE quote_literal(first) END,
                  CASE WHEN beyond = 'Infinity' THEN 'MAXVALUE' ELSE quote_literal(beyond) END)
$$;

CREATE FUNCTION history_drop(series text, first double precision, beyond double precision) RETURNS void
LANGUAGE plpgsql AS $$
BEGIN
    EXECUTE format('DROP TABLE %I', history_part(series, first, beyond));
END $$;

CREATE FUNCTION history_make(series text, first double precision, beyond double precision) RETURNS void
LANGUAGE plpgsql AS $$
BEGIN
    EXECUTE format('CREATE TABLE %I PARTITION OF %I FOR VALUES %s', history_part(series, first, beyond), series,
                   history_edges(first, beyond));
END $$;

-- The newest part, which has rows already, gets an end.
CREATE FUNCTION history_narrow(series text, first double precision, beyond double precision) RETURNS void
LANGUAGE plpgsql AS $$
DECLARE was text := history_part(series, first, 'Infinity'); part text := history_part(series, first, beyond);
BEGIN
    EXECUTE format('ALTER TABLE %I DETACH PARTITION %I', series, was);
    IF was <> part THEN
        EXECUTE format('ALTER TABLE %I RENAME TO %I', was, part);
    END IF;
    EXECUTE format('ALTER TABLE %I ATTACH PARTITION %I FOR VALUES %s', series, part, history_edges(first, beyond));
END $$;

-- Make a table's first two parts: what there is, up to the next Monday, and all that follows.
CREATE FUNCTION history_begin(series text) RETURNS void
LANGUAGE plpgsql AS $$
DECLARE
    monday double precision := extract(epoch FROM date_trunc('week', now() AT TIME ZONE 'UTC') + interval '1 week');
BEGIN
    IF to_regclass(series || '_oldest') IS NULL THEN
        PERFORM history_make(series, '-Infinity', monday);
    ELSE
        EXECUTE format('ALTER TABLE %I ATTACH PARTITION %I FOR VALUES %s', series, series || '_oldest',
                       history_edges('-Infinity', monday));
    END IF;
    PERFORM history_make(series, monday, 'Infinity');
END $$;

-- Attempts. `at` is when the end was written down, by the clock of the database; what is there already gets the time of
-- this migration, as a constant, so that no row is written anew.
ALTER TABLE run RENAME TO run_oldest;
ALTER TABLE run_oldest DROP CONSTRAINT run_pkey;
ALTER INDEX run_order RENAME TO run_oldest_order;
ALTER INDEX run_of RENAME TO run_oldest_of;
ALTER TABLE run_oldest ADD COLUMN incarnation text, ADD COLUMN outputs jsonb;
DO $$ BEGIN
    EXECUTE format('ALTER TABLE run_oldest ADD COLUMN at double precision NOT NULL DEFAULT %s',
                   extract(epoch FROM clock_timestamp()));
END $$;
ALTER TABLE run_oldest ALTER COLUMN at SET DEFAULT extract(epoch FROM clock_timestamp());
CREATE TABLE run (LIKE run_oldest INCLUDING DEFAULTS) PARTITION BY RANGE (at);
ALTER TABLE run ADD PRIMARY KEY (id, at);
CREATE INDEX run_order ON run (xact, id);
CREATE INDEX run_of ON run (deployment_id, id);
-- What ran on a scope, the newest first: the newest attempt is found in the newest parts.
CREATE INDEX run_on ON run (scope_id, at, id);
SELECT history_begin('run');

ALTER TABLE event RENAME TO event_oldest;
ALTER TABLE event_oldest DROP CONSTRAINT event_pkey;
ALTER INDEX event_order RENAME TO event_oldest_order;
CREATE TABLE event (LIKE event_oldest INCLUDING DEFAULTS) PARTITION BY RANGE (at);
ALTER TABLE event ADD PRIMARY KEY (id, at);
CREATE INDEX event_order ON event (xact, id);
SELECT history_begin('event');

-- Logs. `at` is the beginning of the day: a piece that comes twice on one day is one piece.
ALTER TABLE log_piece RENAME TO log_piece_oldest;
ALTER TABLE log_piece_oldest DROP CONSTRAINT log_piece_pkey;
DO $$ BEGIN
    EXECUTE format('ALTER TABLE log_piece_oldest ADD COLUMN at double precision NOT NULL DEFAULT %s',
                   floor(extract(epoch FROM clock_timestamp()) / 86400) * 86400);
END $$;
ALTER TABLE log_piece_oldest ALTER COLUMN at SET DEFAULT floor(extract(epoch FROM clock_timestamp()) / 86400) * 86400;
CREATE TABLE log_piece (LIKE log_piece_oldest INCLUDING DEFAULTS) PARTITION BY RANGE (at);
ALTER TABLE log_piece ADD PRIMARY KEY (node_task, attempt, start, at);
SELECT history_begin('log_piece');

-- Changes of what is desired: who asked, when, from where, and what. Only ever appended.
CREATE TABLE audit (
    xact xid8 NOT NULL DEFAULT pg_current_xact_id(),
    id bigint NOT NULL DEFAULT nextval('history_id'),
    at double precision NOT NULL DEFAULT extract(epoch FROM clock_timestamp()),
    asked_by text NOT NULL,
    address text NOT NULL,
    request text NOT NULL,
    kind text NOT NULL,
    text text NOT NULL,
    deployment text COLLATE "C",
    scope text COLLATE "C",
    before jsonb,
    after jsonb,
    PRIMARY KEY (id, at)
) PARTITION BY RANGE (at);
CREATE INDEX audit_of ON audit (deployment, id);
CREATE INDEX audit_on ON audit (scope, id);
SELECT history_begin('audit');
DROP FUNCTION history_begin;
