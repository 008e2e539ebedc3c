-- Who may do what, who did what, and what became of it at once: roles, sessions, tokens, the audit log, and the
-- notifications that live pages stand on.

-- The older program knows is_admin alone and goes on writing it: whichever of the two a statement changes, the other
-- follows.
ALTER TABLE users
    ADD COLUMN role text CHECK (role IN ('viewer', 'operator', 'admin')),
    ADD COLUMN last_login_at timestamptz;
UPDATE users SET role = CASE WHEN is_admin THEN 'admin' ELSE 'viewer' END;
ALTER TABLE users ALTER COLUMN role SET NOT NULL;

CREATE FUNCTION bm_role_in_step() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF NEW.role IS NULL THEN
        NEW.role := CASE WHEN NEW.is_admin THEN 'admin' ELSE 'viewer' END;
    ELSIF TG_OP = 'INSERT' OR NEW.role <> OLD.role THEN
        NEW.is_admin := NEW.role = 'admin';
    ELSIF NEW.is_admin IS DISTINCT FROM OLD.is_admin AND coalesce(NEW.is_admin, false) <> (NEW.role = 'admin') THEN
        NEW.role := CASE WHEN NEW.is_admin THEN 'admin' ELSE 'viewer' END;
    END IF;
    RETURN NEW;
END $$;
CREATE TRIGGER users_role_in_step BEFORE INSERT OR UPDATE OF role, is_admin ON users
    FOR EACH ROW EXECUTE FUNCTION bm_role_in_step();

-- The older system's hashes of passwords that were hashed anew at a login: what down gives back, so that people can
-- log in there. A changed password takes its entry with it. DELETE FROM legacy_passwords once nobody will go back.
CREATE TABLE legacy_passwords (
    user_id integer PRIMARY KEY REFERENCES users (id) ON DELETE CASCADE,
    hashed_password text NOT NULL
);

-- Of cookies and tokens only the SHA-256 is kept.
CREATE TABLE sessions (
    id serial PRIMARY KEY,
    secret_hash text NOT NULL UNIQUE CHECK (secret_hash ~ '^[0-9a-f]{64}$'),
    user_id integer NOT NULL REFERENCES users (id) ON DELETE CASCADE,
    created_at timestamptz NOT NULL DEFAULT now(),
    last_seen_at timestamptz NOT NULL DEFAULT now(),
    expires_at timestamptz NOT NULL,
    remote_address text
);
CREATE INDEX sessions_user ON sessions (user_id);
CREATE INDEX sessions_expiry ON sessions (expires_at);

CREATE TABLE api_tokens (
    id serial PRIMARY KEY,
    name text NOT NULL,
    secret_hash text NOT NULL UNIQUE CHECK (secret_hash ~ '^[0-9a-f]{64}$'),
    role text NOT NULL CHECK (role IN ('viewer', 'operator', 'admin')),
    created_by integer REFERENCES users (id) ON DELETE CASCADE, -- NULL: made on the command line
    created_at timestamptz NOT NULL DEFAULT now(),
    expires_at timestamptz,
    last_used_at timestamptz,
    revoked_at timestamptz
);
CREATE UNIQUE INDEX api_tokens_name ON api_tokens (name) WHERE revoked_at IS NULL;
CREATE INDEX api_tokens_created_by ON api_tokens (created_by);

-- Requests that made something, under the key that their client chose: the same again, within a day, makes nothing. No
-- foreign key: what was made may be gone, and is not made anew for it.
CREATE TABLE idempotency_keys (
    scope text NOT NULL,           -- whose key: user:5, token:7
    key text NOT NULL,
    request text NOT NULL,         -- what was asked for
    backup_id integer NOT NULL,    -- what it made
    created_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (scope, key)
);
CREATE INDEX idempotency_keys_created_at ON idempotency_keys (created_at);

-- One row per change. No foreign keys: what happened stays true when its people and things are gone.
CREATE TABLE audit_log (
    id bigserial PRIMARY KEY,
    at timestamptz NOT NULL DEFAULT clock_timestamp(),
    user_id integer,
    username text,
    token_name text,
    program text,                  -- application_name: who spoke to PostgreSQL
    remote_address text,
    action text NOT NULL,          -- create, update, remove; login, logout, backup_run, ...
    object_kind text NOT NULL,     -- user, token, group, database, destination, assignment, schedule, queue, backup
    object_id bigint,
    object_name text,
    changes jsonb                  -- {"field": {"old": ..., "new": ...}}, secrets as "***"
);
CREATE INDEX audit_log_object ON audit_log (object_kind, object_id, id);
CREATE INDEX audit_log_user ON audit_log (user_id, id);

-- One value as the log may show it. References to secrets are shown when they are clearly references.
CREATE FUNCTION bm_audit_value(field text, value jsonb) RETURNS jsonb LANGUAGE sql IMMUTABLE AS $$
    SELECT CASE
        WHEN value IS NULL OR value = 'null' THEN NULL
        WHEN field IN ('hashed_password', 'password_encrypted', 'connection_options', 'secret_hash', 'storage_config',
                       'source_argv') THEN '"***"'::jsonb
        WHEN field IN ('password_ref', 'credentials_ref') AND value #>> '{}' !~ '^(env|file|vault|aws-sm):'
            THEN '"***"'::jsonb
        WHEN length(value #>> '{}') > 1000 THEN to_jsonb(left(value #>> '{}', 1000) || '...')
        ELSE value
    END
$$;

-- storage_config is text that holds JSON: which members of it changed can be told, their values can't.
CREATE FUNCTION bm_audit_members(before text, after text) RETURNS jsonb LANGUAGE plpgsql IMMUTABLE AS $$
DECLARE
    b jsonb;
    a jsonb;
BEGIN
    b := coalesce(before, '{}')::jsonb; -- in here, where what is no JSON is caught
    a := coalesce(after, '{}')::jsonb;
    RETURN (SELECT jsonb_agg(k ORDER BY k) FROM jsonb_object_keys(b || a) AS k WHERE b -> k IS DISTINCT FROM a -> k);
EXCEPTION WHEN data_exception THEN
    RETURN NULL;
END $$;

-- True when nobody listens to bm_events: then a NOTIFY is left out, which would have every commit wait for the others'
-- (PostgreSQL hands notifications out in order of commit, under one lock).
--
-- Whoever listens holds all 64 locks (7305173, 0..63), shared, for as long as it does; whoever writes tries the one
-- that its process id chooses, exclusively, until its transaction ends. Listeners don't hinder each other, nor writers
-- but for two whose ids share a lock: one of these notifies for nothing. No writer ever waits. Nothing is missed:
-- * A writer that got its lock ends before a listener has that lock. So it has committed, visibly, before the listener
--   has all of them, and what the listener and its clients read from then on contains the change.
-- * A writer that did not get it notifies. If it commits before the LISTEN does, that is not delivered, but the change is
--   visible to all who read after the LISTEN.
-- Hence the order for a listener: LISTEN and commit; then the locks, waiting; then read, or have its clients read, what
-- is there. It may listen before, but not rely on it. A listener that dies takes its locks with it.
CREATE FUNCTION bm_nobody_listens() RETURNS boolean LANGUAGE sql VOLATILE AS $$
    SELECT pg_try_advisory_xact_lock(7305173, pg_backend_pid() & 63)
$$;

-- Writes the log in the transaction of the change itself, whoever makes it. TG_ARGV: the kind of object. Who it was
-- stands in the transaction's setting bm.actor: {"user_id", "username", "token", "address"}, all optional.
CREATE FUNCTION bm_audit() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
    actor jsonb := nullif(current_setting('bm.actor', true), '')::jsonb;
    before jsonb := CASE WHEN TG_OP <> 'INSERT' THEN to_jsonb(OLD) ELSE '{}' END;
    after jsonb := CASE WHEN TG_OP <> 'DELETE' THEN to_jsonb(NEW) ELSE '{}' END;
    present jsonb := CASE WHEN TG_OP <> 'DELETE' THEN after ELSE before END;
    changed jsonb;
BEGIN
    SELECT jsonb_object_agg(f.field, jsonb_strip_nulls(jsonb_build_object(
               'old', bm_audit_value(f.field, f.b), 'new', bm_audit_value(f.field, f.a),
               'members', CASE WHEN f.field = 'storage_config' THEN bm_audit_members(f.b #>> '{}', f.a #>> '{}') END)))
    INTO changed
    FROM (SELECT k AS field, nullif(before -> k, 'null') AS b, nullif(after -> k, 'null') AS a
          FROM jsonb_object_keys(present) AS k
          WHERE k <> ALL (ARRAY['id', 'created_at', 'updated_at', 'created_by', 'last_login_at', 'last_used_at',
                                'last_backup_at', 'last_run_at', 'next_run_at', 'is_admin'])) AS f
    WHERE f.b IS DISTINCT FROM f.a;
    IF changed IS NOT NULL THEN
        INSERT INTO audit_log (user_id, username, token_name, program, remote_address, action, object_kind, object_id,
                               object_name, changes)
        VALUES ((actor ->> 'user_id')::integer, actor ->> 'username', actor ->> 'token',
                current_setting('application_name'), actor ->> 'address',
                CASE TG_OP WHEN 'INSERT' THEN 'create' WHEN 'UPDATE' THEN 'update' ELSE 'remove' END,
                TG_ARGV[0], (present ->> 'id')::bigint, coalesce(present ->> 'username', present ->> 'name'), changed);
        IF TG_ARGV[0] NOT IN ('user', 'token') AND NOT bm_nobody_listens() THEN
            PERFORM pg_notify('bm_events', jsonb_build_object('configuration', jsonb_build_object(
                'kind', TG_ARGV[0], 'id', present -> 'id', 'name', left(present ->> 'name', 200),
                'database_id', present -> 'database_id',
                'action', CASE TG_OP WHEN 'INSERT' THEN 'create' WHEN 'UPDATE' THEN 'update' ELSE 'remove' END))::text);
        END IF;
    END IF;
    RETURN NULL;
END $$;

-- Only the columns that people configure: the scheduler moves next_run_at on without a word here.
CREATE TRIGGER users_audit AFTER INSERT OR DELETE OR
    UPDATE OF username, email, hashed_password, is_active, is_admin, role ON users
    FOR EACH ROW EXECUTE FUNCTION bm_audit('user');
CREATE TRIGGER api_tokens_audit AFTER INSERT OR DELETE OR
    UPDATE OF name, role, created_by, expires_at, revoked_at ON api_tokens
    FOR EACH ROW EXECUTE FUNCTION bm_audit('token');
CREATE TRIGGER groups_audit AFTER INSERT OR DELETE OR UPDATE OF name, description ON groups
    FOR EACH ROW EXECUTE FUNCTION bm_audit('group');
CREATE TRIGGER databases_audit AFTER INSERT OR DELETE OR
    UPDATE OF name, description, db_type, host, port, username, password_encrypted, database_name, connection_options,
              group_id, is_active, password_ref, source_path, source_argv ON databases
    FOR EACH ROW EXECUTE FUNCTION bm_audit('database');
CREATE TRIGGER destinations_audit AFTER INSERT OR UPDATE OR DELETE ON destinations
    FOR EACH ROW EXECUTE FUNCTION bm_audit('destination');
CREATE TRIGGER destination_assignments_audit AFTER INSERT OR UPDATE OR DELETE ON destination_assignments
    FOR EACH ROW EXECUTE FUNCTION bm_audit('assignment');
CREATE TRIGGER schedules_audit AFTER INSERT OR DELETE OR
    UPDATE OF name, description, schedule_type, cron_expression, interval_value, retention_days, max_backups,
              database_id, is_active, timezone, misfire_policy, ordering ON schedules
    FOR EACH ROW EXECUTE FUNCTION bm_audit('schedule');
CREATE TRIGGER queues_audit AFTER INSERT OR UPDATE OR DELETE ON queues
    FOR EACH ROW EXECUTE FUNCTION bm_audit('queue');

-- Channel bm_events, while somebody listens (bm_nobody_listens): {"backups": [150, 151]}, the backups that a statement
-- touched by themselves or by their copies; {"backups": null} when they are too many to name. Equal ones of one
-- transaction arrive once. {"configuration": {"kind", "id", "name", "database_id", "action"}}: bm_audit's.
CREATE FUNCTION bm_notify_backups() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
    ids text;
BEGIN
    IF bm_nobody_listens() THEN
        RETURN NULL;
    END IF;
    IF TG_TABLE_NAME = 'backups' THEN
        SELECT string_agg(id::text, ',' ORDER BY id) INTO ids FROM changed;
    ELSE
        SELECT string_agg(id::text, ',' ORDER BY id) INTO ids FROM (SELECT DISTINCT backup_id AS id FROM changed) AS c;
    END IF;
    IF ids IS NOT NULL THEN
        PERFORM pg_notify('bm_events', '{"backups":' ||
                          CASE WHEN length(ids) > 7000 THEN 'null' ELSE '[' || ids || ']' END || '}');
    END IF;
    RETURN NULL;
END $$;
CREATE TRIGGER backups_notify_insert AFTER INSERT ON backups REFERENCING NEW TABLE AS changed
    FOR EACH STATEMENT EXECUTE FUNCTION bm_notify_backups();
CREATE TRIGGER backups_notify_update AFTER UPDATE ON backups REFERENCING NEW TABLE AS changed
    FOR EACH STATEMENT EXECUTE FUNCTION bm_notify_backups();
CREATE TRIGGER backups_notify_delete AFTER DELETE ON backups REFERENCING OLD TABLE AS changed
    FOR EACH STATEMENT EXECUTE FUNCTION bm_notify_backups();
CREATE TRIGGER backup_destinations_notify_insert AFTER INSERT ON backup_destinations REFERENCING NEW TABLE AS changed
    FOR EACH STATEMENT EXECUTE FUNCTION bm_notify_backups();
CREATE TRIGGER backup_destinations_notify_update AFTER UPDATE ON backup_destinations REFERENCING NEW TABLE AS changed
    FOR EACH STATEMENT EXECUTE FUNCTION bm_notify_backups();
CREATE TRIGGER backup_destinations_notify_delete AFTER DELETE ON backup_destinations REFERENCING OLD TABLE AS changed
    FOR EACH STATEMENT EXECUTE FUNCTION bm_notify_backups();
