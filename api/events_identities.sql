-- $1 ids of sessions, $2 ids of tokens: those that are still good, by the rules of session_lookup and token_lookup.
SELECT true AS is_session, s.id
FROM sessions s
JOIN users u ON u.id = s.user_id
WHERE s.id = ANY ($1::int[]) AND s.expires_at > now() AND u.is_active IS TRUE
UNION ALL
SELECT false, t.id
FROM api_tokens t
LEFT JOIN users u ON u.id = t.created_by
WHERE t.id = ANY ($2::int[]) AND t.revoked_at IS NULL AND coalesce(t.expires_at > now(), true)
    AND (t.created_by IS NULL OR u.is_active IS TRUE)
