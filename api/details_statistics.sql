-- $1 database: what is kept about its backups (sql/004_statistics.up.sql), one row for each schedule, 0 for backups
-- without one, null for all together; always at least that one. No backup is read but the latest success of each row:
-- the search begins at the one that was the latest when it was counted, and goes on only where that is gone.
WITH kept AS MATERIALIZED (
    SELECT schedule_id, coalesce(sum(total), 0)::bigint AS total, coalesce(sum(completed), 0)::bigint AS successful,
           coalesce(sum(failed), 0)::bigint AS failed, coalesce(sum(partial), 0)::bigint AS partial,
           coalesce(sum(unfinished), 0)::bigint AS in_progress, coalesce(sum(copies), 0)::bigint AS completed_copies,
           coalesce(sum(copies_size), 0)::bigint AS total_size, max(last_success_id) AS last_success_id
    FROM (SELECT * FROM backup_statistics WHERE database_id = $1::int
          UNION ALL
          SELECT * FROM backup_statistics_changes WHERE database_id = $1::int) AS s
    GROUP BY GROUPING SETS ((), (schedule_id))
)
SELECT k.schedule_id, k.total, k.successful, k.failed, k.partial, k.in_progress, k.completed_copies, k.total_size,
       success.id AS last_success_id,
       to_char(coalesce(success.completed_at, success.created_at) AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS"Z"')
           AS last_success_at
FROM kept k
LEFT JOIN LATERAL (
    SELECT b.id, b.completed_at, b.created_at
    FROM backups b
    WHERE (b.database_id, b.id) <= ($1::int, k.last_success_id) AND b.database_id >= $1::int
        AND k.last_success_id IS NOT NULL AND b.status = 'completed'
        AND (k.schedule_id IS NULL OR coalesce(b.schedule_id, 0) = k.schedule_id)
    ORDER BY b.database_id DESC, b.id DESC
    LIMIT 1
) AS success ON true
