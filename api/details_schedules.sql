-- $1 database: its schedules.
SELECT t.id, t.name, t.description, t.schedule_type, t.cron_expression, t.interval_value, t.timezone, t.misfire_policy,
       t.ordering, t.retention_days, t.max_backups, t.is_active,
       to_char(t.last_run_at AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS"Z"') AS last_run_at,
       to_char(t.next_run_at AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS"Z"') AS next_run_at,
       to_char(t.created_at AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS"Z"') AS created_at,
       to_char(t.updated_at AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS"Z"') AS updated_at
FROM schedules t
WHERE t.database_id = $1::int
ORDER BY t.name, t.id
LIMIT 200
