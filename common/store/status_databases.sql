-- $1 how many at most, or null. Each database with its newest backup and its next run.
SELECT d.id, d.name, d.is_active, b.id AS last_backup_id, b.status AS last_status,
       to_char(b.created_at AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS"Z"') AS last_backup_at,
       to_char((SELECT min(s.next_run_at) FROM schedules s
                WHERE s.database_id = d.id AND s.is_active AND isfinite(s.next_run_at))
               AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS"Z"') AS next_run_at
FROM (SELECT * FROM databases ORDER BY name, id LIMIT $1::bigint) AS d
LEFT JOIN LATERAL (
    SELECT b.id, b.status, b.created_at
    FROM backups b
    WHERE b.database_id >= d.id AND b.database_id <= d.id -- backup_list.c says why not =
    ORDER BY b.database_id DESC, b.id DESC
    LIMIT 1
) AS b ON true
ORDER BY d.name, d.id
