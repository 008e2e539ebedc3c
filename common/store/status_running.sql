-- What is being uploaded now.
SELECT d.id, d.backup_id, b.name AS backup, d.storage_name, d.status, d.attempts, d.bytes_done, b.artifact_size,
       d.lease_owner, to_char(d.upload_started_at, 'YYYY-MM-DD"T"HH24:MI:SS"Z"') AS upload_started_at
FROM backup_destinations d
JOIN backups b ON b.id = d.backup_id
WHERE d.status = 'uploading' AND d.lease_until > clock_timestamp()
ORDER BY d.upload_started_at
LIMIT 100
