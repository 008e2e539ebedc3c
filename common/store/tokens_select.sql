-- API tokens, without their hashes; a WHERE goes behind it, the tables are t and u.
SELECT t.id, t.name, t.role, t.created_by AS created_by_id, u.username AS created_by,
       to_char(t.created_at AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS"Z"') AS created_at,
       to_char(t.expires_at AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS"Z"') AS expires_at,
       to_char(t.last_used_at AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS"Z"') AS last_used_at,
       to_char(t.revoked_at AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS"Z"') AS revoked_at,
       t.revoked_at IS NULL AND coalesce(t.expires_at > now(), true) AND (t.created_by IS NULL OR u.is_active IS TRUE)
           AS is_active
FROM api_tokens t
LEFT JOIN users u ON u.id = t.created_by
