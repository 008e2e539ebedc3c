-- One backup, many destinations: the specification's migration, for a database of either spelling. What is
-- found in the older tables is recorded first, so that the way down gives the older program its tables back.

CREATE TABLE legacy_columns (
    table_name text NOT NULL,
    column_name text NOT NULL,
    type_schema text NOT NULL,
    type_name text NOT NULL,         -- an enum's name, or the type as SQL spells it: character varying(50)
    labels text[],                   -- an enum's, in order
    spelling text CHECK (spelling IN ('upper', 'lower')),
    default_expression text,
    not_null boolean NOT NULL,
    allowed text[],                  -- the values that the column may hold from now on
    PRIMARY KEY (table_name, column_name)
);

CREATE TABLE legacy_constraints (
    table_name text NOT NULL,
    name text NOT NULL,
    definition text NOT NULL,
    PRIMARY KEY (table_name, name)
);

INSERT INTO legacy_columns (table_name, column_name, type_schema, type_name, labels, default_expression, not_null)
SELECT t.name, a.attname, n.nspname,
       CASE WHEN ty.typtype = 'e' THEN ty.typname::text ELSE format_type(a.atttypid, a.atttypmod) END,
       CASE WHEN ty.typtype = 'e' THEN
           ARRAY(SELECT e.enumlabel::text FROM pg_enum e WHERE e.enumtypid = ty.oid ORDER BY e.enumsortorder) END,
       pg_get_expr(d.adbin, d.adrelid), a.attnotnull
FROM unnest(ARRAY['users', 'groups', 'databases', 'schedules', 'backups']) AS t (name)
JOIN pg_attribute a ON a.attrelid = to_regclass(t.name) AND a.attnum > 0 AND NOT a.attisdropped
JOIN pg_type ty ON ty.oid = a.atttypid
JOIN pg_namespace n ON n.oid = ty.typnamespace
LEFT JOIN pg_attrdef d ON d.adrelid = a.attrelid AND d.adnum = a.attnum;

-- Any other enum column keeps its own labels, in lower case. COLLATE "C": a Turkish locale's lower('I') is no 'i'.
UPDATE legacy_columns
SET allowed = ARRAY(SELECT lower(l COLLATE "C") FROM unnest(labels) AS l)
WHERE labels IS NOT NULL;
UPDATE legacy_columns c
SET allowed = known.values || ARRAY(SELECT v FROM unnest(c.allowed) AS v WHERE v <> ALL (known.values))
FROM (VALUES
    ('databases', 'db_type', ARRAY['postgresql', 'mysql', 'mongodb', 'redis', 'file', 'directory', 'command']),
    ('schedules', 'schedule_type', ARRAY['cron', 'interval', 'manual']),
    ('backups', 'status', ARRAY['pending', 'in_progress', 'completed', 'failed', 'partial']),
    ('backups', 'storage_type',
     ARRAY['local', 'local_external', 's3', 'minio', 'spaces', 'backblaze', 'azure_blob', 'gcs'])
) AS known (table_name, column_name, values)
WHERE c.table_name = known.table_name AND c.column_name = known.column_name;

-- The older tables' own CHECKs on these columns: they know fewer values, and compare with enum labels.
DO $$
DECLARE
    found record;
BEGIN
    FOR found IN
        SELECT DISTINCT c.table_name, k.conname, pg_get_constraintdef(k.oid) AS definition
        FROM legacy_columns c
        JOIN pg_attribute a ON a.attrelid = to_regclass(c.table_name) AND a.attname = c.column_name
        JOIN pg_constraint k ON k.conrelid = a.attrelid AND k.contype = 'c' AND a.attnum = ANY (k.conkey)
        WHERE c.allowed IS NOT NULL
    LOOP
        INSERT INTO legacy_constraints VALUES (found.table_name, found.conname, found.definition);
        EXECUTE format('ALTER TABLE %I DROP CONSTRAINT %I', found.table_name, found.conname);
    END LOOP;
END $$;

-- Enums, and text in whatever case and length, become lower-case text with a CHECK.
DO $$
DECLARE
    c legacy_columns;
    in_upper boolean;
    present text[];
    new_default text;
BEGIN
    FOR c IN SELECT * FROM legacy_columns WHERE allowed IS NOT NULL ORDER BY table_name, column_name LOOP
        EXECUTE format('SELECT array_agg(DISTINCT %1$I::text) FROM %2$I WHERE %1$I IS NOT NULL',
                       c.column_name, c.table_name) INTO present;
        SELECT coalesce(bool_and(v = upper(v COLLATE "C")), false) AND bool_or(v <> lower(v COLLATE "C"))
            INTO in_upper FROM unnest(coalesce(c.labels, present)) AS v;
        UPDATE legacy_columns SET spelling = CASE WHEN in_upper THEN 'upper' ELSE 'lower' END
            WHERE table_name = c.table_name AND column_name = c.column_name;

        new_default := NULL;
        IF c.default_expression IS NOT NULL THEN
            EXECUTE format('SELECT lower((%s)::text COLLATE "C")', c.default_expression) INTO new_default;
        END IF;
        EXECUTE format('ALTER TABLE %1$I ALTER COLUMN %2$I DROP DEFAULT, '
                       'ALTER COLUMN %2$I TYPE text USING lower(%2$I::text COLLATE "C")',
                       c.table_name, c.column_name);
        IF new_default IS NOT NULL THEN
            EXECUTE format('ALTER TABLE %I ALTER COLUMN %I SET DEFAULT %L', c.table_name, c.column_name, new_default);
        END IF;

        -- A value that nobody foresaw is the older system's, and stays.
        SELECT c.allowed || coalesce(array_agg(DISTINCT lower(v COLLATE "C"))
                                     FILTER (WHERE lower(v COLLATE "C") <> ALL (c.allowed)), '{}')
            INTO c.allowed FROM unnest(present) AS v;
        EXECUTE format('ALTER TABLE %I ADD CONSTRAINT %I CHECK (%I IN (%s))', c.table_name,
                       c.table_name || '_' || c.column_name || '_known', c.column_name,
                       (SELECT string_agg(quote_literal(v), ', ') FROM unnest(c.allowed) AS v));
    END LOOP;

    -- Types that something else still uses stay.
    FOR c IN SELECT DISTINCT ON (type_schema, type_name) * FROM legacy_columns WHERE labels IS NOT NULL LOOP
        BEGIN
            EXECUTE format('DROP TYPE %I.%I', c.type_schema, c.type_name);
        EXCEPTION WHEN dependent_objects_still_exist THEN
            NULL;
        END;
    END LOOP;
END $$;

-- Plain timestamps of the older tables hold UTC. They become timestamptz, so that each type is known.
DO $$
DECLARE
    c legacy_columns;
    type_of_default text;
BEGIN
    FOR c IN SELECT * FROM legacy_columns WHERE type_name ~ '^timestamp.* without time zone$' LOOP
        EXECUTE format('ALTER TABLE %1$I ALTER COLUMN %2$I DROP DEFAULT, '
                       'ALTER COLUMN %2$I TYPE timestamptz USING %2$I AT TIME ZONE ''UTC''',
                       c.table_name, c.column_name);
        IF c.default_expression IS NOT NULL THEN
            EXECUTE format('SELECT pg_typeof(%s)::text', c.default_expression) INTO type_of_default;
            EXECUTE format(CASE WHEN type_of_default = 'timestamp with time zone'
                                THEN 'ALTER TABLE %I ALTER COLUMN %I SET DEFAULT %s'
                                ELSE 'ALTER TABLE %I ALTER COLUMN %I SET DEFAULT ((%s)::timestamp AT TIME ZONE ''UTC'')' END,
                           c.table_name, c.column_name, c.default_expression);
        END IF;
    END LOOP;
END $$;

-- The older program filled these itself; rows that come by plain SQL need them.
DO $$
DECLARE
    wanted record;
BEGIN
    FOR wanted IN
        SELECT c.table_name, c.column_name, d.expression
        FROM (VALUES
            ('users', 'is_active', 'true'), ('users', 'is_admin', 'false'), ('users', 'created_at', 'now()'),
            ('groups', 'created_at', 'now()'),
            ('databases', 'is_active', 'true'), ('databases', 'created_at', 'now()'),
            ('schedules', 'is_active', 'true'), ('schedules', 'created_at', 'now()'),
            ('backups', 'status', '''pending'''), ('backups', 'created_at', 'now()'),
            ('backups', 'is_compressed', 'false'), ('backups', 'is_encrypted', 'false')
        ) AS d (table_name, column_name, expression)
        JOIN legacy_columns c USING (table_name, column_name)
        WHERE c.default_expression IS NULL
    LOOP
        EXECUTE format('ALTER TABLE %I ALTER COLUMN %I SET DEFAULT %s',
                       wanted.table_name, wanted.column_name, wanted.expression);
    END LOOP;
END $$;

-- Deprecated by backup_destinations, kept for what reads them.
ALTER TABLE backups
    ALTER COLUMN storage_type DROP NOT NULL,
    ALTER COLUMN file_path DROP NOT NULL,
    ALTER COLUMN file_size DROP NOT NULL,
    ALTER COLUMN checksum DROP NOT NULL;

-- The specification's table. Its plain timestamps hold UTC, whatever the server's time zone.
CREATE TABLE backup_destinations (
    id serial PRIMARY KEY,
    backup_id integer NOT NULL REFERENCES backups (id) ON DELETE CASCADE,
    storage_type varchar NOT NULL CHECK (storage_type IN
        ('local', 'local_external', 's3', 'minio', 'spaces', 'backblaze', 'azure_blob', 'gcs')),
    storage_name varchar,
    file_path text NOT NULL,
    base_path text,
    storage_config text,
    file_size bigint,
    checksum varchar,
    status varchar NOT NULL CHECK (status IN ('pending', 'uploading', 'completed', 'failed')),
    error_message text,
    upload_started_at timestamp,
    upload_completed_at timestamp,
    upload_duration_seconds integer,
    created_at timestamp DEFAULT (CURRENT_TIMESTAMP AT TIME ZONE 'UTC'),
    updated_at timestamp,
    priority integer DEFAULT 0
);

DO $$
DECLARE
    odd record;
BEGIN
    SELECT id, storage_type INTO odd FROM backups
    WHERE file_path <> '' AND storage_type NOT IN
        ('', 'local', 'local_external', 's3', 'minio', 'spaces', 'backblaze', 'azure_blob', 'gcs')
    ORDER BY id LIMIT 1;
    IF FOUND THEN
        RAISE EXCEPTION 'backups row % has the unknown storage_type "%": correct it and migrate again',
            odd.id, odd.storage_type;
    END IF;
END $$;

INSERT INTO backup_destinations
    (backup_id, storage_type, storage_name, file_path, base_path, file_size, checksum, status, error_message,
     upload_started_at, upload_completed_at, upload_duration_seconds, created_at, priority)
SELECT id, coalesce(nullif(storage_type, ''), 'local'), 'Primary Storage (migrated)',
       ltrim(file_path, '/'), CASE WHEN file_path LIKE '/%' THEN '/' END, file_size, checksum,
       CASE WHEN status IN ('completed', 'pending', 'failed') THEN status ELSE 'failed' END,
       CASE status
           WHEN 'completed' THEN error_message
           WHEN 'pending' THEN error_message
           WHEN 'failed' THEN error_message
           ELSE concat_ws(': ',
               CASE status
                   WHEN 'in_progress' THEN 'the backup was in progress when the database was migrated, its end is unknown'
                   WHEN 'partial' THEN 'the older system recorded this backup as partial, which copy is whole is unknown'
                   ELSE format('the older system recorded this backup as "%s"', status)
               END, nullif(error_message, ''))
       END,
       started_at AT TIME ZONE 'UTC', completed_at AT TIME ZONE 'UTC', duration_seconds,
       coalesce(created_at, CURRENT_TIMESTAMP) AT TIME ZONE 'UTC', 0
FROM backups
WHERE file_path <> ''
ORDER BY id;

-- Later builds of the older system recorded further copies as JSON:
-- {"/mnt/nas": {"success": true, "file_path": "...", "size_mb": 1.5, "error": null}}
DO $$
DECLARE
    backup record;
    entry record;
    succeeded boolean;
    base text;
    rest text;
    place text;
    seen text[];
    next_priority integer;
BEGIN
    IF NOT EXISTS (SELECT FROM legacy_columns
                   WHERE table_name = 'backups' AND column_name = 'destination_results') THEN
        RETURN;
    END IF;
    FOR backup IN EXECUTE
        'SELECT id, name, file_path, created_at, destination_results::text AS results FROM backups '
        'WHERE btrim(destination_results::text) NOT IN ('''', ''null'', ''{}'') ORDER BY id'
    LOOP
        -- Where the main copy is; a relative path may have been written with the default base or without.
        SELECT array_agg(regexp_replace(regexp_replace(p, '/(\.?/)+', '/', 'g'), '^(\./)+', '')) INTO seen
        FROM unnest(ARRAY[backup.file_path,
                          CASE WHEN backup.file_path NOT LIKE '/%' THEN 'backups/' || backup.file_path END]) AS p
        WHERE p <> '';
        next_priority := 1;
        BEGIN
            FOR entry IN
                SELECT key, value, json_typeof(value) AS kind
                FROM json_each(backup.results::json) WITH ORDINALITY AS e (key, value, n) ORDER BY n
            LOOP
                base := rtrim(entry.key, '/');
                IF base = '' AND entry.key LIKE '/%' THEN
                    base := '/';
                END IF;
                IF base = '' OR entry.kind NOT IN ('object', 'boolean') THEN
                    RAISE WARNING 'backups row % (%): an entry of destination_results is not understood and was not imported: "%"',
                        backup.id, backup.name, entry.key;
                    CONTINUE;
                END IF;

                rest := NULL;
                succeeded := entry.kind = 'boolean' AND entry.value::text = 'true';
                IF entry.kind = 'object' THEN
                    succeeded := coalesce(lower(entry.value ->> 'success') IN ('true', '1'), false);
                    rest := entry.value ->> 'file_path';
                END IF;
                IF starts_with(rest, rtrim(base, '/') || '/') THEN
                    rest := ltrim(substr(rest, length(rtrim(base, '/')) + 2), '/');
                ELSIF rest LIKE '/%' THEN -- not under the key: what the row says of itself counts
                    base := '/';
                    rest := ltrim(rest, '/');
                END IF;
                IF coalesce(rest, '') = '' THEN
                    rest := CASE WHEN backup.file_path LIKE '/%' THEN regexp_replace(backup.file_path, '^.*/', '')
                                 ELSE coalesce(nullif(backup.file_path, ''), backup.name) END;
                END IF;

                place := regexp_replace(regexp_replace(base || '/' || rest, '/(\.?/)+', '/', 'g'), '^(\./)+', '');
                CONTINUE WHEN place = ANY (seen);
                seen := array_append(seen, place);

                INSERT INTO backup_destinations
                    (backup_id, storage_type, storage_name, file_path, base_path, file_size, status, error_message,
                     created_at, priority)
                VALUES (backup.id, 'local_external', base || ' (migrated)', rest, base,
                        CASE WHEN succeeded AND json_typeof(entry.value -> 'size_mb') = 'number'
                             THEN round((entry.value ->> 'size_mb')::numeric * 1048576)::bigint END,
                        CASE WHEN succeeded THEN 'completed' ELSE 'failed' END,
                        CASE WHEN NOT succeeded THEN
                            coalesce(nullif(CASE WHEN entry.kind = 'object' THEN entry.value ->> 'error' END, ''),
                                     'the older system recorded a failure without a reason') END,
                        coalesce(backup.created_at, CURRENT_TIMESTAMP) AT TIME ZONE 'UTC', next_priority);
                next_priority := next_priority + 1;
            END LOOP;
        EXCEPTION WHEN data_exception OR program_limit_exceeded THEN
            RAISE WARNING 'backups row % (%): destination_results can''t be read and was not imported: %',
                backup.id, backup.name, SQLERRM;
        END;
    END LOOP;
END $$;

CREATE INDEX ix_backup_destinations_backup_id ON backup_destinations (backup_id);
CREATE INDEX ix_backup_destinations_storage_type ON backup_destinations (storage_type);
CREATE INDEX ix_backup_destinations_status ON backup_destinations (status);
