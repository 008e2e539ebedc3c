-- $1 this database alone or null, 0 the one that the transaction has inserted, $2 after this id or null, $3 how many,
-- $4 text in name, description, host or database_name, or null, $5 group or null, $6 active or null, $7 whether an admin
-- asks. One statement, and for each row a few probes of indexes: counts are kept (sql/004_statistics.up.sql), the newest
-- backup is the end of an index.
SELECT t.id, t.name, t.description, t.db_type, t.host, t.port, t.username, t.database_name, t.source_path, t.is_active,
       CASE WHEN $7::boolean AND t.password_ref <> ''
            THEN CASE WHEN t.password_ref ~ '^(env|file|vault|aws-sm):' THEN t.password_ref ELSE '***' END
       END AS password_ref,
       CASE WHEN $7::boolean THEN t.source_argv END AS source_argv,
       CASE WHEN g.id IS NOT NULL THEN json_build_object('id', g.id, 'name', g.name) END AS "group",
       to_char(t.created_at AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS"Z"') AS created_at,
       to_char(t.updated_at AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS"Z"') AS updated_at,
       -- the column is the older system's: nothing of ours writes it
       to_char(greatest(t.last_backup_at, success.at) AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS"Z"')
           AS last_backup_at,
       json_build_object('total', kept.total, 'successful', kept.successful, 'failed', kept.failed,
                         'partial', kept.partial, 'in_progress', kept.in_progress,
                         'completed_copies', kept.completed_copies, 'total_size', kept.total_size,
                         'last_success_id', success.id,
                         'last_success_at', to_char(success.at AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS"Z"'))
           AS statistics,
       newest.backup AS last_backup,
       plan.active AS active_schedules,
       CASE WHEN t.is_active THEN to_char(plan.next_run_at AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS"Z"') END
           AS next_run_at,
       placed.list AS destinations
FROM (
    SELECT * FROM databases
    WHERE ($1::int IS NULL OR id = CASE $1::int WHEN 0 THEN nullif(current_setting('bm.inserted', true), '')::int
                                               ELSE $1::int END)
        AND id > coalesce($2::int, 0)
        AND ($4::text IS NULL OR strpos(lower(concat_ws(E'\n', name, description, host, database_name)), lower($4)) > 0)
        AND ($5::int IS NULL OR group_id = $5::int)
        AND ($6::boolean IS NULL OR coalesce(is_active, true) = $6::boolean)
    ORDER BY id
    LIMIT $3::int
) AS t
LEFT JOIN groups g ON g.id = t.group_id
CROSS JOIN LATERAL (
    SELECT coalesce(sum(total), 0)::bigint AS total, coalesce(sum(completed), 0)::bigint AS successful,
           coalesce(sum(failed), 0)::bigint AS failed, coalesce(sum(partial), 0)::bigint AS partial,
           coalesce(sum(unfinished), 0)::bigint AS in_progress, coalesce(sum(copies), 0)::bigint AS completed_copies,
           coalesce(sum(copies_size), 0)::bigint AS total_size, max(last_success_id) AS last_success_id
    FROM (SELECT * FROM backup_statistics WHERE database_id = t.id
          UNION ALL
          SELECT * FROM backup_statistics_changes WHERE database_id = t.id) AS s
) AS kept
LEFT JOIN LATERAL (
    SELECT b.id, coalesce(b.completed_at, b.created_at) AS at
    FROM backups b
    WHERE (b.database_id, b.id) <= (t.id, kept.last_success_id) AND b.database_id >= t.id
        AND kept.last_success_id IS NOT NULL AND b.status = 'completed'
    ORDER BY b.database_id DESC, b.id DESC
    LIMIT 1
) AS success ON true
LEFT JOIN LATERAL (
    SELECT json_build_object(
               'id', b.id, 'name', b.name, 'status', b.status, 'error_message', b.error_message,
               'created_at', to_char(b.created_at AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS"Z"'),
               'completed_at', to_char(b.completed_at AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS"Z"')) AS backup
    FROM backups b
    WHERE b.database_id >= t.id AND b.database_id <= t.id -- details_backups.sql says why not =
    ORDER BY b.database_id DESC, b.id DESC
    LIMIT 1
) AS newest ON true
CROSS JOIN LATERAL (
    SELECT count(*) FILTER (WHERE s.is_active) AS active,
           min(s.next_run_at) FILTER (WHERE s.is_active AND s.schedule_type <> 'manual' AND isfinite(s.next_run_at))
               AS next_run_at
    FROM schedules s
    WHERE s.database_id = t.id
) AS plan
CROSS JOIN LATERAL (
    SELECT coalesce(json_agg(json_build_object('id', d.id, 'name', d.name, 'storage_type', d.storage_type,
                                               'priority', coalesce(a.priority, d.priority),
                                               'schedule_id', a.schedule_id, 'enabled', a.enabled AND d.enabled)
                             ORDER BY coalesce(a.priority, d.priority), d.id), '[]') AS list
    FROM destination_assignments a
    JOIN destinations d ON d.id = a.destination_id
    WHERE a.database_id = t.id
) AS placed
ORDER BY t.id
