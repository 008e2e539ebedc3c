-- Back to is_admin alone, which has been kept in step. Sessions, tokens, keys of requests and the audit log go.

DROP TRIGGER backup_destinations_notify_insert ON backup_destinations;
DROP TRIGGER backup_destinations_notify_update ON backup_destinations;
DROP TRIGGER backup_destinations_notify_delete ON backup_destinations;
DROP TRIGGER backups_notify_insert ON backups;
DROP TRIGGER backups_notify_update ON backups;
DROP TRIGGER backups_notify_delete ON backups;
DROP FUNCTION bm_notify_backups();

DROP TRIGGER users_audit ON users;
DROP TRIGGER groups_audit ON groups;
DROP TRIGGER databases_audit ON databases;
DROP TRIGGER destinations_audit ON destinations;
DROP TRIGGER destination_assignments_audit ON destination_assignments;
DROP TRIGGER schedules_audit ON schedules;
DROP TRIGGER queues_audit ON queues;

-- The older program can't read the newer hashes. Whoever has no older one needs a new password there.
UPDATE users u SET hashed_password = l.hashed_password FROM legacy_passwords l WHERE l.user_id = u.id;
DROP TABLE legacy_passwords;

DROP TABLE idempotency_keys;
DROP TABLE sessions;
DROP TABLE api_tokens;
DROP TABLE audit_log;
DROP FUNCTION bm_audit();
DROP FUNCTION bm_nobody_listens();
DROP FUNCTION bm_audit_members(text, text);
DROP FUNCTION bm_audit_value(text, jsonb);

DROP TRIGGER users_role_in_step ON users;
DROP FUNCTION bm_role_in_step();
ALTER TABLE users
    DROP COLUMN role,
    DROP COLUMN last_login_at;
