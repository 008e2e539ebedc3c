-- $1 ids: these backups with their copies, as the event `backup` tells them.
SELECT b.id, b.database_id,
       json_build_object(
           'id', b.id,
           'name', b.name,
           'database_id', b.database_id,
           'database', db.name,
           'schedule_id', b.schedule_id,
           'status', b.status,
           'error_message', left(b.error_message, 2000),
           'artifact_state', b.artifact_state,
           'artifact_size', b.artifact_size,
           'created_at', to_char(b.created_at AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS"Z"'),
           'started_at', to_char(b.started_at AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS"Z"'),
           'completed_at', to_char(b.completed_at AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS"Z"'),
           'duration_seconds', b.duration_seconds,
           'destinations', coalesce((
               SELECT json_agg(json_build_object(
                          'id', d.id,
                          'destination_id', d.destination_id,
                          'storage_type', d.storage_type,
                          'storage_name', d.storage_name,
                          'priority', d.priority,
                          'queue', d.queue,
                          'status', d.status,
                          'bytes_done', d.bytes_done,
                          'file_size', d.file_size,
                          'attempts', d.attempts,
                          'next_attempt_at', to_char(d.next_attempt_at AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS"Z"'),
                          'error_code', d.error_code,
                          'error_message', left(d.error_message, 2000),
                          'upload_started_at', to_char(d.upload_started_at, 'YYYY-MM-DD"T"HH24:MI:SS"Z"'),
                          'upload_completed_at', to_char(d.upload_completed_at, 'YYYY-MM-DD"T"HH24:MI:SS"Z"'),
                          'verified_at', to_char(d.verified_at AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS"Z"')
                      ) ORDER BY coalesce(d.priority, 0), d.id)
               FROM backup_destinations d
               WHERE d.backup_id = b.id), '[]')
       )::text AS data
FROM backups b
JOIN databases db ON db.id = b.database_id
WHERE b.id = ANY ($1::int[])
ORDER BY b.id
