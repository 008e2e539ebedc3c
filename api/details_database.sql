-- $1 database. Nothing that is or may hold a secret: no password, its reference, options or command line.
SELECT t.id, t.name, t.description, t.db_type, t.host, t.port, t.username, t.database_name, t.source_path, t.is_active,
       CASE WHEN g.id IS NOT NULL THEN json_build_object('id', g.id, 'name', g.name, 'description', g.description) END
           AS "group",
       to_char(t.created_at AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS"Z"') AS created_at,
       to_char(t.updated_at AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS"Z"') AS updated_at,
       to_char(t.last_backup_at AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS"Z"') AS last_backup_at
FROM databases t
LEFT JOIN groups g ON g.id = t.group_id
WHERE t.id = $1::int
