#include "store/rows.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/strbuf.h"

/* Lets add functions read as lists of statements: the first failure sticks. */
static int add(struct pg_request *request, int *index, const struct pg_statement *statement,
               const char *const *values)
{
    (*index)++;
    return pg_request_add(request, statement, values);
}

static const char *print_int(int64_t value, char out[24])
{
    snprintf(out, 24, "%lld", (long long)value);
    return out;
}

/* ---- take ---- */

static const struct pg_statement lock_parents_of_rows = {
    "rows_lock_parents",
    "SELECT b.id FROM backups b"
    " WHERE b.id IN (SELECT d.backup_id FROM backup_destinations d WHERE d.id = ANY ($1::int[]))"
    " ORDER BY b.id FOR UPDATE OF b",
    1};

/* max_concurrent is counted under the destination's lock, so that two workers can't both see the last free
 * slot. */
static const struct pg_statement lock_limited_destinations = {
    "rows_lock_destinations",
    /* OFFSET 0: asked for each limited destination, so not at all where there is none. (SELECT $1) hides the
     * ids from the planner, which would otherwise plan anew for every batch, at more than the statement
     * costs. */
    "SELECT c.id FROM destinations c"
    " WHERE c.max_concurrent IS NOT NULL AND EXISTS (SELECT FROM backup_destinations d"
    "  WHERE d.id = ANY ((SELECT $1::int[])::int[]) AND d.destination_id = c.id OFFSET 0)"
    " ORDER BY c.id FOR UPDATE OF c",
    1};

extern const char bm_sql_rows_take[]; /* rows_take.sql */

/* The columns of rows_take.sql, in order. */
enum taken_column {
    T_WANTED,
    T_VERDICT,
    T_WAIT,
    T_FENCE,
    T_STATUS,
    T_ERROR_CODE,
    T_ERROR_MESSAGE,
    T_BACKUP_ID,
    T_BACKUP_NAME,
    T_ATTEMPTS,
    T_TAKES,
    T_SEQUENTIAL,
    T_ARTIFACT_FENCE,
    T_QUEUE,
    T_STORAGE_TYPE,
    T_STORAGE_NAME,
    T_FILE_PATH,
    T_BASE_PATH,
    T_STORAGE_CONFIG,
    T_DISK_IDENTITY,
    T_DESTINATION_ID,
    T_LIMITED,
    T_CREDENTIALS_REF,
    T_DESTINATION,
    T_BANDWIDTH_LIMIT,
    T_RESUME_STATE,
    T_ARTIFACT_HOST,
    T_ARTIFACT_SHA256,
    T_ARTIFACT_SIZE,
    T_ARTIFACT_GONE,
    T_WAITED,
    T_DB_TYPE,
    T_HOST,
    T_PORT,
    T_USERNAME,
    T_DATABASE_NAME,
    T_PASSWORD_REF,
    T_PASSWORD_ENCRYPTED,
    T_SOURCE_PATH,
    T_SOURCE_ARGV,
    T_ARTIFACT_ATTEMPTS,
    T_ARTIFACT_TAKES,
    T_STORAGE_TYPES,
    N_TAKEN_COLUMNS,
};

int rows_add_take(struct pg_request *request, const char *ids, const char *worker, const char *host,
                  int64_t lease_ms, const char *producing, int *ret_index)
{
    char lease[24];
    int index = -1;
    int rc = add(request, &index, &lock_parents_of_rows, (const char *[]){ids});
    if (rc == 0)
        rc = add(request, &index, &lock_limited_destinations, (const char *[]){ids});
    if (rc == 0)
        rc = add(request, &index, &(const struct pg_statement){"rows_take", bm_sql_rows_take, 5},
                 (const char *[]){ids, worker, host, print_int(lease_ms, lease), producing});
    *ret_index = index;
    return rc;
}

static int verdict_of(const char *name)
{
    static const struct {
        const char *name;
        enum row_verdict verdict;
    } names[] = {
        {"take", ROW_TAKEN},
        {"produce", ROW_PRODUCE},
        {"ended", ROW_ENDED},
        {"gone", ROW_GONE},
        {"leased", ROW_WAIT},
        {"not_due", ROW_WAIT},
        {"artifact_not_due", ROW_WAIT},
        {"artifact", ROW_ARTIFACT},
        {"order", ROW_ORDER},
        {"full", ROW_FULL},
        {"paused", ROW_PAUSED},
    };
    for (size_t i = 0; name && i < sizeof names / sizeof *names; i++)
        if (strcmp(names[i].name, name) == 0)
            return (int)names[i].verdict;
    return -1;
}

int rows_read_judged(const PGresult *r, int row, struct row_judged *ret, struct error *err)
{
    int verdict = PQnfields(r) == N_TAKEN_COLUMNS ? verdict_of(pg_text(r, row, T_VERDICT)) : -1;
    if (verdict < 0)
        return error_set(err, ERROR_PROTOCOL, true, "PostgreSQL: unexpected answer of the take statement");
    *ret = (struct row_judged){
        .id = pg_int(r, row, T_WANTED, 0),
        .verdict = (enum row_verdict)verdict,
        .wait_ms = pg_int(r, row, T_WAIT, 1000),
        .fence = pg_int(r, row, T_FENCE, 0),
        .status = pg_text(r, row, T_STATUS),
        .error_code = pg_text(r, row, T_ERROR_CODE),
        .error_message = pg_text(r, row, T_ERROR_MESSAGE),
        .backup_id = pg_int(r, row, T_BACKUP_ID, 0),
        .backup_name = pg_text(r, row, T_BACKUP_NAME),
        .attempts = pg_int(r, row, T_ATTEMPTS, 0),
        .takes = pg_int(r, row, T_TAKES, 0),
        .sequential = pg_bool(r, row, T_SEQUENTIAL, false),
        .artifact_fence = pg_int(r, row, T_ARTIFACT_FENCE, 0),
        .queue = pg_text(r, row, T_QUEUE),
        .storage_type = pg_text(r, row, T_STORAGE_TYPE),
        .storage_name = pg_text(r, row, T_STORAGE_NAME),
        .file_path = pg_text(r, row, T_FILE_PATH),
        .base_path = pg_text(r, row, T_BASE_PATH),
        .storage_config = pg_text(r, row, T_STORAGE_CONFIG),
        .disk_identity = pg_text(r, row, T_DISK_IDENTITY),
        .destination_id = pg_int(r, row, T_DESTINATION_ID, 0),
        .limited = pg_bool(r, row, T_LIMITED, false),
        .credentials_ref = pg_text(r, row, T_CREDENTIALS_REF),
        .destination = pg_text(r, row, T_DESTINATION),
        .bandwidth_limit = pg_int(r, row, T_BANDWIDTH_LIMIT, 0),
        .resume_state = pg_text(r, row, T_RESUME_STATE),
        .artifact_host = pg_text(r, row, T_ARTIFACT_HOST),
        .artifact_sha256 = pg_text(r, row, T_ARTIFACT_SHA256),
        .artifact_size = pg_int(r, row, T_ARTIFACT_SIZE, -1),
        .artifact_gone = pg_bool(r, row, T_ARTIFACT_GONE, false),
        .waited_ms = pg_int(r, row, T_WAITED, -1),
        .source = {.db_type = pg_text(r, row, T_DB_TYPE),
                   .host = pg_text(r, row, T_HOST),
                   .port = (int)pg_int(r, row, T_PORT, 0),
                   .username = pg_text(r, row, T_USERNAME),
                   .database_name = pg_text(r, row, T_DATABASE_NAME),
                   .password_ref = pg_text(r, row, T_PASSWORD_REF),
                   .password_encrypted = pg_text(r, row, T_PASSWORD_ENCRYPTED),
                   .source_path = pg_text(r, row, T_SOURCE_PATH),
                   .source_argv = pg_text(r, row, T_SOURCE_ARGV)},
        .artifact_attempts = pg_int(r, row, T_ARTIFACT_ATTEMPTS, 0),
        .artifact_takes = pg_int(r, row, T_ARTIFACT_TAKES, 0),
        .storage_types = pg_text(r, row, T_STORAGE_TYPES),
    };
    return 0;
}

/* ---- end ---- */

static const struct pg_statement lock_parents = {
    "rows_lock_backups",
    "SELECT b.id FROM backups b WHERE b.id = ANY ($1::int[]) ORDER BY b.id FOR UPDATE OF b", 1};

/* Rows that could not be changed are looked up. NOT IN is hashed, where a join with `changed` would be a
 * nested loop (the planner believes that an UPDATE returns one row). COLLATE keeps the row's look-up on its
 * id: by the index on status it would read every row that ever was `uploading` since the last vacuum. */
static const struct pg_statement end_rows = {
    "rows_end",
    "WITH w AS MATERIALIZED (SELECT * FROM unnest($1::int[], $2::bigint[], $3::text[], $4::bigint[], "
    "$5::text[],"
    " $6::text[], $7::text[], $8::bigint[], $9::bool[])"
    " AS w (id, fence, outcome, size, checksum, error_code, error_message, delay_ms, leaves_upload)),"
    " changed AS ("
    " UPDATE backup_destinations d SET"
    "  status = CASE w.outcome WHEN 'completed' THEN 'completed' WHEN 'failed' THEN 'failed' ELSE 'pending' "
    "END,"
    "  file_size = CASE w.outcome WHEN 'completed' THEN w.size ELSE d.file_size END,"
    "  checksum = CASE w.outcome WHEN 'completed' THEN w.checksum ELSE d.checksum END,"
    "  bytes_done = CASE w.outcome WHEN 'completed' THEN w.size ELSE d.bytes_done END,"
    "  error_code = CASE w.outcome WHEN 'completed' THEN NULL ELSE coalesce(w.error_code, d.error_code) END,"
    "  error_message = CASE w.outcome WHEN 'completed' THEN NULL ELSE coalesce(w.error_message, "
    "d.error_message) END,"
    "  attempts = d.attempts - (w.outcome IN ('given_back', 'waits'))::int,"
    "  takes = 0,"
    "  waiting_since = CASE w.outcome WHEN 'waits' THEN coalesce(d.waiting_since, clock_timestamp())"
    "   WHEN 'given_back' THEN d.waiting_since END,"
    "  next_attempt_at = CASE WHEN w.outcome IN ('completed', 'failed') OR w.delay_ms = 0 THEN NULL"
    "   ELSE clock_timestamp() + w.delay_ms::float8 * interval '1 millisecond' END,"
    "  resume_state = CASE WHEN w.outcome = 'completed' OR w.outcome = 'failed' AND NOT w.leaves_upload THEN NULL"
    "   ELSE d.resume_state END,"
    "  lease_owner = NULL, lease_until = NULL,"
    "  upload_completed_at = CASE w.outcome WHEN 'completed' THEN clock_timestamp() AT TIME ZONE 'UTC' END,"
    "  upload_duration_seconds = CASE w.outcome WHEN 'completed' THEN"
    "   greatest(0, round(extract(epoch FROM clock_timestamp() AT TIME ZONE 'UTC' - "
    "d.upload_started_at)))::int END,"
    "  updated_at = clock_timestamp() AT TIME ZONE 'UTC'"
    " FROM w WHERE d.id = w.id AND d.fence = w.fence AND d.status COLLATE \"C\" = 'uploading'"
    " RETURNING d.id, d.fence, d.status)"
    " SELECT c.id, true, c.fence, c.status FROM changed c"
    " UNION ALL SELECT w.id, false, d.fence, d.status FROM w LEFT JOIN backup_destinations d ON d.id = w.id"
    "  WHERE w.id NOT IN (SELECT c.id FROM changed c)",
    9};

/* The backup's state follows from its rows (design.md 2.9); a statement of its own, so that it sees what
 * end_rows did. */
static const struct pg_statement roll_up = {
    "rows_roll_up",
    /* `finished` first: a batch ends few backups, and counting is dear. OFFSET and COLLATE keep the look-ups
     * on the backup; by the index on status they would read all that is unfinished. */
    "WITH finished AS MATERIALIZED (SELECT b.id FROM backups b WHERE b.id = ANY ($1::int[])"
    "  AND NOT EXISTS (SELECT FROM backup_destinations d WHERE d.backup_id = b.id"
    "   AND d.status COLLATE \"C\" IN ('pending', 'uploading') OFFSET 0)),"
    " tally AS (SELECT d.backup_id AS id, count(*) AS total,"
    "  count(*) FILTER (WHERE d.status = 'completed') AS completed,"
    "  min(d.error_message) FILTER (WHERE d.status = 'failed') AS one_error,"
    "  left(string_agg(coalesce(d.storage_name, d.storage_type) || ': ' || d.error_message, '; ' ORDER BY "
    "d.priority,"
    "   d.id) FILTER (WHERE d.status = 'failed'), 2000) AS errors"
    " FROM finished f JOIN backup_destinations d ON d.backup_id = f.id GROUP BY d.backup_id),"
    " ended AS (SELECT t.*, CASE WHEN t.completed = t.total THEN 'completed' WHEN t.completed > 0 THEN "
    "'partial'"
    "  ELSE 'failed' END AS status FROM tally t)"
    " UPDATE backups b SET status = e.status, completed_at = clock_timestamp(),"
    "  error_message = CASE b.artifact_state WHEN 'failed' THEN e.one_error ELSE e.errors END,"
    "  duration_seconds = greatest(0, round(extract(epoch FROM clock_timestamp() - b.started_at)))::int,"
    /* its staged file has served: whoever wants it again reads a copy */
    "  artifact_state = CASE WHEN e.status = 'completed' AND b.artifact_state = 'ready' THEN 'gone'"
    "   ELSE b.artifact_state END"
    " FROM ended e WHERE b.id = e.id AND b.status IS DISTINCT FROM e.status"
    " RETURNING b.id, b.status, b.artifact_fence, b.artifact_host",
    1};

static const struct pg_statement next_in_order = {
    "rows_next_in_order",
    "SELECT d.id, d.queue FROM backups b JOIN backup_destinations d ON d.backup_id = b.id"
    " WHERE b.id = ANY ($1::int[]) AND b.ordering = 'sequential' AND d.status = 'pending'"
    " AND NOT EXISTS (SELECT FROM backup_destinations l WHERE l.backup_id = b.id AND l.in_order AND l.priority < d.priority"
    "  AND l.status IN ('pending', 'uploading'))",
    1};

static const char *const outcome_names[] = {"completed", "retry", "failed", "given_back", "waits"};

int rows_add_end(struct pg_request *request, const struct row_end *ends, int n, bool sequential,
                 int *ret_index)
{
    enum { ID, FENCE, OUTCOME, SIZE, CHECKSUM, ERROR_CODE, ERROR_MESSAGE, DELAY, LEAVES, BACKUP, N_ARRAYS };
    struct strbuf a[N_ARRAYS];
    for (int i = 0; i < N_ARRAYS; i++) {
        strbuf_init(&a[i], 16u << 20);
        pg_array_begin(&a[i]);
    }
    for (int i = 0; i < n; i++) {
        const struct row_end *e = &ends[i];
        pg_array_int(&a[ID], e->id);
        pg_array_int(&a[FENCE], e->fence);
        pg_array_text(&a[OUTCOME], outcome_names[e->outcome]);
        pg_array_int(&a[SIZE], e->size);
        pg_array_text(&a[CHECKSUM], e->checksum);
        pg_array_text(&a[ERROR_CODE], e->error_code);
        pg_array_text(&a[ERROR_MESSAGE], e->error_message);
        pg_array_int(&a[DELAY], e->delay_ms);
        pg_array_text(&a[LEAVES], e->leaves_upload ? "t" : "f");
        pg_array_int(&a[BACKUP], e->backup_id);
    }
    const char *values[N_ARRAYS];
    int rc = 0;
    for (int i = 0; i < N_ARRAYS; i++) {
        pg_array_end(&a[i]);
        values[i] = strbuf_cstr(&a[i]);
        if (a[i].failed)
            rc = ERROR_LIMIT;
    }
    int index = -1;
    if (rc == 0)
        rc = add(request, &index, &lock_parents, &values[BACKUP]);
    if (rc == 0)
        rc = add(request, &index, &end_rows, values);
    *ret_index = index;
    if (rc == 0)
        rc = add(request, &index, &roll_up, &values[BACKUP]);
    if (rc == 0 && sequential)
        rc = add(request, &index, &next_in_order, &values[BACKUP]);
    for (int i = 0; i < N_ARRAYS; i++)
        strbuf_deinit(&a[i]);
    return rc;
}

int rows_add_roll_up(struct pg_request *request, const char *backup_ids)
{
    int index = -1;
    int rc = add(request, &index, &lock_parents, &backup_ids);
    return rc ? rc : add(request, &index, &roll_up, &backup_ids);
}

int rows_read_end(const PGresult *r, int row, const struct row_end *ends, int n, struct row_end_read *ret)
{
    static const char *const states[] = {"completed", "pending", "failed", "pending", "pending"};
    ret->id = pg_int(r, row, 0, 0);
    ret->written = ROW_STALE;
    const struct row_end *mine = NULL;
    for (int i = 0; i < n && mine == NULL; i++)
        if (ends[i].id == ret->id)
            mine = &ends[i];
    if (mine == NULL)
        return ERROR_PROTOCOL;
    const char *status = pg_text(r, row, 3);
    if (pg_bool(r, row, 1, false))
        ret->written = ROW_WRITTEN;
    else if (status && pg_int(r, row, 2, -1) == mine->fence && strcmp(status, states[mine->outcome]) == 0)
        ret->written = ROW_WRITTEN_BEFORE;
    return 0;
}

/* ---- renew ---- */

static const struct pg_statement renew_rows = {
    "rows_renew",
    "WITH mine AS MATERIALIZED (SELECT d.id, w.bytes FROM unnest($1::int[], $2::bigint[], $3::bigint[])"
    "  AS w (id, fence, bytes) JOIN backup_destinations d ON d.id = w.id"
    "  WHERE d.fence = w.fence AND d.status = 'uploading' ORDER BY d.id FOR UPDATE OF d)"
    " UPDATE backup_destinations d SET bytes_done = m.bytes,"
    "  lease_until = clock_timestamp() + $4::float8 * interval '1 millisecond'"
    " FROM mine m WHERE d.id = m.id RETURNING d.id",
    4};

static const struct pg_statement renew_artifacts = {
    "rows_renew_artifacts",
    "WITH mine AS MATERIALIZED (SELECT b.id, w.bytes FROM unnest($1::int[], $2::bigint[], $3::bigint[])"
    "  AS w (id, fence, bytes) JOIN backups b ON b.id = w.id"
    "  WHERE b.artifact_fence = w.fence AND b.artifact_state = 'producing' ORDER BY b.id FOR UPDATE OF b)"
    " UPDATE backups b SET artifact_source_bytes = m.bytes,"
    "  artifact_lease_until = clock_timestamp() + $4::float8 * interval '1 millisecond'"
    " FROM mine m WHERE b.id = m.id RETURNING b.id",
    4};

/* Rows in id order, as everywhere: two batches can't lock each other out. */
static const struct pg_statement save_rows = {
    "rows_save_resume",
    "WITH mine AS MATERIALIZED (SELECT d.id, w.state FROM unnest($1::int[], $2::bigint[], $3::text[])"
    "  AS w (id, fence, state) JOIN backup_destinations d ON d.id = w.id"
    "  WHERE d.fence = w.fence AND d.status = 'uploading' ORDER BY d.id FOR UPDATE OF d)"
    " UPDATE backup_destinations d SET resume_state = m.state"
    " FROM mine m WHERE d.id = m.id RETURNING d.id",
    3};

int rows_add_save_resume(struct pg_request *request, const char *ids, const char *fences, const char *states,
                         int *ret_index)
{
    *ret_index = 0;
    return pg_request_add(request, &save_rows, (const char *[]){ids, fences, states});
}

int rows_add_renew(struct pg_request *request, const char *ids, const char *fences, const char *bytes,
                   int64_t lease_ms, int *ret_index)
{
    char lease[24];
    *ret_index = 0;
    return pg_request_add(request, &renew_rows,
                          (const char *[]){ids, fences, bytes, print_int(lease_ms, lease)});
}

int rows_add_renew_artifacts(struct pg_request *request, const char *backup_ids, const char *fences,
                             const char *bytes, int64_t lease_ms, int *ret_index)
{
    char lease[24];
    *ret_index = 0;
    return pg_request_add(request, &renew_artifacts,
                          (const char *[]){backup_ids, fences, bytes, print_int(lease_ms, lease)});
}

/* ---- artifacts ---- */

static const struct pg_statement artifact_ready = {
    "artifact_ready",
    "UPDATE backups SET artifact_state = 'ready', artifact_sha256 = $3, artifact_size = $4::bigint,"
    " artifact_source_bytes = $5::bigint, artifact_seconds = $6::float8, artifact_ready_at = "
    "clock_timestamp(),"
    " artifact_takes = 0, artifact_owner = NULL, artifact_lease_until = NULL, error_message = NULL"
    " WHERE id = $1::int AND artifact_fence = $2::bigint"
    " AND (artifact_state = 'producing' OR artifact_state = 'ready' AND artifact_sha256 = $3)"
    " RETURNING id",
    6};

static const struct pg_statement pending_rows = {
    "artifact_pending_rows",
    "SELECT id, queue FROM backup_destinations WHERE backup_id = $1::int AND status = 'pending'"
    " ORDER BY priority, id",
    1};

static const struct pg_statement artifact_failed = {
    "artifact_failed",
    "UPDATE backups SET artifact_state = 'failed', artifact_takes = 0, artifact_owner = NULL,"
    " artifact_lease_until = NULL"
    " WHERE id = $1::int AND artifact_fence = $2::bigint AND artifact_state IN ('producing', 'failed') "
    "RETURNING id",
    2};

static const struct pg_statement fail_rows = {
    "artifact_fail_rows",
    "UPDATE backup_destinations d SET status = 'failed', fence = d.fence + 1, error_code = $3, error_message "
    "= $4,"
    " lease_owner = NULL, lease_until = NULL, next_attempt_at = NULL, takes = 0"
    " FROM (SELECT d.id FROM backup_destinations d JOIN backups b ON b.id = d.backup_id"
    "  WHERE b.id = $1::int AND b.artifact_fence = $2::bigint AND b.artifact_state = 'failed'"
    "  AND d.status IN ('pending', 'uploading') ORDER BY d.id FOR UPDATE OF d) w"
    " WHERE d.id = w.id RETURNING d.id, d.queue",
    4};

static const struct pg_statement artifact_retry = {
    "artifact_retry",
    "UPDATE backups SET artifact_state = 'none', artifact_takes = 0, artifact_owner = NULL,"
    " artifact_lease_until = NULL, error_message = coalesce($5, error_message),"
    " artifact_attempts = artifact_attempts - (NOT $4::bool)::int,"
    " artifact_next_attempt_at = CASE WHEN $3::bigint > 0 THEN"
    "  clock_timestamp() + $3::float8 * interval '1 millisecond' END"
    " WHERE id = $1::int AND artifact_fence = $2::bigint AND artifact_state = 'producing' RETURNING id",
    5};

static const struct pg_statement artifact_gone = {
    "artifact_gone",
    "UPDATE backups SET artifact_state = 'gone' WHERE id = $1::int AND artifact_fence = $2::bigint"
    " AND artifact_state = 'ready'",
    2};

static const struct pg_statement artifact_renew = {
    "artifact_renew",
    "UPDATE backups b SET artifact_state = 'none', artifact_attempts = 0, artifact_next_attempt_at = NULL"
    " WHERE b.id = $1::int AND b.artifact_fence = $2::bigint AND b.artifact_state IN ('ready', 'gone')"
    " AND NOT EXISTS (SELECT FROM backup_destinations d WHERE d.backup_id = b.id AND (d.status = 'completed'"
    "  OR d.status = 'uploading' AND d.id <> $3::int AND d.lease_until > clock_timestamp()))"
    " RETURNING b.id",
    3};

static const struct pg_statement siblings = {
    "artifact_siblings",
    "SELECT d.storage_type, d.file_path, d.base_path, coalesce(c.storage_config, d.storage_config), "
    "c.disk_identity,"
    " coalesce(d.storage_name, d.storage_type), d.checksum, c.credentials_ref, c.name, c.bandwidth_limit"
    " FROM backup_destinations d LEFT JOIN destinations c ON c.id = d.destination_id"
    " WHERE d.backup_id = $1::int AND d.status = 'completed' ORDER BY d.priority, d.id",
    1};

static const struct pg_statement sibling_queues = {
    "artifact_sibling_queues", "SELECT DISTINCT queue FROM backup_destinations WHERE backup_id = $1::int", 1};

/* $1 ids, $2 kind of list, $3 patience in seconds, $4 keys. A row that is gone, has ended or is being
 * uploaded has no reason to wait; one whose worker fell silent waits like a pending one. */
static const struct pg_statement judge_parked = {
    "rows_judge_parked",
    "SELECT w.key FROM unnest($1::int[], $4::text[]) w (id, key) LEFT JOIN backup_destinations d ON d.id = "
    "w.id"
    " LEFT JOIN backups b ON b.id = d.backup_id LEFT JOIN queues q ON q.name = d.queue"
    " WHERE NOT coalesce((d.status = 'pending' OR d.status = 'uploading' AND d.lease_until <= "
    "clock_timestamp())"
    " AND CASE $2::text"
    "  WHEN 'artifact' THEN b.artifact_state = 'producing' AND b.artifact_lease_until > clock_timestamp()"
    "  WHEN 'order' THEN EXISTS (SELECT FROM backup_destinations l WHERE l.backup_id = d.backup_id"
    "   AND l.in_order AND l.priority < d.priority AND l.status IN ('pending', 'uploading'))"
    "  WHEN 'paused' THEN q.paused_at IS NOT NULL"
    "  WHEN 'full' THEN (SELECT count(*) FROM backup_destinations r WHERE r.destination_id = d.destination_id"
    "   AND r.status = 'uploading' AND r.lease_until > clock_timestamp())"
    "   >= (SELECT coalesce(c.max_concurrent, 2147483647) FROM destinations c WHERE c.id = d.destination_id)"
    "  WHEN 'host' THEN $3::float8 > 0"
    "   AND d.waiting_since + $3::float8 * interval '1 second' > clock_timestamp()"
    "  ELSE false END, false)",
    4};

int rows_add_artifact_ready(struct pg_request *request, const struct artifact_end *e, int *ret_index)
{
    char id[24], fence[24], size[24], source[24], seconds[32];
    snprintf(seconds, sizeof seconds, "%.3f", e->seconds);
    *ret_index = 0;
    int index = -1;
    int rc = add(request, &index, &artifact_ready,
                 (const char *[]){print_int(e->backup_id, id), print_int(e->fence, fence), e->sha256,
                                  print_int(e->size, size), print_int(e->source_bytes, source), seconds});
    return rc ? rc : add(request, &index, &pending_rows, (const char *[]){id});
}

int rows_add_artifact_failed(struct pg_request *request, const struct artifact_end *e, int *ret_index)
{
    char id[24], fence[24], ids[32];
    print_int(e->backup_id, id);
    print_int(e->fence, fence);
    snprintf(ids, sizeof ids, "{%s}", id);
    int index = -1;
    int rc = add(request, &index, &lock_parents, (const char *[]){ids});
    if (rc == 0)
        rc = add(request, &index, &artifact_failed, (const char *[]){id, fence});
    *ret_index = index;
    if (rc == 0)
        rc = add(request, &index, &fail_rows, (const char *[]){id, fence, e->error_code, e->error_message});
    if (rc == 0)
        rc = add(request, &index, &roll_up, (const char *[]){ids});
    return rc;
}

int rows_add_artifact_retry(struct pg_request *request, const struct artifact_end *e, bool spent,
                            int *ret_index)
{
    char id[24], fence[24], delay[24];
    *ret_index = 0;
    int index = -1;
    int rc = add(request, &index, &artifact_retry,
                 (const char *[]){print_int(e->backup_id, id), print_int(e->fence, fence),
                                  print_int(e->delay_ms, delay), spent ? "t" : "f", e->error_message});
    return rc ? rc : add(request, &index, &pending_rows, (const char *[]){id});
}

int rows_add_artifact_gone(struct pg_request *request, int64_t backup_id, int64_t fence)
{
    char id[24], f[24];
    return pg_request_add(request, &artifact_gone,
                          (const char *[]){print_int(backup_id, id), print_int(fence, f)});
}

int rows_add_artifact_renew(struct pg_request *request, int64_t backup_id, int64_t fence, int64_t row_id,
                            int *ret_index)
{
    char id[24], f[24], row[24], ids[32];
    print_int(backup_id, id);
    snprintf(ids, sizeof ids, "{%s}", id);
    int index = -1;
    int rc = add(request, &index, &lock_parents, (const char *[]){ids});
    if (rc == 0)
        rc = add(request, &index, &artifact_renew,
                 (const char *[]){id, print_int(fence, f), print_int(row_id, row)});
    *ret_index = index;
    return rc;
}

int rows_add_siblings(struct pg_request *request, int64_t backup_id, int *ret_index)
{
    char id[24];
    *ret_index = 0;
    int index = -1;
    int rc = add(request, &index, &siblings, (const char *[]){print_int(backup_id, id)});
    return rc ? rc : add(request, &index, &sibling_queues, (const char *[]){id});
}

int rows_add_judge_parked(struct pg_request *request, const char *why, char *const *keys, int n,
                          int64_t patience_seconds, int *ret_index)
{
    char kind[16], patience[24];
    snprintf(kind, sizeof kind, "%.*s", (int)strcspn(why, ":"), why);
    struct strbuf ids, names;
    strbuf_init(&ids, 1u << 20);
    strbuf_init(&names, 1u << 20);
    pg_array_begin(&ids);
    pg_array_begin(&names);
    for (int i = 0; i < n; i++) {
        const char *colon = strchr(keys[i], ':');
        pg_array_int(&ids, colon ? strtoll(colon + 1, NULL, 10) : 0);
        pg_array_text(&names, keys[i]);
    }
    pg_array_end(&ids);
    pg_array_end(&names);
    *ret_index = 0;
    int rc =
        ids.failed || names.failed
            ? ERROR_LIMIT
            : pg_request_add(request, &judge_parked,
                             (const char *[]){strbuf_cstr(&ids), kind, print_int(patience_seconds, patience),
                                              strbuf_cstr(&names)});
    strbuf_deinit(&ids);
    strbuf_deinit(&names);
    return rc;
}
