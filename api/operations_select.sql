-- Operations as people see them; a WHERE goes behind it. Whoever has not ended and whose lease is over died with its
-- process.
SELECT o.id, o.kind, o.backup_id, o.destination_id, o.object_name, o.parameters, o.state, o.bytes_done, o.bytes_total,
       o.result,
       CASE WHEN o.state = 'interrupted' THEN 'the server that did it has ended; ask for it again' ELSE o.error_message END
           AS error_message,
       o.requested_by,
       to_char(o.created_at AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS"Z"') AS created_at,
       to_char(o.started_at AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS"Z"') AS started_at,
       to_char(o.ended_at AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS"Z"') AS ended_at
FROM (
    SELECT id, kind, backup_id, destination_id, object_name, parameters, bytes_done, bytes_total, result, error_message,
           requested_by, created_at, started_at, ended_at,
           CASE WHEN state IN ('waiting', 'running') AND lease_until < clock_timestamp() THEN 'interrupted' ELSE state END
               AS state
    FROM operations
) AS o
