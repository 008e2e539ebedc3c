-- Long work that backup-api does for somebody who doesn't wait: checks of copies, removals, tests of destinations. Each
-- belongs to the process that took it in (owner), which renews its lease; whoever reads one that has not ended and whose
-- lease is over sees that its process died with it. No foreign keys: what was done stays true when the backup is gone.
CREATE TABLE operations (
    id serial PRIMARY KEY,
    kind text NOT NULL CHECK (kind IN ('verify', 'delete', 'test')),
    backup_id integer,
    destination_id integer,
    object_name text,
    parameters jsonb NOT NULL DEFAULT '{}',
    state text NOT NULL DEFAULT 'waiting' CHECK (state IN ('waiting', 'running', 'done', 'failed')),
    bytes_done bigint NOT NULL DEFAULT 0,
    bytes_total bigint,            -- NULL: not known, or nothing is read
    result jsonb,
    error_message text,            -- failed
    requested_by text,             -- the user's name, or the token's
    created_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    started_at timestamptz,
    ended_at timestamptz,
    owner text NOT NULL,
    lease_until timestamptz NOT NULL
);
CREATE INDEX operations_backup ON operations (backup_id, id);
CREATE INDEX operations_destination ON operations (destination_id, id);
CREATE INDEX operations_unfinished ON operations (lease_until) WHERE state IN ('waiting', 'running');
CREATE INDEX operations_created ON operations (created_at);

-- Channel bm_events, while somebody listens: {"operation": {...}}, an operation as it is now.
CREATE FUNCTION bm_notify_operation() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF NOT bm_nobody_listens() THEN
        PERFORM pg_notify('bm_events', jsonb_build_object('operation', jsonb_build_object(
            'id', NEW.id, 'kind', NEW.kind, 'backup_id', NEW.backup_id, 'destination_id', NEW.destination_id,
            'state', NEW.state, 'bytes_done', NEW.bytes_done, 'bytes_total', NEW.bytes_total,
            'error_message', left(NEW.error_message, 1000)))::text);
    END IF;
    RETURN NULL;
END $$;
CREATE TRIGGER operations_notify_insert AFTER INSERT ON operations FOR EACH ROW EXECUTE FUNCTION bm_notify_operation();
CREATE TRIGGER operations_notify_update AFTER UPDATE ON operations FOR EACH ROW
    WHEN (OLD.state <> NEW.state OR OLD.bytes_done <> NEW.bytes_done OR OLD.bytes_total IS DISTINCT FROM NEW.bytes_total)
    EXECUTE FUNCTION bm_notify_operation();
