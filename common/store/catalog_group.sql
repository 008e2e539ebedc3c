-- Groups and how many databases each has; a WHERE goes behind it, the table is t.
SELECT t.id, t.name, t.description,
       (SELECT count(*) FROM databases d WHERE d.group_id = t.id) AS database_count,
       to_char(t.created_at AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS"Z"') AS created_at,
       to_char(t.updated_at AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS"Z"') AS updated_at
FROM groups t
