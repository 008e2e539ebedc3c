-- Back to the specification's tables. Configured destinations go; the directories among them return to the
-- older system's list where it has one.

DO $$
DECLARE
    type_of_created_at regtype;
BEGIN
    IF to_regclass('database_destinations') IS NULL THEN
        RETURN;
    END IF;
    -- A directory that is no longer assigned is switched off, not deleted: the list may be right.
    UPDATE database_destinations l
    SET enabled = now_enabled
    FROM (SELECT d.id, coalesce(bool_or(t.enabled AND a.enabled), false) AS now_enabled
          FROM database_destinations d
          LEFT JOIN destination_assignments a ON a.database_id = d.database_id AND a.schedule_id IS NULL
              AND EXISTS (SELECT FROM destinations x WHERE x.id = a.destination_id
                          AND x.storage_type = 'local_external'
                          AND coalesce(nullif(rtrim(x.base_path, '/'), ''), '/')
                              = coalesce(nullif(rtrim(d.path, '/'), ''), '/'))
          LEFT JOIN destinations t ON t.id = a.destination_id
          WHERE d.path <> '' AND d.database_id IN (SELECT id FROM databases)
          GROUP BY d.id) AS present
    WHERE present.id = l.id AND coalesce(l.enabled, true) <> now_enabled;

    SELECT atttypid INTO type_of_created_at FROM pg_attribute
    WHERE attrelid = to_regclass('database_destinations') AND attname = 'created_at';
    EXECUTE format(
        'INSERT INTO database_destinations (database_id, path, enabled, created_at) '
        'SELECT a.database_id, t.base_path, bool_or(t.enabled AND a.enabled), %s '
        'FROM destination_assignments a JOIN destinations t ON t.id = a.destination_id '
        'WHERE t.storage_type = ''local_external'' AND t.base_path <> '''' AND a.schedule_id IS NULL '
        '  AND NOT EXISTS (SELECT FROM database_destinations d WHERE d.database_id = a.database_id '
        '      AND coalesce(nullif(rtrim(d.path, ''/''), ''''), ''/'') '
        '          = coalesce(nullif(rtrim(t.base_path, ''/''), ''''), ''/'')) '
        'GROUP BY a.database_id, t.base_path ORDER BY 1, 2',
        CASE WHEN type_of_created_at = 'timestamp'::regtype THEN 'CURRENT_TIMESTAMP AT TIME ZONE ''UTC'''
             ELSE 'CURRENT_TIMESTAMP' END);
END $$;

DROP TRIGGER backup_destinations_touch ON backup_destinations;
ALTER TABLE backups RESET (fillfactor);
ALTER TABLE backup_destinations RESET (fillfactor);

ALTER TABLE backup_destinations
    DROP COLUMN origin,
    DROP COLUMN destination_id,
    DROP COLUMN queue,
    DROP COLUMN attempts,
    DROP COLUMN takes,
    DROP COLUMN next_attempt_at,
    DROP COLUMN enqueued_at,
    DROP COLUMN fence,
    DROP COLUMN lease_owner,
    DROP COLUMN lease_until,
    DROP COLUMN bytes_done,
    DROP COLUMN resume_state,
    DROP COLUMN error_code,
    DROP COLUMN waiting_since,
    DROP COLUMN in_order,
    DROP COLUMN verified_at,
    DROP COLUMN verification_result,
    ALTER COLUMN status DROP DEFAULT;

ALTER TABLE backups
    DROP COLUMN origin,
    DROP COLUMN fire_time,
    DROP COLUMN ordering,
    DROP COLUMN artifact_state,
    DROP COLUMN artifact_fence,
    DROP COLUMN artifact_owner,
    DROP COLUMN artifact_lease_until,
    DROP COLUMN artifact_host,
    DROP COLUMN artifact_sha256,
    DROP COLUMN artifact_size,
    DROP COLUMN artifact_source_bytes,
    DROP COLUMN artifact_attempts,
    DROP COLUMN artifact_takes,
    DROP COLUMN artifact_next_attempt_at,
    DROP COLUMN artifact_ready_at,
    DROP COLUMN artifact_seconds;

DROP TABLE destination_assignments;
DROP TABLE destinations;
DROP TABLE queues;
DROP TABLE maintenance;
DROP FUNCTION bm_touch();
DROP FUNCTION bm_touch_tz();
DROP FUNCTION bm_storage_prefix(text);

ALTER TABLE schedules
    DROP COLUMN timezone,
    DROP COLUMN misfire_policy,
    DROP COLUMN ordering;

ALTER TABLE databases
    DROP COLUMN password_ref,
    DROP COLUMN source_path,
    DROP COLUMN source_argv;

-- What the older program must find filled.
DO $$
DECLARE
    ungrouped integer;
BEGIN
    IF EXISTS (SELECT FROM legacy_columns
               WHERE table_name = 'databases' AND column_name = 'host' AND not_null) THEN
        UPDATE databases SET host = '' WHERE host IS NULL;
        ALTER TABLE databases ALTER COLUMN host SET NOT NULL;
    END IF;
    IF EXISTS (SELECT FROM legacy_columns
               WHERE table_name = 'databases' AND column_name = 'port' AND not_null) THEN
        UPDATE databases SET port = 0 WHERE port IS NULL;
        ALTER TABLE databases ALTER COLUMN port SET NOT NULL;
    END IF;
    IF EXISTS (SELECT FROM legacy_columns
               WHERE table_name = 'databases' AND column_name = 'group_id' AND not_null) THEN
        IF EXISTS (SELECT FROM databases WHERE group_id IS NULL) THEN
            SELECT id INTO ungrouped FROM groups WHERE name = 'ungrouped';
            IF NOT FOUND THEN
                INSERT INTO groups (name, description, created_by)
                SELECT 'ungrouped', 'databases that had no group', created_by
                FROM databases WHERE group_id IS NULL ORDER BY id LIMIT 1
                RETURNING id INTO ungrouped;
            END IF;
            UPDATE databases SET group_id = ungrouped WHERE group_id IS NULL;
        END IF;
        ALTER TABLE databases ALTER COLUMN group_id SET NOT NULL;
    END IF;
END $$;

-- The built-in user stays where rows are its own.
DO $$
BEGIN
    DELETE FROM users WHERE username = 'system' AND hashed_password = '!';
EXCEPTION WHEN foreign_key_violation THEN
    NULL;
END $$;
