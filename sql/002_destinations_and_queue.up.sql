-- Our own tables and columns, after the specification's migration. Every column added to a table that the
-- specification's application writes is nullable or has a default: its rows may come without any of them.

-- The built-in user that the programs act as.
INSERT INTO users (username, email, hashed_password, is_active, is_admin)
SELECT 'system', 'system@localhost', '!', false, false
WHERE NOT EXISTS (SELECT FROM users WHERE username = 'system');

-- Sources: files, directories and commands have no host, port or group.
ALTER TABLE databases
    ALTER COLUMN host DROP NOT NULL,
    ALTER COLUMN port DROP NOT NULL,
    ALTER COLUMN group_id DROP NOT NULL,
    ADD COLUMN password_ref text,  -- where the password lives (env:NAME, file:/path), never the password
    ADD COLUMN source_path text,   -- db_type file, directory
    ADD COLUMN source_argv text;   -- db_type command: JSON array of strings

ALTER TABLE schedules
    ADD COLUMN timezone text NOT NULL DEFAULT 'UTC',
    ADD COLUMN misfire_policy text NOT NULL DEFAULT 'once' CHECK (misfire_policy IN ('skip', 'once', 'all')),
    ADD COLUMN ordering text NOT NULL DEFAULT 'parallel' CHECK (ordering IN ('parallel', 'sequential'));

CREATE TABLE destinations (
    id serial PRIMARY KEY,
    name text NOT NULL UNIQUE,
    storage_type text NOT NULL CHECK (storage_type IN
        ('local', 'local_external', 's3', 'minio', 'spaces', 'backblaze', 'azure_blob', 'gcs')),
    base_path text,
    storage_config text,           -- JSON
    credentials_ref text,          -- where a secret lives, never the secret
    priority integer NOT NULL DEFAULT 0 CHECK (priority >= 0),
    queue text NOT NULL DEFAULT 'default',
    max_concurrent integer CHECK (max_concurrent > 0),
    bandwidth_limit bigint CHECK (bandwidth_limit > 0), -- bytes per second
    path_template text NOT NULL DEFAULT '{database}/{yyyy}/{mm}/{dd}/{name}.{ext}',
    disk_identity text,            -- local_external: which disk this is
    enabled boolean NOT NULL DEFAULT true,
    created_at timestamptz NOT NULL DEFAULT now(),
    updated_at timestamptz
);

-- A destination serves a database, or only one of its schedules (schedule_id). priority NULL = the destination's.
CREATE TABLE destination_assignments (
    id serial PRIMARY KEY,
    destination_id integer NOT NULL REFERENCES destinations (id) ON DELETE CASCADE,
    database_id integer NOT NULL REFERENCES databases (id) ON DELETE CASCADE,
    schedule_id integer REFERENCES schedules (id) ON DELETE CASCADE,
    priority integer CHECK (priority >= 0),
    enabled boolean NOT NULL DEFAULT true,
    created_at timestamptz NOT NULL DEFAULT now()
);
CREATE UNIQUE INDEX destination_assignments_once
    ON destination_assignments (destination_id, database_id, coalesce(schedule_id, 0));

-- Pauses live here and not in Redis: a FLUSHALL must not un-pause.
CREATE TABLE queues (
    name text PRIMARY KEY,
    paused_at timestamptz
);

-- When the periodic passes last ran, whichever program ran them.
CREATE TABLE maintenance (
    name text PRIMARY KEY,
    last_run_at timestamptz NOT NULL
);

-- origin: what stands here already is the older system's history; what comes is ours to upload.
ALTER TABLE backups
    ADD COLUMN origin text NOT NULL DEFAULT 'migrated' CHECK (origin IN ('migrated', 'native')),
    ADD COLUMN fire_time timestamptz,
    ADD COLUMN ordering text NOT NULL DEFAULT 'parallel' CHECK (ordering IN ('parallel', 'sequential')),
    ADD COLUMN artifact_state text NOT NULL DEFAULT 'none'
        CHECK (artifact_state IN ('none', 'producing', 'ready', 'failed', 'gone')),
    ADD COLUMN artifact_fence bigint NOT NULL DEFAULT 0,   -- also the generation of the staged file
    ADD COLUMN artifact_owner text,
    ADD COLUMN artifact_lease_until timestamptz,
    ADD COLUMN artifact_host text,                         -- whose staging directory holds it
    ADD COLUMN artifact_sha256 text,
    ADD COLUMN artifact_size bigint,
    ADD COLUMN artifact_source_bytes bigint,               -- before compression; live while producing
    ADD COLUMN artifact_attempts integer NOT NULL DEFAULT 0,
    ADD COLUMN artifact_takes integer NOT NULL DEFAULT 0,  -- productions begun without any answer
    ADD COLUMN artifact_next_attempt_at timestamptz,
    ADD COLUMN artifact_ready_at timestamptz,
    ADD COLUMN artifact_seconds double precision;
ALTER TABLE backups ALTER COLUMN origin SET DEFAULT 'native';
ALTER TABLE backups ADD CONSTRAINT backups_schedule_fire_time_key UNIQUE (schedule_id, fire_time);
CREATE UNIQUE INDEX backups_native_name ON backups (name) WHERE origin = 'native';

ALTER TABLE backup_destinations
    ADD COLUMN origin text NOT NULL DEFAULT 'migrated' CHECK (origin IN ('migrated', 'native')),
    ADD COLUMN destination_id integer REFERENCES destinations (id) ON DELETE SET NULL,
    ADD COLUMN queue text NOT NULL DEFAULT 'default',
    ADD COLUMN attempts integer NOT NULL DEFAULT 0,        -- begun; 1 on the first
    ADD COLUMN takes integer NOT NULL DEFAULT 0,           -- takes without an answer
    ADD COLUMN next_attempt_at timestamptz,
    ADD COLUMN enqueued_at timestamptz,
    ADD COLUMN fence bigint NOT NULL DEFAULT 0,
    ADD COLUMN lease_owner text,
    ADD COLUMN lease_until timestamptz,
    ADD COLUMN bytes_done bigint,
    ADD COLUMN resume_state text,
    ADD COLUMN error_code text,
    ADD COLUMN waiting_since timestamptz,                  -- waits for the host that has the artifact
    ADD COLUMN in_order boolean NOT NULL DEFAULT true,     -- false once a person retried it: holds nothing back
    ADD COLUMN verified_at timestamptz,
    ADD COLUMN verification_result text;
ALTER TABLE backup_destinations ALTER COLUMN origin SET DEFAULT 'native';
ALTER TABLE backup_destinations ALTER COLUMN status SET DEFAULT 'pending';
-- "C": every state a row goes through adds an entry here (the index on status keeps updates from staying in place),
-- and comparing paths by a language's rules would be the dearest part of it.
CREATE UNIQUE INDEX backup_destinations_native_path
    ON backup_destinations (destination_id, file_path COLLATE "C") WHERE origin = 'native';
CREATE INDEX backup_destinations_to_relay
    ON backup_destinations (id) WHERE enqueued_at IS NULL AND origin = 'native' AND status IN ('pending', 'uploading');

-- Each row is written three times or more while it lives: room on its page for the versions to come.
ALTER TABLE backups SET (fillfactor = 60);
ALTER TABLE backup_destinations SET (fillfactor = 50);

CREATE FUNCTION bm_touch() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    NEW.updated_at := clock_timestamp() AT TIME ZONE 'UTC';
    RETURN NEW;
END $$;
CREATE FUNCTION bm_touch_tz() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    NEW.updated_at := clock_timestamp();
    RETURN NEW;
END $$;
-- A statement that sets updated_at itself spares the call.
CREATE TRIGGER backup_destinations_touch BEFORE UPDATE ON backup_destinations
    FOR EACH ROW WHEN (NEW.updated_at IS NOT DISTINCT FROM OLD.updated_at) EXECUTE FUNCTION bm_touch();
CREATE TRIGGER destinations_touch BEFORE UPDATE ON destinations
    FOR EACH ROW EXECUTE FUNCTION bm_touch_tz();

-- What keys at an object store begin with: storage_config's own "prefix", "" where there is none or it is no JSON.
CREATE FUNCTION bm_storage_prefix(storage_config text) RETURNS text LANGUAGE plpgsql IMMUTABLE AS $$
BEGIN
    RETURN coalesce(nullif(btrim(storage_config::jsonb ->> 'prefix', '/'), '') || '/', '');
EXCEPTION WHEN others THEN
    RETURN '';
END $$;

-- Later builds of the older system kept a plain list of directories per database, database_destinations. Each
-- directory becomes one destination, named after its path, assigned to the databases that list it. A switch
-- stands in one place: on the destination where every database has it off, else on the assignment.
DO $$
DECLARE
    listed record;
    wanted text;
    free text;
    new_id integer;
    n integer;
BEGIN
    IF to_regclass('database_destinations') IS NULL THEN
        RETURN;
    END IF;
    FOR listed IN
        SELECT coalesce(nullif(rtrim(path, '/'), ''), '/') AS path, bool_or(coalesce(enabled, true)) AS enabled
        FROM database_destinations
        WHERE path <> '' AND database_id IN (SELECT id FROM databases)
        GROUP BY 1 ORDER BY min(id)
    LOOP
        wanted := coalesce(nullif(replace(btrim(listed.path, './'), '/', '-'), ''), 'root');
        free := wanted;
        n := 1;
        WHILE EXISTS (SELECT FROM destinations WHERE name = free) LOOP
            n := n + 1;
            free := wanted || '-' || n;
        END LOOP;
        INSERT INTO destinations (name, storage_type, base_path, priority, enabled)
        VALUES (free, 'local_external', listed.path, 1, listed.enabled)
        RETURNING id INTO new_id;
        INSERT INTO destination_assignments (destination_id, database_id, enabled)
        SELECT new_id, database_id, bool_or(coalesce(enabled, true)) OR NOT listed.enabled
        FROM database_destinations
        WHERE path <> '' AND coalesce(nullif(rtrim(path, '/'), ''), '/') = listed.path
            AND database_id IN (SELECT id FROM databases)
        GROUP BY database_id ORDER BY min(id);
    END LOOP;
END $$;
