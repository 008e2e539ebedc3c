-- Schedules; a WHERE goes behind it, the table is t.
SELECT t.id, t.name, t.description, t.database_id, d.name AS database, t.schedule_type::text, t.cron_expression,
       t.interval_value::text, t.timezone, t.misfire_policy, t.ordering, t.is_active,
       to_char(t.last_run_at AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS"Z"') AS last_run_at,
       to_char(t.next_run_at AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS"Z"') AS next_run_at,
       to_char(t.created_at AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS"Z"') AS created_at,
       to_char(t.updated_at AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS"Z"') AS updated_at
FROM schedules t
JOIN databases d ON d.id = t.database_id
