-- Judges rows of backup_destinations and takes what can be taken, in one statement under the parents' locks
-- (queue-protocol.md, "Taking a row"; "The artifact").
--
-- $1 row ids   $2 worker   $3 host   $4 lease in ms   $5 backups that this worker is producing
--
-- A row `uploading` under this very worker's name is one whose take was committed but never answered (the worker doesn't
-- ask for rows it is working on): it may be taken again at once. The same for a production.
WITH facts AS MATERIALIZED (
    SELECT w.id AS wanted, d.id, d.backup_id, d.status, d.fence, d.origin, d.priority, d.destination_id,
           d.next_attempt_at, d.lease_until, d.lease_owner, c.max_concurrent, q.paused_at,
           b.ordering, b.artifact_state, b.artifact_next_attempt_at,
           b.artifact_state = 'producing' AND b.artifact_lease_until > clock_timestamp()
               AND (b.artifact_owner IS DISTINCT FROM $2::text OR b.id = ANY ($5::int[])) AS producing
    FROM unnest($1::int[]) AS w (id)
    LEFT JOIN backup_destinations d ON d.id = w.id
    LEFT JOIN backups b ON b.id = d.backup_id
    LEFT JOIN destinations c ON c.id = d.destination_id
    LEFT JOIN queues q ON q.name = d.queue
), judged AS MATERIALIZED (
    SELECT f.*,
           CASE
               WHEN f.id IS NULL THEN 'gone'
               WHEN f.status NOT IN ('pending', 'uploading') OR f.origin <> 'native' THEN 'ended'
               WHEN f.status = 'uploading' AND f.lease_until > clock_timestamp()
                   AND f.lease_owner IS DISTINCT FROM $2::text THEN 'leased'
               WHEN f.status = 'pending' AND f.next_attempt_at > clock_timestamp() THEN 'not_due'
               WHEN f.paused_at IS NOT NULL THEN 'paused'
               WHEN f.ordering = 'sequential' AND EXISTS (
                   SELECT FROM backup_destinations l
                   WHERE l.backup_id = f.backup_id AND l.in_order AND l.priority < f.priority
                       AND l.status IN ('pending', 'uploading')) THEN 'order'
               WHEN f.producing THEN 'artifact'
               WHEN f.artifact_state = 'ready' OR f.artifact_state = 'gone' AND EXISTS (
                   SELECT FROM backup_destinations l
                   WHERE l.backup_id = f.backup_id AND l.status = 'completed') THEN 'take'
               WHEN f.artifact_next_attempt_at > clock_timestamp() THEN 'artifact_not_due'
               ELSE 'produce'
           END AS verdict
    FROM facts f
), chosen AS MATERIALIZED (
    -- one production per backup, and no more uploads than max_concurrent allows
    SELECT j.*,
           CASE
               WHEN j.verdict = 'produce'
                   AND row_number() OVER (PARTITION BY j.verdict, j.backup_id ORDER BY j.priority, j.id) > 1
                   THEN 'artifact'
               WHEN j.verdict = 'take' AND j.max_concurrent IS NOT NULL
                   AND row_number() OVER (PARTITION BY j.verdict, j.destination_id ORDER BY j.priority, j.id)
                       > j.max_concurrent - (
                           SELECT count(*) FROM backup_destinations r
                           WHERE r.status = 'uploading' AND r.destination_id = j.destination_id
                               AND r.lease_until > clock_timestamp() AND r.id <> j.id)
                   THEN 'full'
               ELSE j.verdict
           END AS final
    FROM judged j
), taken AS (
    UPDATE backup_destinations d
    SET status = 'uploading', fence = d.fence + 1, lease_owner = $2,
        lease_until = clock_timestamp() + $4::float8 * interval '1 millisecond',
        attempts = d.attempts + (d.status = 'pending')::int, -- a lost lease gives its attempt back
        takes = d.takes + 1,
        upload_started_at = clock_timestamp() AT TIME ZONE 'UTC', upload_completed_at = NULL,
        upload_duration_seconds = NULL, next_attempt_at = NULL, bytes_done = 0,
        enqueued_at = coalesce(d.enqueued_at, clock_timestamp())
    FROM chosen j
    WHERE d.id = j.id AND j.final = 'take' AND d.fence = j.fence
        AND (d.status = 'pending'
            OR d.status = 'uploading' AND (d.lease_until <= clock_timestamp() OR d.lease_owner = $2))
    RETURNING d.id, d.fence, d.attempts, d.takes
), started AS (
    UPDATE backups b
    SET status = 'in_progress', started_at = coalesce(b.started_at, clock_timestamp())
    FROM (SELECT DISTINCT j.backup_id FROM chosen j JOIN taken t ON t.id = j.id) s
    WHERE b.id = s.backup_id AND b.status = 'pending'
), producing AS (
    UPDATE backups b
    SET status = 'in_progress', started_at = coalesce(b.started_at, clock_timestamp()),
        artifact_attempts = b.artifact_attempts + (b.artifact_state <> 'producing')::int,
        artifact_takes = b.artifact_takes + 1, artifact_state = 'producing',
        artifact_fence = b.artifact_fence + 1, artifact_owner = $2, artifact_host = $3,
        artifact_lease_until = clock_timestamp() + $4::float8 * interval '1 millisecond',
        artifact_next_attempt_at = NULL, artifact_source_bytes = 0
    FROM chosen j
    WHERE b.id = j.backup_id AND j.final = 'produce'
    RETURNING b.id, b.artifact_fence, b.artifact_attempts, b.artifact_takes
)
-- The columns are numbered in rows.c (enum taken_column).
SELECT j.wanted,
       CASE WHEN j.final = 'take' AND t.id IS NULL THEN 'leased' ELSE j.final END,
       greatest(0, ceil(1000 * extract(epoch FROM CASE j.final
           WHEN 'leased' THEN j.lease_until
           WHEN 'not_due' THEN j.next_attempt_at
           WHEN 'artifact_not_due' THEN j.artifact_next_attempt_at END - clock_timestamp())))::bigint,
       coalesce(t.fence, d.fence), d.status, d.error_code, d.error_message, d.backup_id, b.name,
       coalesce(t.attempts, d.attempts), t.takes, b.ordering = 'sequential',
       coalesce(p.artifact_fence, b.artifact_fence), d.queue, d.storage_type, d.storage_name, d.file_path,
       d.base_path, coalesce(c.storage_config, d.storage_config), c.disk_identity, d.destination_id,
       c.max_concurrent IS NOT NULL, b.artifact_host, b.artifact_sha256, b.artifact_size,
       b.artifact_state = 'gone',
       CASE WHEN d.waiting_since IS NULL THEN -1
           ELSE greatest(0, 1000 * extract(epoch FROM clock_timestamp() - d.waiting_since))::bigint END,
       s.db_type, s.host, s.port, s.username, s.database_name, s.password_ref, s.source_path, s.source_argv,
       p.artifact_attempts, p.artifact_takes
FROM chosen j
LEFT JOIN taken t ON t.id = j.id
LEFT JOIN producing p ON p.id = j.backup_id AND j.final = 'produce'
LEFT JOIN backup_destinations d ON d.id = j.id
LEFT JOIN backups b ON b.id = j.backup_id
LEFT JOIN destinations c ON c.id = d.destination_id
LEFT JOIN databases s ON s.id = b.database_id AND j.final = 'produce'
ORDER BY j.wanted
