-- Backups with their copies, as people and programs see them. Behind it go FROM and what rows b are (backup_list.c).
SELECT b.id, b.name, b.database_id, db.name AS database, b.schedule_id, s.name AS schedule, b.status, b.error_message,
       b.origin, b.ordering,
       to_char(b.fire_time AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS"Z"') AS fire_time,
       to_char(b.created_at AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS"Z"') AS created_at,
       to_char(b.started_at AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS"Z"') AS started_at,
       to_char(b.completed_at AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS"Z"') AS completed_at,
       b.duration_seconds, b.is_compressed, b.compression_type::text, b.is_encrypted,
       b.artifact_state, b.artifact_fence, b.artifact_host, b.artifact_owner, b.artifact_sha256, b.artifact_size,
       b.artifact_source_bytes, b.artifact_attempts,
       to_char(b.artifact_next_attempt_at AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS"Z"') AS artifact_next_attempt_at,
       to_char(b.artifact_ready_at AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS"Z"') AS artifact_ready_at,
       b.artifact_seconds, b.storage_type::text, nullif(b.file_path, '') AS file_path,
       b.file_size, b.checksum,
       coalesce((
           SELECT json_agg(row_to_json(x))
           FROM (
               SELECT d.id, d.storage_type, d.storage_name, d.destination_id, d.file_path, d.base_path,
                      d.storage_config, d.file_size, d.checksum, d.status, d.error_message, d.error_code, d.priority,
                      d.queue, d.attempts,
                      to_char(d.next_attempt_at AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS"Z"') AS next_attempt_at,
                      to_char(d.enqueued_at AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS"Z"') AS enqueued_at,
                      to_char(d.upload_started_at, 'YYYY-MM-DD"T"HH24:MI:SS"Z"') AS upload_started_at,
                      to_char(d.upload_completed_at, 'YYYY-MM-DD"T"HH24:MI:SS"Z"') AS upload_completed_at,
                      d.upload_duration_seconds, d.bytes_done, d.lease_owner,
                      to_char(d.lease_until AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS"Z"') AS lease_until,
                      d.fence,
                      to_char(d.verified_at AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS"Z"') AS verified_at,
                      d.verification_result, d.origin,
                      to_char(d.created_at, 'YYYY-MM-DD"T"HH24:MI:SS"Z"') AS created_at,
                      to_char(d.updated_at, 'YYYY-MM-DD"T"HH24:MI:SS"Z"') AS updated_at
               FROM backup_destinations d
               WHERE d.backup_id = b.id
               ORDER BY coalesce(d.priority, 0), d.id
           ) x
       ), '[]') AS destinations
