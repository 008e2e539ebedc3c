#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "doctor.h"
#include "output.h"
#include "queue_stats.h"
#include "redis_ask.h"
#include "store/migrate.h"

enum { POSTGRESQL_MIN = 130000, CLOCK_WARN_MS = 2000, FREE_CONNECTIONS = 10 };

/* Leases are written and judged by each server's own clock; ours names backups and decides what is due. */
static void compare_clock(struct doctor *d, const char *check, int64_t theirs_ms, int64_t before_ms,
                          int64_t after_ms)
{
    int64_t off = 0;
    if (theirs_ms < before_ms)
        off = theirs_ms - before_ms;
    else if (theirs_ms > after_ms)
        off = theirs_ms - after_ms;
    if (llabs(off) >= CLOCK_WARN_MS)
        doctor_find(d, DOCTOR_WARN, check,
                    "let NTP (chrony, systemd-timesyncd) set the clocks of both machines",
                    "its clock is %.1f s %s this machine's", (double)llabs(off) / 1000,
                    off > 0 ? "ahead of" : "behind");
    else
        doctor_find(d, DOCTOR_OK, check, NULL, "its clock agrees with this machine's within %.1f s",
                    (double)(llabs(off) + after_ms - before_ms) / 1000);
}

/* --- PostgreSQL --- */

void doctor_check_postgresql(struct doctor *d)
{
    struct error err = {0};
    PGresult *r;
    cli_query(d->cli, "SELECT 1", 0, NULL, &r, &err); /* connects, so that the clocks are compared well */
    if (err.code == 0)
        PQclear(r);
    int64_t before = clock_wall_ms();
    if (err.code ||
        cli_query(d->cli,
                  "SELECT current_setting('server_version_num')::int, current_setting('server_version'),"
                  " current_setting('TimeZone'), (1000 * extract(epoch FROM clock_timestamp()))::bigint,"
                  " current_setting('max_connections')::int,"
                  " (SELECT count(*) FROM pg_stat_activity WHERE backend_type = 'client backend'),"
                  " current_setting('fsync') = 'on', pg_is_in_recovery()",
                  0, NULL, &r, &err)) {
        doctor_find(d, DOCTOR_FAIL, "PostgreSQL",
                    "check BM_DATABASE_URL, and that the server runs and lets you in", "%s", err.message);
        return;
    }
    int64_t after = clock_wall_ms();
    int64_t version = pg_int(r, 0, 0, 0);
    d->has_postgresql = true;
    d->server_major = (int)(version / 10000);
    doctor_find(d, version < POSTGRESQL_MIN ? DOCTOR_FAIL : DOCTOR_OK, "PostgreSQL",
                version < POSTGRESQL_MIN ? "use PostgreSQL 13 or newer" : NULL, "reachable, version %s",
                pg_text(r, 0, 1));
    if (pg_bool(r, 0, 7, false))
        doctor_find(d, DOCTOR_FAIL, "PostgreSQL role",
                    "point BM_DATABASE_URL at the primary (target_session_attrs="
                    "read-write)",
                    "the server is a standby: it can't be written to");
    if (!pg_bool(r, 0, 6, true))
        doctor_find(d, DOCTOR_WARN, "PostgreSQL fsync", "set fsync = on",
                    "fsync is off: a power failure can lose or corrupt what was recorded as completed");
    compare_clock(d, "PostgreSQL clock", pg_int(r, 0, 3, 0), before, after);
    doctor_find(d, DOCTOR_OK, "PostgreSQL time zone", NULL, "%s; all our times are UTC, whatever it is",
                pg_text(r, 0, 2));
    int64_t most = pg_int(r, 0, 4, 0);
    int64_t used = pg_int(r, 0, 5, 0);
    bool few = most - used < FREE_CONNECTIONS;
    doctor_find(d, few ? DOCTOR_WARN : DOCTOR_OK, "PostgreSQL connections",
                few ? "raise max_connections; a worker takes BM_DATABASE_CONNECTIONS + 1, a scheduler 2"
                    : NULL,
                "%" PRId64 " of %" PRId64 " in use", used, most);
    PQclear(r);
}

void doctor_check_schema(struct doctor *d)
{
    struct migrate_row *rows;
    size_t n;
    struct error err = {0};
    if (!d->has_postgresql)
        return;
    if (migrate_status(d->cli->settings.database_url, &rows, &n, &err)) {
        d->has_postgresql = false;
        doctor_find(d, DOCTOR_FAIL, "schema", "see the message", "%s", err.message);
        return;
    }
    int pending = 0;
    for (size_t i = 0; i < n; i++) {
        pending += rows[i].state == MIGRATE_PENDING;
        if (rows[i].state == MIGRATE_CHANGED || rows[i].state == MIGRATE_UNKNOWN)
            doctor_find(d, DOCTOR_FAIL, "schema",
                        "run the programs of the version that migrated this database, or newer ones",
                        "migration %s is %s here", rows[i].name, migrate_state_name(rows[i].state));
    }
    if (pending > 0) {
        d->has_postgresql = false;
        doctor_find(d, DOCTOR_FAIL, "schema", "backupctl migrate up", "%d of %zu migrations are not applied",
                    pending, n);
    } else {
        doctor_find(d, DOCTOR_OK, "schema", NULL, "up to date (%s)", n ? rows[n - 1].name : "empty");
    }
    free(rows);
}

/* --- Redis --- */

/* "field:value" of INFO; "" when it isn't there. */
static const char *info_field(const char *info, const char *field, char *out, size_t size)
{
    size_t n = strlen(field);
    out[0] = '\0';
    for (const char *line = info; line; line = strchr(line, '\n') ? strchr(line, '\n') + 1 : NULL) {
        if (strncmp(line, field, n) == 0 && line[n] == ':') {
            snprintf(out, size, "%.*s", (int)strcspn(line + n + 1, "\r\n"), line + n + 1);
            break;
        }
    }
    return out;
}

static void check_redis_version(struct doctor *d, const char *info)
{
    char version[64];
    int major = 0;
    int minor = 0;
    sscanf(info_field(info, "redis_version", version, sizeof version), "%d.%d", &major, &minor);
    bool old = major < 6 || (major == 6 && minor < 2);
    doctor_find(d, old ? DOCTOR_FAIL : DOCTOR_OK, "Redis", old ? "use Redis 6.2 or newer" : NULL,
                "reachable, version %s", *version ? version : "unknown");
    char role[32];
    if (strcmp(info_field(info, "role", role, sizeof role), "slave") == 0)
        doctor_find(d, DOCTOR_FAIL, "Redis role", "point BM_REDIS_URL at the primary",
                    "the server is a replica: it can't be written to");
}

static void check_redis_memory(struct doctor *d, const char *info)
{
    char policy[64];
    char text[64];
    char human[32];
    int64_t most = strtoll(info_field(info, "maxmemory", text, sizeof text), NULL, 10);
    int64_t used = strtoll(info_field(info, "used_memory", text, sizeof text), NULL, 10);
    info_field(info, "maxmemory_policy", policy, sizeof policy);
    if (*policy == '\0')
        doctor_find(d, DOCTOR_WARN, "Redis maxmemory-policy", "make sure that it is noeviction",
                    "the server does not say");
    else if (strcmp(policy, "noeviction") != 0)
        doctor_find(d, DOCTOR_FAIL, "Redis maxmemory-policy",
                    "CONFIG SET maxmemory-policy noeviction, and the same in redis.conf",
                    "%s: Redis may throw jobs away when memory runs short", policy);
    else
        doctor_find(d, DOCTOR_OK, "Redis maxmemory-policy", NULL, "noeviction");
    if (most > 0 && used > most / 10 * 8)
        doctor_find(d, DOCTOR_WARN, "Redis memory", "raise maxmemory",
                    "%" PRId64 " %% of maxmemory (%s) in use", 100 * used / most, output_size(most, human));
}

static void check_redis_persistence(struct doctor *d, const char *info)
{
    char text[64];
    struct error err = {0};
    bool aof = strcmp(info_field(info, "aof_enabled", text, sizeof text), "1") == 0;
    bool failing = strcmp(info_field(info, "rdb_last_bgsave_status", text, sizeof text), "err") == 0;
    redisReply *save = redis_ask(d->cli, &err, "CONFIG", "GET", "save", NULL); /* managed servers refuse it */
    bool snapshots =
        save && save->type == REDIS_REPLY_ARRAY && save->elements == 2 && save->element[1]->len > 0;
    freeReplyObject(save);
    const char *how = aof ? "appendonly" : snapshots ? "snapshots" : "none";
    doctor_find(d, DOCTOR_OK, "Redis persistence", NULL,
                "%s; Redis may be lost at any time: the queue is rebuilt from PostgreSQL within %" PRId64
                " s",
                how, d->cli->settings.reconcile_seconds);
    if (failing)
        doctor_find(d, DOCTOR_WARN, "Redis snapshots",
                    "look at its log and at the free space of its directory; with "
                    "stop-writes-on-bgsave-error the queue stands still",
                    "the last snapshot failed");
}

void doctor_check_redis(struct doctor *d)
{
    struct error err = {0};
    redisReply *info = redis_ask(d->cli, &err, "INFO", NULL);
    if (info == NULL || info->type != REDIS_REPLY_STRING) {
        freeReplyObject(info);
        doctor_find(d, DOCTOR_FAIL, "Redis", "check BM_REDIS_URL, and that the server runs and lets you in",
                    "%s", err.code ? err.message : "INFO has an unexpected answer");
        return;
    }
    d->has_redis = true;
    check_redis_version(d, info->str);
    check_redis_memory(d, info->str);
    check_redis_persistence(d, info->str);
    freeReplyObject(info);

    int64_t before = clock_wall_ms();
    redisReply *now = redis_ask(d->cli, &err, "TIME", NULL);
    int64_t after = clock_wall_ms();
    if (now && now->type == REDIS_REPLY_ARRAY && now->elements == 2)
        compare_clock(d, "Redis clock",
                      strtoll(now->element[0]->str, NULL, 10) * 1000 +
                          strtoll(now->element[1]->str, NULL, 10) / 1000,
                      before, after);
    freeReplyObject(now);
}

/* --- who works --- */

static void check_queue_workers(struct doctor *d, const char *queue)
{
    struct error err = {0};
    json_t *workers;
    char check[96];
    snprintf(check, sizeof check, "workers of queue %s", queue);
    if (queue_workers(d->cli, queue, d->cli->settings.lease_seconds * 1000, &workers, &err)) {
        doctor_find(d, DOCTOR_WARN, check, "see the message", "%s", err.message);
        return;
    }
    size_t n = json_array_size(workers);
    doctor_find(d, n ? DOCTOR_OK : DOCTOR_WARN, check,
                n ? NULL : "start backup-worker where the destinations of this queue can be reached",
                "%zu alive", n);
    json_decref(workers);
}

/* Schedules that are overdue say that no scheduler runs; the time of the last pass says whether anyone
 * reconciles. */
static void check_passes(struct doctor *d)
{
    struct error err = {0};
    PGresult *r;
    if (cli_query(
            d->cli,
            "SELECT (SELECT count(*) FROM schedules WHERE is_active"
            " AND next_run_at < clock_timestamp() - interval '2 minutes'),"
            " (SELECT extract(epoch FROM clock_timestamp() - max(last_run_at))::bigint FROM maintenance),"
            " (SELECT count(*) FROM schedules WHERE is_active)",
            0, NULL, &r, &err)) {
        doctor_find(d, DOCTOR_WARN, "scheduler", "see the message", "%s", err.message);
        return;
    }
    int64_t overdue = pg_int(r, 0, 0, 0);
    int64_t age = pg_int(r, 0, 1, -1);
    if (overdue > 0)
        doctor_find(d, DOCTOR_WARN, "scheduler",
                    "start backup-scheduler, or a timer for backup-scheduler --once",
                    "%" PRId64 " of %" PRId64 " schedules are overdue", overdue, pg_int(r, 0, 2, 0));
    else
        doctor_find(d, DOCTOR_OK, "scheduler", NULL, "none of %" PRId64 " schedules is overdue",
                    pg_int(r, 0, 2, 0));
    if (age > 10 * d->cli->settings.reconcile_seconds)
        doctor_find(d, DOCTOR_WARN, "reconciler", "start a worker or the scheduler",
                    "its last pass was %" PRId64 " s ago", age);
    PQclear(r);
}

void doctor_check_workers(struct doctor *d)
{
    struct error err = {0};
    PGresult *r;
    if (!d->has_postgresql)
        return;
    check_passes(d);
    if (!d->has_redis ||
        cli_query(d->cli,
                  "SELECT DISTINCT queue FROM destinations WHERE enabled UNION"
                  " SELECT DISTINCT queue FROM backup_destinations WHERE status IN ('pending', 'uploading')"
                  " AND origin = 'native' ORDER BY 1",
                  0, NULL, &r, &err))
        return;
    for (int i = 0; i < PQntuples(r); i++)
        check_queue_workers(d, PQgetvalue(r, i, 0));
    PQclear(r);
}
