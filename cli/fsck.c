/*
 * backupctl queue fsck: design.md's invariants 2 and 3 (fsck_redis.c), 6 and 8, and that backups follow from
 * their rows. A breach is what nothing will repair; what the next passes repair is stale, and reported.
 */
#include "fsck.h"

#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/strbuf.h"
#include "fsck_redis.h"
#include "output.h"
#include "queue/job.h"
#include "redis_ask.h"

enum { BATCH = 5000, REREADS = 3, REREAD_MS = 200 };

/* --- jobs against rows --- */

static int by_key(const void *a, const void *b)
{
    return strcmp(a, b);
}

/* Jobs whose row has ended or is gone: left alone by the worker that meets them, then acked. */
static int check_ended(struct fsck *f, const char *queue, const struct fsck_keys *keys, struct error *err)
{
    for (size_t at = 0; at < keys->n; at += BATCH) {
        struct strbuf ids;
        strbuf_init(&ids, 1 << 20);
        pg_array_begin(&ids);
        for (size_t i = at; i < keys->n && i < at + BATCH; i++) {
            const char *colon = strchr(keys->keys[i], ':');
            pg_array_int(&ids, strncmp(keys->keys[i], "upload:", 7) == 0 ? strtoll(colon + 1, NULL, 10) : 0);
        }
        pg_array_end(&ids);
        PGresult *r;
        int rc = cli_query(f->cli,
                           "SELECT w.id, coalesce(d.status, 'gone') FROM unnest($1::bigint[]) w (id)"
                           " LEFT JOIN backup_destinations d ON d.id = w.id"
                           " WHERE w.id > 0 AND coalesce(d.status NOT IN ('pending', 'uploading'), true)",
                           1, (const char *const[]){strbuf_cstr(&ids)}, &r, err);
        strbuf_deinit(&ids);
        if (rc)
            return rc;
        for (int i = 0; i < PQntuples(r); i++) {
            char key[JOB_KEY_SIZE];
            job_key(JOB_UPLOAD, pg_int(r, i, 0, 0), key);
            fsck_report(f->stale, queue, key, 6, "a job is left of a row that is %s; it is acked at its turn",
                        PQgetvalue(r, i, 1));
        }
        PQclear(r);
    }
    return 0;
}

/* Rows that should have a job: unfinished, relayed, and not held under a living lease. */
static int read_relayed(struct fsck *f, const char *queue, const char *among, PGresult **ret,
                        struct error *err)
{
    return cli_query(f->cli,
                     "SELECT id FROM backup_destinations WHERE origin = 'native' AND queue = $1"
                     " AND status IN ('pending', 'uploading') AND enqueued_at IS NOT NULL"
                     " AND (status = 'pending' OR lease_until <= clock_timestamp())"
                     " AND ($2::bigint[] IS NULL OR id = ANY ($2::bigint[])) ORDER BY id",
                     2, (const char *const[]){queue, among}, ret, err);
}

/* before: read_relayed's answer from before the queue was read. */
static int check_lost(struct fsck *f, const char *queue, const PGresult *before, const struct fsck_keys *keys,
                      struct error *err)
{
    char key[JOB_KEY_SIZE] = "";
    char jobs[600];
    struct strbuf missing;
    strbuf_init(&missing, 64 << 20);
    pg_array_begin(&missing);
    int n = 0;
    for (int i = 0; i < PQntuples(before); i++) {
        job_key(JOB_UPLOAD, pg_int(before, i, 0, 0), key);
        if (keys->n && bsearch(key, keys->keys, keys->n, sizeof *keys->keys, by_key))
            continue;
        pg_array_int(&missing, pg_int(before, i, 0, 0));
        n++;
    }
    pg_array_end(&missing);
    PGresult *still = NULL;
    int rc = n ? read_relayed(f, queue, strbuf_cstr(&missing), &still, err) : 0;
    strbuf_deinit(&missing);
    snprintf(jobs, sizeof jobs, "bm:{%s}:jobs", queue);
    for (int i = 0; rc == 0 && still && i < PQntuples(still); i++) {
        job_key(JOB_UPLOAD, pg_int(still, i, 0, 0), key);
        int64_t stands;
        rc = redis_ask_number(f->cli, &stands, err, "HEXISTS", jobs, key, NULL);
        if (rc == 0 && !stands)
            fsck_report(f->stale, queue, key, 1,
                        "Redis has lost its job; the reconciler's next pass restores it");
    }
    PQclear(still);
    return rc;
}

/* --- rows among themselves --- */

struct row_check {
    int invariant;
    const char *sql; /* key, message, stale? */
};

static const struct row_check row_checks[] = {
    {8,
     "SELECT 'destination:' || c.id, format('destination ''%s'' has %s uploads running, max_concurrent is "
     "%s',"
     " c.name, count(*), c.max_concurrent),"
     " count(*) FILTER (WHERE d.upload_started_at >= coalesce(c.updated_at, c.created_at) AT TIME ZONE 'UTC')"
     " <= c.max_concurrent"
     " FROM destinations c JOIN backup_destinations d ON d.destination_id = c.id AND d.status = 'uploading'"
     " AND d.lease_until > clock_timestamp() WHERE c.max_concurrent IS NOT NULL"
     " GROUP BY c.id HAVING count(*) > c.max_concurrent"},
    {6, "SELECT 'upload:' || id, format('the row is %s and still leased to %s', status, lease_owner), false"
        " FROM backup_destinations WHERE status IN ('completed', 'failed') AND origin = 'native'"
        " AND lease_owner IS NOT NULL"},
    {5, "SELECT 'upload:' || id, 'the row is completed without size or checksum', false"
        " FROM backup_destinations WHERE status = 'completed' AND origin = 'native' AND fence > 0"
        " AND (checksum IS NULL OR file_size IS NULL)"},
    {6,
     "SELECT 'backup:' || b.id, format('backup %s is %s, but all its copies have ended', b.name, b.status),"
     " false FROM backups b WHERE b.origin = 'native' AND b.status IN ('pending', 'in_progress')"
     " AND EXISTS (SELECT FROM backup_destinations d WHERE d.backup_id = b.id AND d.fence > 0)"
     " AND NOT EXISTS (SELECT FROM backup_destinations d WHERE d.backup_id = b.id"
     " AND (d.status IN ('pending', 'uploading') OR d.origin = 'migrated'))"},
};

/* Counts how often each finding is seen; those of every reading are reported. */
static int check_rows(struct fsck *f, const struct row_check *check, struct error *err)
{
    json_t *last = NULL;
    for (int reading = 0; reading < REREADS; reading++) {
        PGresult *r;
        if (reading > 0)
            poll(NULL, 0, REREAD_MS);
        int rc = cli_query(f->cli, check->sql, 0, NULL, &r, err);
        if (rc) {
            json_decref(last);
            return rc;
        }
        json_t *found = json_object();
        for (int i = 0; i < PQntuples(r); i++) {
            const char *key = PQgetvalue(r, i, 0);
            if (reading == 0 || json_object_get(last, key))
                json_object_set_new(found, key,
                                    json_pack("{s:s, s:b}", "message", PQgetvalue(r, i, 1), "stale",
                                              pg_bool(r, i, 2, false)));
        }
        PQclear(r);
        json_decref(last);
        last = found;
        if (json_object_size(found) == 0)
            break;
    }
    const char *key;
    json_t *finding;
    json_object_foreach(last, key, finding)
    {
        bool stale = json_is_true(json_object_get(finding, "stale"));
        fsck_report(stale ? f->stale : f->breaches, "-", key, check->invariant, "%s",
                    json_string_value(json_object_get(finding, "message")));
    }
    json_decref(last);
    return 0;
}

/* --- all --- */

static int check_queue(struct fsck *f, const char *queue, struct error *err)
{
    struct fsck_keys keys = {0};
    PGresult *relayed;
    int rc = read_relayed(f, queue, NULL, &relayed, err);
    if (rc)
        return rc;
    rc = fsck_redis(f, queue, &keys, err);
    if (rc == 0)
        rc = check_ended(f, queue, &keys, err);
    if (rc == 0)
        rc = check_lost(f, queue, relayed, &keys, err);
    fsck_keys_free(&keys);
    PQclear(relayed);
    return rc;
}

static void print_findings(const json_t *findings, const char *word)
{
    size_t i;
    const json_t *one;
    json_array_foreach(findings, i, one) printf(
        "%s  queue %s, %s: %s (invariant %lld)\n", word, json_string_value(json_object_get(one, "queue")),
        json_string_value(json_object_get(one, "key")), json_string_value(json_object_get(one, "message")),
        (long long)json_integer_value(json_object_get(one, "invariant")));
}

int run_fsck(struct cli *cli, const struct arguments *args, struct error *err)
{
    struct fsck f = {.cli = cli, .breaches = json_array(), .stale = json_array()};
    json_t *names = NULL;
    int rc = queue_names(cli, args, &names, err);
    size_t i;
    const json_t *name;
    json_array_foreach(names, i, name)
    {
        if (rc == 0)
            rc = check_queue(&f, json_string_value(name), err);
    }
    for (i = 0; rc == 0 && i < sizeof row_checks / sizeof *row_checks; i++)
        rc = check_rows(&f, &row_checks[i], err);
    size_t breaches = json_array_size(f.breaches);
    if (rc == 0 && args->json) {
        json_t *report = json_pack("{s:I, s:O, s:O}", "jobs", (json_int_t)f.n_jobs, "breaches", f.breaches,
                                   "stale", f.stale);
        output_json(report);
        json_decref(report);
    } else if (rc == 0) {
        print_findings(f.breaches, "BREACH");
        print_findings(f.stale, "stale ");
        printf("%lld jobs in %zu queues: %zu breaches, %zu stale\n", (long long)f.n_jobs,
               json_array_size(names), breaches, json_array_size(f.stale));
    }
    json_decref(names);
    json_decref(f.breaches);
    json_decref(f.stale);
    return rc ? rc : breaches > 0;
}
