/*
 * The queue in Redis: key names and the scripts that move jobs, one function each. Every move happens inside
 * a Lua script (the .lua files of this folder), by Redis's clock, and checks the claim token. Begin reading
 * at work.lua.
 *
 * All functions are asynchronous (see loop/redis.h for the callback's rules); arguments are copied.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/error.h"
#include "loop/redis.h"

#define QUEUE_NAME_MAX 64
#define QUEUE_KEY_SIZE 512
#define QUEUE_BANDS 10

/* [A-Za-z0-9_-]{1,64}; ERROR_INPUT names it. */
int queue_name_check(const char *name, struct error *err);

/* "bm:{<queue>}<suffix>" into out[QUEUE_KEY_SIZE]; suffix e.g. ":ready:0", "". */
void queue_key(char *out, const char *queue, const char *suffix);

/* Makes a host's identity usable inside a key: anything but [A-Za-z0-9._:/-] becomes '_'. In place. */
void queue_clean_identity(char *text);

enum queue_outcome { QUEUE_ACK, QUEUE_RETRY, QUEUE_PARK, QUEUE_BURY, QUEUE_READY };

struct queue_settle {
    const char *key;
    int64_t token;
    enum queue_outcome outcome;
    const char *argument; /* RETRY: delay in ms; PARK: why; BURY: error; else NULL */
    const char *payload;
};

struct queue_turn {
    const char *worker; /* no blanks */
    const char *host;
    int64_t lease_ms;
    int want;
    int64_t first_token;         /* the i-th claimed job (from 0) gets first_token + i */
    const char *starving_before; /* ISO 8601 */
    int64_t dead_max;
    const struct queue_settle *settles;
    int n_settles;
};

struct queue_turn_result {
    const redisReply *claimed; /* array of payload strings */
    const redisReply *keys;    /* array of their job keys: to settle a line that job_parse refuses */
    const redisReply *lost;    /* array of settled keys that were not ours any more */
    int64_t malformed;         /* buried */
    int64_t duplicates;        /* dropped */
    int64_t next_due_ms;       /* until the next retry is due, at most a day; -1 = none */
};
/* Reads work.lua's answer; ERROR_PROTOCOL when it has another shape. */
int queue_turn_read(const redisReply *reply, struct queue_turn_result *ret, struct error *err);
void queue_turn(struct redis_client *redis, const char *queue, const struct queue_turn *turn,
                redis_done_fn cb, void *data);

struct queue_entry {
    const char *key;
    const char *where; /* "ready", "retry:<delay ms>", "parked:<why>" */
    const char *payload;
};
/* Answer: array of 1 (put), 2 (pulled forward), 0 (stands somewhere already). At most 1000 entries. */
void queue_enqueue(struct redis_client *redis, const char *queue, const struct queue_entry *entries, int n,
                   redis_done_fn cb, void *data);

struct queue_held {
    const char *key;
    int64_t token;
    const char *payload;
};
/* details: inside of a JSON object, e.g. "host":"a","pid":1. Answer: array of 1 renewed, 2 registered again,
 * 0 lost. */
void queue_heartbeat(struct redis_client *redis, const char *queue, const char *worker, const char *details,
                     int64_t lease_ms, const struct queue_held *held, int n, redis_done_fn cb, void *data);
void queue_leave(struct redis_client *redis, const char *queue, const char *worker, redis_done_fn cb,
                 void *data);

/* count > 0: that many from the head; keys may be NULL then. Answer: integer. */
void queue_unpark(struct redis_client *redis, const char *queue, const char *why, int count,
                  const char *const *keys, int n_keys, redis_done_fn cb, void *data);

/* Answer: array of jobs made ready, workers forgotten. */
void queue_reap(struct redis_client *redis, const char *queue, int max, int64_t worker_ttl_ms,
                redis_done_fn cb, void *data);

/* Takes entries off the dead list, n >= 1. Answer: how many were there. */
void queue_forget_dead(struct redis_client *redis, const char *queue, const char *const *entries, int n,
                       redis_done_fn cb, void *data);

/* -- for people; answers as in stats.lua, workers.lua and list.lua, see look.h */
void queue_ask_stats(struct redis_client *redis, const char *queue, int64_t within_ms, redis_done_fn cb,
                     void *data);
void queue_ask_workers(struct redis_client *redis, const char *queue, int64_t within_ms, int64_t most,
                       int64_t most_jobs, redis_done_fn cb, void *data);
void queue_ask_list(struct redis_client *redis, const char *queue, const char *state, int64_t limit,
                    redis_done_fn cb, void *data);
