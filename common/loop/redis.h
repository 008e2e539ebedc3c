/*
 * Redis on the loop: hiredis with an adapter of our own (the packaged one loses connect errors), one
 * connection per client, names resolved in the thread pool, time-outs by our own timers, reconnect with
 * backoff, AUTH and SELECT after each connect, scripts by EVALSHA with a reload on NOSCRIPT.
 */
#pragma once

#include <hiredis/hiredis.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <uv.h>

#include "base/error.h"

struct redis_client;

struct redis_options {
    const char *url;  /* redis://[user:pass@]host[:port][/db], unix:///path[?db=N], copied; rediss:// refused
                         (ERROR_INPUT: this client library has no TLS; use a local TLS proxy) */
    const char *name; /* CLIENT SETNAME; copied; may be NULL */
    int max_pending;  /* default 1024 commands without an answer */
    int64_t connect_timeout_ms; /* default 5000 */
    int64_t command_timeout_ms; /* default 15000, for the oldest command without an answer */
    int64_t backoff_base_ms;    /* default 100 */
    int64_t backoff_cap_ms;     /* default 5000 */
    void (*on_state)(void *data, bool connected,
                     const struct error *why_not); /* may be NULL; from the loop */
    void *data;
};

/*
 * reply is NULL on a transport error (err: ERROR_UNREACHABLE or ERROR_TIMEOUT, retryable; the command MAY
 * have been executed) and on an error reply (err: ERROR_DENIED for NOAUTH/WRONGPASS/NOPERM, else
 * ERROR_PROTOCOL; retryable for LOADING, BUSY, TRYAGAIN, CLUSTERDOWN, MASTERDOWN, READONLY, OOM, MISCONF;
 * native = the first word). It belongs to the library and is gone after the callback. Runs from the loop,
 * never before the call returns.
 */
typedef void (*redis_done_fn)(void *data, const redisReply *reply, const struct error *err);

/* Checks the URL only; connects at once in the background and keeps trying. */
int redis_client_new(uv_loop_t *loop, const struct redis_options *options, struct redis_client **ret_client,
                     struct error *err);
/* Pending commands get ERROR_CANCELLED before this returns; on_closed (may be NULL) runs when handles are
 * closed. */
void redis_client_close(struct redis_client *client, void (*on_closed)(void *data), void *data);
bool redis_client_connected(const struct redis_client *client);

/* Arguments are copied. Commands given while disconnected wait for a connection for at most
 * command_timeout_ms. timeout_ms 0 = command_timeout_ms; for BLPOP pass its own time plus a margin. cb always
 * runs exactly once. */
void redis_command(struct redis_client *client, int argc, const char *const *argv, const size_t *lengths,
                   int64_t timeout_ms, redis_done_fn cb, void *data);

/* A Lua script: text is a literal; sha1 is filled at first use. One key (KEYS[1]). */
struct redis_script {
    const char *name;
    const char *text;
    char sha1[41];
};
void redis_eval(struct redis_client *client, struct redis_script *script, const char *key, int argc,
                const char *const *argv, const size_t *lengths, redis_done_fn cb, void *data);

/* For command-line programs: runs the loop until the answer is there and returns a copy that the caller frees
 * with freeReplyObject, or NULL with err filled. lengths may be NULL (NUL-terminated arguments), here and
 * above. */
redisReply *redis_run(struct redis_client *client, int argc, const char *const *argv, const size_t *lengths,
                      struct error *err);
redisReply *redis_eval_run(struct redis_client *client, struct redis_script *script, const char *key,
                           int argc, const char *const *argv, const size_t *lengths, struct error *err);
