#include "queue/queue.h"

#include <ctype.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

extern const char queue_lua_prelude[], queue_lua_enqueue[], queue_lua_work[], queue_lua_heartbeat[],
    queue_lua_leave[], queue_lua_unpark[], queue_lua_reap[], queue_lua_stats[], queue_lua_workers[],
    queue_lua_list[], queue_lua_forget[];

enum script { ENQUEUE, WORK, HEARTBEAT, LEAVE, UNPARK, REAP, STATS, WORKERS, LIST, FORGET, N_SCRIPTS };

/* Joined with the prelude at first use and kept for the life of the process. */
static struct redis_script *script_of(enum script which)
{
    static struct redis_script scripts[N_SCRIPTS];
    static const char *const names[N_SCRIPTS] = {"enqueue", "work",  "heartbeat", "leave", "unpark",
                                                 "reap",    "stats", "workers",   "list",  "forget"};
    const char *const bodies[N_SCRIPTS] = {
        queue_lua_enqueue, queue_lua_work,  queue_lua_heartbeat, queue_lua_leave, queue_lua_unpark,
        queue_lua_reap,    queue_lua_stats, queue_lua_workers,   queue_lua_list,  queue_lua_forget};
    static char texts[N_SCRIPTS][16384];
    struct redis_script *s = &scripts[which];
    if (s->text == NULL) {
        int n = snprintf(texts[which], sizeof texts[which], "%s\n%s", queue_lua_prelude, bodies[which]);
        if (n >= (int)sizeof texts[which])
            abort(); /* a script outgrew its room: seen by the first test that runs it */
        s->name = names[which];
        s->text = texts[which];
    }
    return s;
}

int queue_name_check(const char *name, struct error *err)
{
    size_t n = strlen(name);
    bool good = n >= 1 && n <= QUEUE_NAME_MAX;
    for (size_t i = 0; good && i < n; i++)
        good = isalnum((unsigned char)name[i]) || name[i] == '_' || name[i] == '-';
    if (!good)
        return error_set(err, ERROR_INPUT, false,
                         "queue '%.80s': a queue's name is 1 to 64 letters, digits, '-' or '_'", name);
    return 0;
}

void queue_key(char *out, const char *queue, const char *suffix)
{
    snprintf(out, QUEUE_KEY_SIZE, "bm:{%s}%s", queue, suffix);
}

void queue_clean_identity(char *text)
{
    for (char *p = text; *p; p++)
        if (!isalnum((unsigned char)*p) && strchr("._:/-", *p) == NULL)
            *p = '_';
}

/* Arguments of one call: pointers to the caller's strings, or to numbers printed into a side buffer. */
struct arguments {
    const char **values;
    char (*numbers)[24];
    int n, n_numbers, max;
    bool failed;
};

static void arguments_init(struct arguments *a, int max, int max_numbers)
{
    *a = (struct arguments){.max = max};
    a->values = malloc(sizeof *a->values * (size_t)max);
    a->numbers = malloc(sizeof *a->numbers * (size_t)(max_numbers > 0 ? max_numbers : 1));
    a->failed = a->values == NULL || a->numbers == NULL;
}

static void add(struct arguments *a, const char *value)
{
    if (!a->failed)
        a->values[a->n++] = value ? value : "";
}

static void add_int(struct arguments *a, int64_t value)
{
    if (a->failed)
        return;
    char *text = a->numbers[a->n_numbers++];
    snprintf(text, sizeof *a->numbers, "%" PRId64, value);
    add(a, text);
}

static void call(struct redis_client *redis, enum script which, const char *queue, struct arguments *a,
                 redis_done_fn cb, void *data)
{
    if (a->failed)
        abort(); /* a few KiB */
    char key[QUEUE_KEY_SIZE];
    queue_key(key, queue, "");
    redis_eval(redis, script_of(which), key, a->n, a->values, NULL, cb, data);
    free(a->values);
    free(a->numbers);
}

void queue_turn(struct redis_client *redis, const char *queue, const struct queue_turn *t, redis_done_fn cb,
                void *data)
{
    static const char *const outcomes[] = {"ack", "retry", "park", "bury", "ready"};
    struct arguments a;
    arguments_init(&a, 8 + 5 * t->n_settles, 5 + t->n_settles);
    add(&a, t->worker);
    add(&a, t->host);
    add_int(&a, t->lease_ms);
    add_int(&a, t->want);
    add_int(&a, t->first_token);
    add(&a, t->starving_before);
    add_int(&a, t->dead_max);
    add_int(&a, t->n_settles);
    for (int i = 0; i < t->n_settles; i++) {
        const struct queue_settle *s = &t->settles[i];
        add(&a, s->key);
        add_int(&a, s->token);
        add(&a, outcomes[s->outcome]);
        add(&a, s->argument);
        add(&a, s->outcome == QUEUE_ACK ? "" : s->payload);
    }
    call(redis, WORK, queue, &a, cb, data);
}

static bool strings(const redisReply *r)
{
    bool good = r->type == REDIS_REPLY_ARRAY;
    for (size_t i = 0; good && i < r->elements; i++)
        good = r->element[i]->type == REDIS_REPLY_STRING;
    return good;
}

int queue_turn_read(const redisReply *r, struct queue_turn_result *ret, struct error *err)
{
    if (r->type != REDIS_REPLY_ARRAY || r->elements != 6 || !strings(r->element[0]) ||
        !strings(r->element[1]) || r->element[2]->type != REDIS_REPLY_INTEGER ||
        r->element[3]->type != REDIS_REPLY_INTEGER || r->element[4]->type != REDIS_REPLY_INTEGER ||
        !strings(r->element[5]) || r->element[5]->elements != r->element[1]->elements)
        return error_set(err, ERROR_PROTOCOL, true, "Redis: unexpected answer of the work script");
    *ret = (struct queue_turn_result){
        .lost = r->element[0],
        .claimed = r->element[1],
        .malformed = r->element[2]->integer,
        .duplicates = r->element[3]->integer,
        .next_due_ms = r->element[4]->integer,
        .keys = r->element[5],
    };
    return 0;
}

void queue_enqueue(struct redis_client *redis, const char *queue, const struct queue_entry *entries, int n,
                   redis_done_fn cb, void *data)
{
    struct arguments a;
    arguments_init(&a, 1 + 3 * n, 1);
    add_int(&a, n);
    for (int i = 0; i < n; i++) {
        add(&a, entries[i].key);
        add(&a, entries[i].where);
        add(&a, entries[i].payload);
    }
    call(redis, ENQUEUE, queue, &a, cb, data);
}

void queue_heartbeat(struct redis_client *redis, const char *queue, const char *worker, const char *details,
                     int64_t lease_ms, const struct queue_held *held, int n, redis_done_fn cb, void *data)
{
    struct arguments a;
    arguments_init(&a, 4 + 3 * n, 2 + n);
    add(&a, worker);
    add(&a, details);
    add_int(&a, lease_ms);
    add_int(&a, n);
    for (int i = 0; i < n; i++) {
        add(&a, held[i].key);
        add_int(&a, held[i].token);
        add(&a, held[i].payload);
    }
    call(redis, HEARTBEAT, queue, &a, cb, data);
}

void queue_leave(struct redis_client *redis, const char *queue, const char *worker, redis_done_fn cb,
                 void *data)
{
    struct arguments a;
    arguments_init(&a, 1, 0);
    add(&a, worker);
    call(redis, LEAVE, queue, &a, cb, data);
}

void queue_unpark(struct redis_client *redis, const char *queue, const char *why, int count,
                  const char *const *keys, int n_keys, redis_done_fn cb, void *data)
{
    struct arguments a;
    arguments_init(&a, 2 + n_keys, 1);
    add(&a, why);
    add_int(&a, count);
    for (int i = 0; i < n_keys; i++)
        add(&a, keys[i]);
    call(redis, UNPARK, queue, &a, cb, data);
}

void queue_reap(struct redis_client *redis, const char *queue, int max, int64_t worker_ttl_ms,
                redis_done_fn cb, void *data)
{
    struct arguments a;
    arguments_init(&a, 2, 2);
    add_int(&a, max);
    add_int(&a, worker_ttl_ms);
    call(redis, REAP, queue, &a, cb, data);
}

void queue_ask_stats(struct redis_client *redis, const char *queue, int64_t within_ms, redis_done_fn cb,
                     void *data)
{
    struct arguments a;
    arguments_init(&a, 1, 1);
    add_int(&a, within_ms);
    call(redis, STATS, queue, &a, cb, data);
}

void queue_ask_workers(struct redis_client *redis, const char *queue, int64_t within_ms, int64_t most,
                       int64_t most_jobs, redis_done_fn cb, void *data)
{
    struct arguments a;
    arguments_init(&a, 3, 3);
    add_int(&a, within_ms);
    add_int(&a, most);
    add_int(&a, most_jobs);
    call(redis, WORKERS, queue, &a, cb, data);
}

void queue_ask_list(struct redis_client *redis, const char *queue, const char *state, int64_t limit,
                    redis_done_fn cb, void *data)
{
    struct arguments a;
    arguments_init(&a, 2, 1);
    add(&a, state);
    add_int(&a, limit);
    call(redis, LIST, queue, &a, cb, data);
}

void queue_forget_dead(struct redis_client *redis, const char *queue, const char *const *entries, int n,
                       redis_done_fn cb, void *data)
{
    struct arguments a;
    arguments_init(&a, n, 0);
    for (int i = 0; i < n; i++)
        add(&a, entries[i]);
    call(redis, FORGET, queue, &a, cb, data);
}
