-- $1 database. Nothing that is or may hold a secret: no password, its reference, options or command line.
SELECT id, name, description, db_type, host, port, username, database_name, source_path, is_active,
       to_char(created_at AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS"Z"') AS created_at,
       to_char(updated_at AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS"Z"') AS updated_at,
       to_char(last_backup_at AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS"Z"') AS last_backup_at
FROM databases
WHERE id = $1::int
