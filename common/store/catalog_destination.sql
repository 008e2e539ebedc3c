-- Destinations and what they serve; a WHERE goes behind it, the table is t.
SELECT t.id, t.name, t.storage_type, t.base_path, t.storage_config, t.credentials_ref, t.priority, t.queue,
       t.max_concurrent, t.bandwidth_limit, t.path_template, t.disk_identity, t.enabled,
       to_char(t.created_at AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS"Z"') AS created_at,
       to_char(t.updated_at AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS"Z"') AS updated_at,
       coalesce((
           SELECT json_agg(json_build_object('database_id', d.id, 'database', d.name, 'schedule_id', a.schedule_id,
                                             'schedule', s.name, 'priority', coalesce(a.priority, t.priority),
                                             'enabled', a.enabled)
                           ORDER BY d.name, d.id, s.name)
           FROM destination_assignments a
           JOIN databases d ON d.id = a.database_id
           LEFT JOIN schedules s ON s.id = a.schedule_id
           WHERE a.destination_id = t.id
       ), '[]') AS databases
FROM destinations t
