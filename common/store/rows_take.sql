-- Judges rows of backup_destinations and takes what can be taken, in one statement under the parents' locks
-- (queue-protocol.md, "Taking a row"; "The artifact").
--
-- $1 row ids   $2 worker   $3 host   $4 lease in ms   $5 backups that this worker is producing
--
-- A row `uploading` under this very worker's name is one whose take was committed but never answered (the worker doesn't
-- ask for rows it is working on): it may be taken again at once. The same for a production.
--
-- Each row is read once: `chosen` carries what the answer needs. clock_timestamp() keeps the inner query from being
-- taken apart, so every verdict is computed once. `taken` and `producing` hold at most one row for each of `chosen`:
-- FULL JOIN is LEFT JOIN then, but never a nested loop (the planner believes that an UPDATE returns one row).
WITH chosen AS MATERIALIZED (
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
    FROM (
        SELECT w.id AS wanted, d.id, d.backup_id, d.status, d.fence, d.priority, d.destination_id, d.next_attempt_at,
               d.lease_until, d.error_code, d.error_message, d.attempts, d.queue, d.storage_type, d.storage_name,
               d.file_path, d.base_path, d.waiting_since, coalesce(c.storage_config, d.storage_config) AS storage_config,
               c.disk_identity, c.max_concurrent, c.credentials_ref, c.name AS destination, c.bandwidth_limit,
               d.resume_state, b.name, b.status AS backup_status, b.ordering, b.artifact_state,
               b.artifact_fence, b.artifact_host, b.artifact_sha256, b.artifact_size, b.artifact_next_attempt_at,
               b.database_id,
               CASE
                   WHEN d.id IS NULL THEN 'gone'
                   WHEN d.status NOT IN ('pending', 'uploading') OR d.origin <> 'native' THEN 'ended'
                   WHEN d.status = 'uploading' AND d.lease_until > clock_timestamp()
                       AND d.lease_owner IS DISTINCT FROM $2::text THEN 'leased'
                   WHEN d.status = 'pending' AND d.next_attempt_at > clock_timestamp() THEN 'not_due'
                   WHEN q.paused_at IS NOT NULL THEN 'paused'
                   WHEN b.ordering = 'sequential' AND EXISTS (
                       SELECT FROM backup_destinations l
                       WHERE l.backup_id = d.backup_id AND l.in_order AND l.priority < d.priority
                           AND l.status COLLATE "C" IN ('pending', 'uploading')) THEN 'order'
                   WHEN b.artifact_state = 'producing' AND b.artifact_lease_until > clock_timestamp()
                       AND (b.artifact_owner IS DISTINCT FROM $2::text OR b.id = ANY ($5::int[])) THEN 'artifact'
                   -- COLLATE: found by the backup, not by the index on status among all rows that ever completed
                   WHEN b.artifact_state = 'ready' OR b.artifact_state = 'gone' AND EXISTS (
                       SELECT FROM backup_destinations l
                       WHERE l.backup_id = d.backup_id AND (l.status COLLATE "C" = 'completed'
                           -- it still reads the artifact that is gone: whoever takes this row waits for it
                           OR l.status COLLATE "C" = 'uploading' AND l.lease_until > clock_timestamp())
                       OFFSET 0) THEN 'take'
                   WHEN b.artifact_next_attempt_at > clock_timestamp() THEN 'artifact_not_due'
                   ELSE 'produce'
               END AS verdict
        FROM unnest($1::int[]) AS w (id)
        LEFT JOIN backup_destinations d ON d.id = w.id
        LEFT JOIN backups b ON b.id = d.backup_id
        LEFT JOIN destinations c ON c.id = d.destination_id
        LEFT JOIN queues q ON q.name = d.queue
    ) j
), taken AS (
    UPDATE backup_destinations d
    SET status = 'uploading', fence = d.fence + 1, lease_owner = $2,
        lease_until = clock_timestamp() + $4::float8 * interval '1 millisecond',
        attempts = d.attempts + (d.status = 'pending')::int, -- a lost lease gives its attempt back
        takes = d.takes + 1,
        upload_started_at = clock_timestamp() AT TIME ZONE 'UTC', upload_completed_at = NULL,
        upload_duration_seconds = NULL, next_attempt_at = NULL, bytes_done = 0,
        enqueued_at = coalesce(d.enqueued_at, clock_timestamp()),
        updated_at = clock_timestamp() AT TIME ZONE 'UTC'
    FROM chosen j
    WHERE d.id = j.id AND j.final = 'take' AND d.fence = j.fence
        AND (d.status = 'pending'
            OR d.status = 'uploading' AND ((d.lease_until > clock_timestamp()) IS NOT TRUE OR d.lease_owner = $2))
    RETURNING d.id, d.fence, d.attempts, d.takes, d.backup_id, j.backup_status
), started AS (
    UPDATE backups b
    SET status = 'in_progress', started_at = coalesce(b.started_at, clock_timestamp())
    FROM (SELECT DISTINCT t.backup_id FROM taken t WHERE t.backup_status = 'pending') s
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
    RETURNING b.id, b.artifact_fence, b.artifact_attempts, b.artifact_takes, j.id AS row_id
), disowned AS (
    -- A worker that fell silent may hold a finished copy of an older generation, not yet recorded: no more.
    UPDATE backup_destinations d
    SET fence = d.fence + 1
    FROM producing p
    WHERE d.backup_id = p.id AND d.status COLLATE "C" = 'uploading'
        AND (d.lease_until > clock_timestamp()) IS NOT TRUE
)
-- The columns are numbered in rows.c (enum taken_column).
SELECT j.wanted,
       CASE WHEN j.final = 'take' AND t.id IS NULL THEN 'leased' ELSE j.final END,
       greatest(0, ceil(1000 * extract(epoch FROM CASE j.final
           WHEN 'leased' THEN j.lease_until
           WHEN 'not_due' THEN j.next_attempt_at
           WHEN 'artifact_not_due' THEN j.artifact_next_attempt_at END - clock_timestamp())))::bigint,
       coalesce(t.fence, j.fence), j.status, j.error_code, j.error_message, j.backup_id, j.name,
       coalesce(t.attempts, j.attempts), t.takes, j.ordering = 'sequential',
       coalesce(p.artifact_fence, j.artifact_fence), j.queue, j.storage_type, j.storage_name, j.file_path,
       j.base_path, j.storage_config, j.disk_identity, j.destination_id,
       j.max_concurrent IS NOT NULL, j.credentials_ref, j.destination, j.bandwidth_limit, j.resume_state, j.artifact_host, j.artifact_sha256, j.artifact_size,
       j.artifact_state = 'gone',
       CASE WHEN j.waiting_since IS NULL THEN -1
           ELSE greatest(0, 1000 * extract(epoch FROM clock_timestamp() - j.waiting_since))::bigint END,
       s.db_type, s.host, s.port, s.username, s.database_name, s.password_ref, s.password_encrypted, s.source_path,
       s.source_argv,
       p.artifact_attempts, p.artifact_takes,
       CASE j.final WHEN 'produce' THEN (
           SELECT string_agg(DISTINCT d.storage_type, ',') FROM backup_destinations d WHERE d.backup_id = j.backup_id) END
FROM chosen j
FULL JOIN taken t ON t.id = j.id
FULL JOIN producing p ON p.row_id = j.id
LEFT JOIN databases s ON s.id = CASE j.final WHEN 'produce' THEN j.database_id END
ORDER BY j.wanted
