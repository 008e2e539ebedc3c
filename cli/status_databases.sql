-- Each database with its newest backup and its next run.
SELECT d.id, d.name, d.is_active, b.id AS last_backup_id, b.status AS last_status,
       to_char(b.created_at AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS"Z"') AS last_backup_at,
       to_char((SELECT min(s.next_run_at) FROM schedules s WHERE s.database_id = d.id AND s.is_active)
               AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS"Z"') AS next_run_at
FROM databases d
LEFT JOIN LATERAL (
    SELECT * FROM backups b WHERE b.database_id = d.id ORDER BY b.created_at DESC NULLS LAST, b.id DESC LIMIT 1
) b ON true
ORDER BY d.name, d.id
