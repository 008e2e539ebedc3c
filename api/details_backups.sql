-- $1 database, $2 how many, $3 older than this id or null: its latest backups, each with its copies in order of
-- priority. One statement, however many there are. disk_identity and file_info are for the program: the first is taken
-- out, the second filled in.
-- (database_id, id) < ... instead of database_id = ...: that would be no order by database_id any more, and the planner
-- would rather read all backups from the newest on than the index of this database's.
-- storage_type, file_path, file_size and checksum of a backup are the older system's; where it has none, the program
-- takes those of its first copy.
SELECT b.id, b.name, b.status, copies.list AS destinations,
       nullif(b.storage_type, '') AS storage_type, nullif(b.file_path, '') AS file_path, b.file_size, b.checksum,
       b.schedule_id, b.origin, b.ordering, b.error_message, b.duration_seconds,
       b.is_compressed, b.compression_type, b.is_encrypted,
       to_char(b.fire_time AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS"Z"') AS fire_time,
       to_char(b.created_at AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS"Z"') AS created_at,
       to_char(b.started_at AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS"Z"') AS started_at,
       to_char(b.completed_at AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS"Z"') AS completed_at
FROM (
    SELECT * FROM backups
    WHERE (database_id, id) < ($1::int, coalesce($3::bigint, 2147483648)) AND database_id >= $1::int
    ORDER BY database_id DESC, id DESC
    LIMIT $2::int
) AS b
CROSS JOIN LATERAL (
    SELECT coalesce(json_agg(json_build_object(
               'id', d.id,
               'storage_type', d.storage_type,
               'storage_name', d.storage_name,
               'file_path', d.file_path,
               'base_path', d.base_path,
               'file_size', d.file_size,
               'checksum', d.checksum,
               'status', d.status,
               'priority', d.priority,
               'upload_duration_seconds', d.upload_duration_seconds,
               'storage_config', d.storage_config,
               'file_info', NULL,
               'destination_id', d.destination_id,
               'origin', d.origin,
               'queue', d.queue,
               'error_message', d.error_message,
               'error_code', d.error_code,
               'attempts', d.attempts,
               'bytes_done', d.bytes_done,
               'next_attempt_at', to_char(d.next_attempt_at AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS"Z"'),
               'upload_started_at', to_char(d.upload_started_at, 'YYYY-MM-DD"T"HH24:MI:SS"Z"'),
               'upload_completed_at', to_char(d.upload_completed_at, 'YYYY-MM-DD"T"HH24:MI:SS"Z"'),
               'verified_at', to_char(d.verified_at AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS"Z"'),
               'verification_result', d.verification_result,
               'created_at', to_char(d.created_at, 'YYYY-MM-DD"T"HH24:MI:SS"Z"'),
               'updated_at', to_char(d.updated_at, 'YYYY-MM-DD"T"HH24:MI:SS"Z"'),
               'disk_identity', CASE WHEN place.base_path = d.base_path THEN place.disk_identity END
           ) ORDER BY coalesce(d.priority, 0), d.id), '[]') AS list
    FROM backup_destinations d
    LEFT JOIN destinations place ON place.id = d.destination_id
    WHERE d.backup_id = b.id
) AS copies
ORDER BY b.id DESC
