-- Which destination serves which database; a WHERE goes behind it, the table is t.
SELECT t.id, t.destination_id, p.name AS destination, p.storage_type, t.database_id, d.name AS database, t.schedule_id,
       s.name AS schedule, t.priority, coalesce(t.priority, p.priority) AS effective_priority, t.enabled,
       t.enabled AND p.enabled AS effective_enabled,
       to_char(t.created_at AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS"Z"') AS created_at
FROM destination_assignments t
JOIN destinations p ON p.id = t.destination_id
JOIN databases d ON d.id = t.database_id
LEFT JOIN schedules s ON s.id = t.schedule_id
