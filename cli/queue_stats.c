#include "queue_stats.h"

#include <stdio.h>
#include <string.h>

#include "base/clock.h"
#include "queue/queue.h"
#include "redis_ask.h"
#include "store/json_rows.h"

static const char *key_of(char *out, const char *queue, const char *place)
{
    char suffix[QUEUE_KEY_SIZE / 2];
    snprintf(suffix, sizeof suffix, ":%.230s", place);
    queue_key(out, queue, suffix);
    return out;
}

static int add_ready(struct cli *cli, const char *queue, json_t *stats, struct error *err)
{
    char key[QUEUE_KEY_SIZE];
    char place[16];
    int64_t total = 0;
    json_t *bands = json_array();
    json_object_set_new(stats, "ready_by_priority", bands);
    for (int p = 0; p < QUEUE_BANDS; p++) {
        int64_t n;
        snprintf(place, sizeof place, "ready:%d", p);
        if (redis_ask_number(cli, &n, err, "LLEN", key_of(key, queue, place), NULL))
            return err->code;
        json_array_append_new(bands, json_integer(n));
        total += n;
    }
    json_object_set_new(stats, "ready", json_integer(total));
    return 0;
}

static int add_parked(struct cli *cli, const char *queue, json_t *stats, struct error *err)
{
    char key[QUEUE_KEY_SIZE];
    int64_t total = 0;
    json_t *reasons = json_object();
    json_object_set_new(stats, "parked_by_reason", reasons);
    redisReply *names = redis_ask(cli, err, "SMEMBERS", key_of(key, queue, "parked"), NULL);
    if (names == NULL)
        return err->code;
    int rc = 0;
    for (size_t i = 0; rc == 0 && i < names->elements; i++) {
        int64_t n;
        char place[QUEUE_KEY_SIZE / 2];
        snprintf(place, sizeof place, "parked:%.200s", names->element[i]->str);
        rc = redis_ask_number(cli, &n, err, "LLEN", key_of(key, queue, place), NULL);
        if (rc == 0 && n > 0)
            json_object_set_new(reasons, names->element[i]->str, json_integer(n));
        total += rc ? 0 : n;
    }
    freeReplyObject(names);
    json_object_set_new(stats, "parked", json_integer(total));
    return rc;
}

static int add_counts(struct cli *cli, const char *queue, json_t *stats, struct error *err)
{
    static const struct {
        const char *name, *command, *place;
    } counts[] = {{"active", "ZCARD", "lease"}, {"retry", "ZCARD", "retry"}, {"dead", "LLEN", "dead"}};
    char key[QUEUE_KEY_SIZE];
    for (size_t i = 0; i < sizeof counts / sizeof *counts; i++) {
        int64_t n;
        if (redis_ask_number(cli, &n, err, counts[i].command, key_of(key, queue, counts[i].place), NULL))
            return err->code;
        json_object_set_new(stats, counts[i].name, json_integer(n));
    }
    return 0;
}

int queue_workers(struct cli *cli, const char *queue, int64_t within_ms, json_t **ret_workers,
                  struct error *err)
{
    char key[QUEUE_KEY_SIZE];
    redisReply *all = redis_ask(cli, err, "HGETALL", key_of(key, queue, "workers"), NULL);
    redisReply *now = all ? redis_ask(cli, err, "TIME", NULL) : NULL;
    if (now == NULL || now->elements != 2) {
        freeReplyObject(all);
        freeReplyObject(now);
        return err->code ? err->code : error_set(err, ERROR_PROTOCOL, false, "Redis: no time in its answer");
    }
    int64_t now_ms = strtoll(now->element[0]->str, NULL, 10) * 1000;
    json_t *workers = json_array();
    for (size_t i = 0; i + 1 < all->elements; i += 2) {
        json_t *details = json_loadb(all->element[i + 1]->str, all->element[i + 1]->len, 0, NULL);
        int64_t at_ms = json_integer_value(json_object_get(details, "at_ms"));
        if (!json_is_object(details) || at_ms < now_ms - within_ms) {
            json_decref(details);
            continue;
        }
        char seen[CLOCK_ISO8601_SIZE];
        clock_iso8601(at_ms, seen);
        json_object_del(details, "at_ms");
        json_object_set_new(details, "queue", json_string(queue));
        json_object_set_new(details, "worker", json_string(all->element[i]->str));
        json_object_set_new(details, "seen_at", json_string(seen));
        json_array_append_new(workers, details);
    }
    freeReplyObject(all);
    freeReplyObject(now);
    *ret_workers = workers;
    return 0;
}

static int add_workers(struct cli *cli, const char *queue, json_t *stats, struct error *err)
{
    json_t *workers;
    int rc = queue_workers(cli, queue, cli->settings.lease_seconds * 1000, &workers, err);
    if (rc)
        return rc;
    json_object_set_new(stats, "workers", json_integer((json_int_t)json_array_size(workers)));
    json_decref(workers);
    return 0;
}

static int add_paused(struct cli *cli, const char *queue, json_t *stats, struct error *err)
{
    PGresult *result;
    int rc = cli_query(cli, "SELECT " SQL_ISO("paused_at") " FROM queues WHERE name = $1", 1, &queue, &result,
                       err);
    if (rc)
        return rc;
    const char *paused = PQntuples(result) ? pg_text(result, 0, 0) : NULL;
    json_object_set_new(stats, "paused_at", paused ? json_string(paused) : json_null());
    PQclear(result);
    return 0;
}

int queue_stats(struct cli *cli, const json_t *names, json_t **ret_stats, struct error *err)
{
    json_t *all = json_array();
    size_t i;
    const json_t *name;
    int rc = 0;
    json_array_foreach(names, i, name)
    {
        const char *queue = json_string_value(name);
        json_t *stats = json_pack("{s:s}", "queue", queue);
        json_array_append_new(all, stats);
        rc = add_ready(cli, queue, stats, err);
        if (rc == 0)
            rc = add_counts(cli, queue, stats, err);
        if (rc == 0)
            rc = add_parked(cli, queue, stats, err);
        if (rc == 0)
            rc = add_workers(cli, queue, stats, err);
        if (rc == 0)
            rc = add_paused(cli, queue, stats, err);
        if (rc) {
            json_decref(all);
            return rc;
        }
    }
    *ret_stats = all;
    return 0;
}
