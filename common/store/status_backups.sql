-- How many backups there are, by status, and the last success. Nothing is counted but what is unfinished: the rest is
-- kept (sql/004_statistics.up.sql). A database's last success is its newest backup that is completed.
SELECT kept.total, unfinished.pending, unfinished.in_progress, kept.completed, kept.partial, kept.failed,
       to_char(success.at AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS"Z"') AS last_completed_at
FROM (
    SELECT coalesce(sum(total), 0)::bigint AS total, coalesce(sum(completed), 0)::bigint AS completed,
           coalesce(sum(partial), 0)::bigint AS partial, coalesce(sum(failed), 0)::bigint AS failed
    FROM (SELECT total, completed, partial, failed FROM backup_statistics
          UNION ALL
          SELECT total, completed, partial, failed FROM backup_statistics_changes) AS s
) AS kept
CROSS JOIN (
    SELECT (SELECT count(*) FROM backups WHERE status = 'pending') AS pending,
           (SELECT count(*) FROM backups WHERE status = 'in_progress') AS in_progress
) AS unfinished
CROSS JOIN (
    SELECT max(coalesce(newest.completed_at, newest.created_at)) AS at
    FROM (SELECT database_id, max(last_success_id) AS last_success_id
          FROM (SELECT database_id, last_success_id FROM backup_statistics
                UNION ALL
                SELECT database_id, last_success_id FROM backup_statistics_changes) AS s
          WHERE last_success_id IS NOT NULL
          GROUP BY database_id) AS t
    CROSS JOIN LATERAL (
        SELECT b.completed_at, b.created_at
        FROM backups b
        WHERE (b.database_id, b.id) <= (t.database_id, t.last_success_id) AND b.database_id >= t.database_id
            AND b.status = 'completed'
        ORDER BY b.database_id DESC, b.id DESC
        LIMIT 1) AS newest
) AS success
