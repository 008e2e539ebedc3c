-- Databases and the destinations that serve them; a WHERE goes behind it, the table is t.
SELECT t.id, t.name, t.description, t.db_type::text, t.host, t.port, t.username, t.database_name, t.password_ref,
       t.source_path, t.source_argv, t.is_active, t.group_id, g.name AS "group",
       -- The column is the older system's: nothing of ours writes it. The newest success is looked for from the one on that
       -- was it when it was counted (sql/004_statistics.up.sql).
       to_char(greatest(t.last_backup_at, (
                   SELECT coalesce(b.completed_at, b.created_at) FROM backups b
                   WHERE b.database_id >= t.id AND b.status = 'completed' AND (b.database_id, b.id) <= (t.id, (
                       SELECT max(k.last_success_id)
                       FROM (SELECT last_success_id FROM backup_statistics WHERE database_id = t.id
                             UNION ALL
                             SELECT last_success_id FROM backup_statistics_changes WHERE database_id = t.id) AS k))
                   ORDER BY b.database_id DESC, b.id DESC
                   LIMIT 1))
               AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS"Z"') AS last_backup_at,
       to_char(t.created_at AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS"Z"') AS created_at,
       to_char(t.updated_at AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS"Z"') AS updated_at,
       coalesce((
           SELECT json_agg(json_build_object('id', d.id, 'name', d.name, 'storage_type', d.storage_type,
                                             'priority', coalesce(a.priority, d.priority),
                                             'schedule_id', a.schedule_id, 'schedule', s.name,
                                             'enabled', a.enabled AND d.enabled)
                           ORDER BY coalesce(a.priority, d.priority), d.id)
           FROM destination_assignments a
           JOIN destinations d ON d.id = a.destination_id
           LEFT JOIN schedules s ON s.id = a.schedule_id
           WHERE a.database_id = t.id
       ), '[]') AS destinations
FROM databases t
LEFT JOIN groups g ON g.id = t.group_id
