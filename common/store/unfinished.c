#include "store/unfinished.h"

/* One pass at a time over all programs. */
#define LOCK_KEY "7305171"

const struct pg_statement unfinished_begin = {NULL, "BEGIN", 0};
/* Whoever falls silent in the middle of a pass (stopped, or its machine is gone without a word) loses the
 * lock. */
const struct pg_statement unfinished_limit_silence = {
    NULL, "SELECT set_config('idle_in_transaction_session_timeout', $1, true)", 1};
const struct pg_statement unfinished_try_lock = {NULL, "SELECT pg_try_advisory_xact_lock(" LOCK_KEY ")", 0};
const struct pg_statement unfinished_say_something = {NULL, "SELECT 1", 0};
const struct pg_statement unfinished_commit = {NULL, "COMMIT", 0};
const struct pg_statement unfinished_rollback = {NULL, "ROLLBACK", 0};

/* A page in id order by its index, handed out in priority order. */
const struct pg_statement unfinished_select_unqueued = {
    "maintenance_unqueued",
    "SELECT d.id, d.backup_id, b.name, d.storage_type, d.storage_name, d.priority, d.attempts + 1, d.queue,"
    " greatest(0, ceil(1000 * extract(epoch FROM d.next_attempt_at - clock_timestamp())))::bigint,"
    " CASE WHEN b.ordering = 'sequential' AND EXISTS (SELECT FROM backup_destinations l WHERE l.backup_id = "
    "d.backup_id"
    "  AND l.priority < d.priority AND l.in_order AND l.status IN ('pending', 'uploading')) THEN 'order'"
    "  WHEN q.paused_at IS NOT NULL THEN 'paused' END"
    " FROM (SELECT * FROM backup_destinations WHERE enqueued_at IS NULL AND origin = 'native'"
    "  AND status IN ('pending', 'uploading') AND (status = 'pending' OR (lease_until > clock_timestamp()) IS NOT TRUE)"
    "  ORDER BY id LIMIT 500) d"
    " JOIN backups b ON b.id = d.backup_id LEFT JOIN queues q ON q.name = d.queue"
    " ORDER BY d.queue, d.priority, d.id",
    0};

const struct pg_statement unfinished_stamp = {
    "maintenance_stamp",
    "UPDATE backup_destinations d SET enqueued_at = clock_timestamp()"
    " FROM (SELECT id FROM backup_destinations WHERE id = ANY ($1::int[]) AND enqueued_at IS NULL"
    "  ORDER BY id FOR UPDATE) w WHERE d.id = w.id",
    1};

const struct pg_statement unfinished_is_due = {
    NULL,
    "SELECT coalesce((SELECT last_run_at + $1::float8 * interval '1 "
    "second' <= clock_timestamp() FROM maintenance"
    " WHERE name = 'reconcile'), true)",
    1};

const struct pg_statement unfinished_list_queues = {
    NULL,
    "SELECT queue FROM destinations UNION SELECT 'default' UNION SELECT DISTINCT queue FROM "
    "backup_destinations"
    " WHERE status IN ('pending', 'uploading') AND origin = 'native' ORDER BY 1 LIMIT 1000",
    0};

const struct pg_statement unfinished_open_cursor = {
    NULL,
    "DECLARE unfinished NO SCROLL CURSOR FOR SELECT id FROM backup_destinations WHERE status IN ('pending', "
    "'uploading')"
    " AND origin = 'native' AND enqueued_at IS NOT NULL AND queue = $1::text"
    " AND (status = 'pending' OR (lease_until > clock_timestamp()) IS NOT TRUE)",
    1};
const struct pg_statement unfinished_fetch = {NULL, "FETCH FORWARD 500 FROM unfinished", 0};
const struct pg_statement unfinished_close_cursor = {NULL, "CLOSE unfinished", 0};

const struct pg_statement unfinished_unstamp = {
    "maintenance_unstamp",
    "UPDATE backup_destinations d SET enqueued_at = NULL"
    " FROM (SELECT id FROM backup_destinations WHERE id = ANY ($1::int[]) AND enqueued_at IS NOT NULL"
    "  AND status IN ('pending', 'uploading') ORDER BY id FOR UPDATE) w WHERE d.id = w.id",
    1};

/* People delete or end rows by plain SQL: no worker will end such a backup. */
const struct pg_statement unfinished_ended_unnoticed = {
    NULL,
    "SELECT array_agg(id) FROM (SELECT b.id FROM backups b WHERE b.status = 'in_progress' AND b.origin = 'native'"
    " AND EXISTS (SELECT FROM backup_destinations d WHERE d.backup_id = b.id)"
    " AND NOT EXISTS (SELECT FROM backup_destinations d WHERE d.backup_id = b.id"
    "  AND d.status IN ('pending', 'uploading')) ORDER BY b.id LIMIT 500) e",
    0};

#define TEXT_OF(number) #number
#define NUMBER(number) TEXT_OF(number)
const struct pg_statement unfinished_fold_statistics = {
    NULL, "SELECT bm_fold_statistics(" NUMBER(UNFINISHED_FOLD_MAX) ")", 0};

const struct pg_statement unfinished_record = {
    NULL,
    "INSERT INTO maintenance (name, last_run_at) VALUES ('reconcile', clock_timestamp())"
    " ON CONFLICT (name) DO UPDATE SET last_run_at = excluded.last_run_at",
    0};
