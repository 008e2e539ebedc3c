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
