-- $1 database, $2 schedule or null, $3 fire time (Unix seconds) or null, $4 ordering, $5 only while this is the
-- schedule's next_run_at (Unix seconds) or null, $6 whose key, $7 key and $8 what was asked for, or null. Runs under the
-- lock that backup_create.c takes before it. The result also stands in the transaction's setting bm.backup.
WITH moment AS MATERIALIZED (
    SELECT clock_timestamp() AS now
), source AS MATERIALIZED (
    -- Names become parts of paths: long ones are cut, and none may be empty or nothing but dots.
    SELECT d.id, d.name AS database_name, d.db_type,
           regexp_replace(left(regexp_replace(d.name, '[^A-Za-z0-9._-]', '_', 'g'), 150), '^[.]*$', '_') AS safe,
           CASE d.db_type WHEN 'postgresql' THEN 'sql.gz' WHEN 'directory' THEN 'tar.gz'
                          WHEN 'file' THEN 'bin.gz' WHEN 'command' THEN 'bin.gz' END AS ext
    FROM databases d
    WHERE d.id = $1::bigint
      AND ($5::bigint IS NULL OR EXISTS (
          SELECT FROM schedules s
          WHERE s.id = $2::bigint AND s.is_active AND isfinite(s.next_run_at)
            AND floor(extract(epoch FROM s.next_run_at)) = $5::bigint))
), stem AS MATERIALIZED (
    SELECT safe || to_char(now AT TIME ZONE 'UTC', '_YYYYMMDD_HH24MISS') AS stem FROM source, moment
), name AS MATERIALIZED (
    -- OFFSET 0 keeps this a probe of the index on names instead of a join with all backups.
    SELECT candidate AS name
    FROM (SELECT stem || CASE k WHEN 1 THEN '' ELSE '_' || k END AS candidate
          FROM (SELECT stem, generate_series(1, 1000000) AS k FROM stem) AS numbered) AS candidates
    WHERE NOT EXISTS (SELECT FROM backups b WHERE b.origin = 'native' AND b.name = candidate OFFSET 0)
    LIMIT 1
), place AS MATERIALIZED (
    -- A schedule's own assignment goes before the one for the whole database.
    SELECT t.id, t.name, t.storage_type, t.base_path, t.storage_config, t.queue,
           coalesce(own.priority, general.priority, t.priority) AS priority,
           CASE WHEN t.storage_type IN ('local', 'local_external') THEN ''
                ELSE bm_storage_prefix(t.storage_config) END AS prefix,
           t.path_template
    FROM source
    CROSS JOIN destinations t
    LEFT JOIN destination_assignments own
        ON own.destination_id = t.id AND own.database_id = source.id AND own.schedule_id = $2::bigint
    LEFT JOIN destination_assignments general
        ON general.destination_id = t.id AND general.database_id = source.id AND general.schedule_id IS NULL
    WHERE source.ext IS NOT NULL AND t.enabled AND coalesce(own.enabled, general.enabled, false)
), problem AS MATERIALIZED (
    SELECT CASE
        WHEN ext IS NULL THEN format('%s is of type %s, which can''t be dumped here yet', database_name, db_type)
        WHEN NOT EXISTS (SELECT FROM place) THEN
            format('no destination assigned to %1$s; backupctl destination assign NAME --database %1$s', database_name)
    END AS message
    FROM source
), made AS (
    INSERT INTO backups (name, database_id, schedule_id, fire_time, ordering, status, error_message, completed_at,
                         created_by, created_at, is_compressed, compression_type, is_encrypted, origin)
    SELECT name.name, source.id, $2::bigint, to_timestamp($3::bigint), $4::text,
           CASE WHEN problem.message IS NULL THEN 'pending' ELSE 'failed' END, problem.message,
           CASE WHEN problem.message IS NOT NULL THEN moment.now END,
           (SELECT id FROM users WHERE username = 'system' ORDER BY id LIMIT 1), moment.now, true, 'gzip', false,
           'native'
    FROM source, moment, name, problem
    ON CONFLICT (schedule_id, fire_time) DO NOTHING
    RETURNING id, name, error_message
), path AS MATERIALIZED (
    -- Where the template leaves two backups the same path, the later one gets a number before the extension.
    SELECT place.id, found.path
    FROM place, source, moment, name,
    LATERAL (SELECT prefix || replace(replace(replace(replace(replace(replace(replace(replace(replace(path_template,
               '{database}', source.safe), '{name}', name.name),
               '{yyyy}', to_char(moment.now AT TIME ZONE 'UTC', 'YYYY')),
               '{mm}', to_char(moment.now AT TIME ZONE 'UTC', 'MM')),
               '{dd}', to_char(moment.now AT TIME ZONE 'UTC', 'DD')),
               '{HH}', to_char(moment.now AT TIME ZONE 'UTC', 'HH24')),
               '{MM}', to_char(moment.now AT TIME ZONE 'UTC', 'MI')),
               '{SS}', to_char(moment.now AT TIME ZONE 'UTC', 'SS')),
               '{ext}', source.ext) AS wanted) AS expanded,
    LATERAL (SELECT CASE WHEN right(wanted, length(source.ext) + 1) = '.' || source.ext
                         THEN left(wanted, -length(source.ext) - 1) ELSE wanted END AS body) AS cut,
    LATERAL (SELECT candidate AS path
             FROM (SELECT CASE k WHEN 1 THEN wanted ELSE body || '_' || k || substr(wanted, length(body) + 1) END
                          AS candidate
                   FROM (SELECT wanted, body, generate_series(1, 1000000) AS k) AS numbered) AS candidates
             WHERE NOT EXISTS (SELECT FROM backup_destinations r
                               WHERE r.origin = 'native' AND r.destination_id = place.id AND r.file_path = candidate
                               OFFSET 0)
             LIMIT 1) AS found
), placed AS (
    INSERT INTO backup_destinations (backup_id, storage_type, storage_name, file_path, base_path, storage_config,
                                     status, priority, queue, destination_id, created_at, origin)
    SELECT made.id, place.storage_type, place.name, path.path, place.base_path, place.storage_config,
           'pending', place.priority, place.queue, place.id, moment.now AT TIME ZONE 'UTC', 'native'
    FROM made CROSS JOIN moment CROSS JOIN place JOIN path ON path.id = place.id
    ORDER BY place.priority, place.id
    RETURNING id
), keyed AS (
    INSERT INTO idempotency_keys (scope, key, request, backup_id)
    SELECT $6::text, $7::text, $8::text, id FROM made WHERE $7::text IS NOT NULL
), logged AS (
    -- A run on demand has somebody who wanted it.
    INSERT INTO audit_log (user_id, username, token_name, program, remote_address, action, object_kind, object_id,
                           object_name, changes)
    SELECT (a.actor ->> 'user_id')::integer, a.actor ->> 'username', a.actor ->> 'token',
           current_setting('application_name'), a.actor ->> 'address', 'backup_run', 'backup', made.id, made.name,
           jsonb_build_object('database_id', $1::bigint, 'ordering', $4::text)
    FROM made, (SELECT nullif(current_setting('bm.actor', true), '')::jsonb AS actor) AS a
    WHERE $2::bigint IS NULL
)
SELECT id, name, (SELECT count(*) FROM placed), false AS existed, error_message,
       set_config('bm.backup', id::text, true)
FROM made
UNION ALL
SELECT b.id, b.name, (SELECT count(*) FROM backup_destinations r WHERE r.backup_id = b.id), true,
       CASE b.status WHEN 'failed' THEN b.error_message END, set_config('bm.backup', b.id::text, true)
FROM source JOIN backups b ON b.schedule_id = $2::bigint AND b.fire_time = to_timestamp($3::bigint)
WHERE NOT EXISTS (SELECT FROM made)
