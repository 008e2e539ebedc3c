/*
 * Redis on the loop: hiredis with an adapter of our own (the packaged one loses connect errors), one
 * connection per client, names resolved in the thread pool, time-outs by our own timer, reconnect with
 * backoff, AUTH and SELECT after each connect, scripts by EVALSHA with the text sent on NOSCRIPT.
 *
 * Commands are answered in the order in which they were sent. So those behind a blocking one (BLPOP) wait for
 * it, while their time-outs run: give blocking commands a client of their own. SUBSCRIBE and MONITOR are
 * refused (ERROR_UNSUPPORTED). The first client makes the process ignore SIGPIPE, unless it has a handler.
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
    int max_pending;  /* commands without an answer; default 1024 */
    int64_t connect_timeout_ms; /* until the server is ready to serve; default 5000 */
    int64_t command_timeout_ms; /* default 15000 */
    int64_t backoff_base_ms;    /* default 100 */
    int64_t backoff_cap_ms;     /* default 5000 */
    /* May be NULL. Runs from the loop: when the server is ready, when the connection is lost, and after each
     * failed attempt to connect (why_not; NULL when connected). */
    void (*on_state)(void *data, bool connected, const struct error *why_not);
    void *data;
};

/*
 * reply is NULL on an error, else err is NULL:
 *
 *   ERROR_UNREACHABLE  no connection in time, or it was lost; retryable
 *   ERROR_TIMEOUT      no answer in time: the connection was closed, other commands under way get
 *                      ERROR_UNREACHABLE; retryable
 *   ERROR_CANCELLED    the client was closed; retryable
 *   ERROR_LIMIT        max_pending commands are without an answer; retryable
 *   ERROR_DENIED       NOAUTH, WRONGPASS, NOPERM; also commands that wait when AUTH is refused
 *   ERROR_INPUT        commands that wait when the URL's database does not exist
 *   ERROR_PROTOCOL     any other error reply; retryable for LOADING, BUSY, TRYAGAIN, CLUSTERDOWN, MASTERDOWN,
 *                      READONLY, OOM, MISCONF
 *   ERROR_UNSUPPORTED, ERROR_SYSTEM (out of memory)
 *
 * native is the first word of an error reply. With one of the first three it is "maybe" when the command was
 * sent: then it MAY have been executed. reply belongs to the library and is gone after the callback. Runs
 * from the loop, or from redis_client_close, never before the call returns.
 */
typedef void (*redis_done_fn)(void *data, const redisReply *reply, const struct error *err);

/* Checks the URL only; connects at once in the background and keeps trying. */
int redis_client_new(uv_loop_t *loop, const struct redis_options *options, struct redis_client **ret_client,
                     struct error *err);
/* Pending commands get ERROR_CANCELLED before this returns; on_closed (may be NULL) runs from the loop when
 * all handles are closed and the memory is gone. May be called from a callback. NULL client: on_closed is not
 * run.
 */
void redis_client_close(struct redis_client *client, void (*on_closed)(void *data), void *data);
bool redis_client_connected(const struct redis_client *client);

/* Arguments are copied; lengths NULL = they are NUL-terminated. Commands given while disconnected wait for a
 * connection for at most command_timeout_ms. timeout_ms counts from sending; 0 = command_timeout_ms; for
 * BLPOP pass its own time plus a margin. cb always runs exactly once. */
void redis_command(struct redis_client *client, int argc, const char *const *argv, const size_t *lengths,
                   int64_t timeout_ms, redis_done_fn cb, void *data);

/* A Lua script: outlives the client, text is a literal; sha1 is filled at first use. One key (KEYS[1]). After
 * a NOSCRIPT it is sent again, behind what was sent in the meantime. */
struct redis_script {
    const char *name;
    const char *text;
    char sha1[41];
};
void redis_eval(struct redis_client *client, struct redis_script *script, const char *key, int argc,
                const char *const *argv, const size_t *lengths, redis_done_fn cb, void *data);

/* For command-line programs: runs the loop until the answer is there and returns a copy that the caller frees
 * with freeReplyObject, or NULL with err filled. Not from a callback of the same loop. */
redisReply *redis_run(struct redis_client *client, int argc, const char *const *argv, const size_t *lengths,
                      struct error *err);
redisReply *redis_eval_run(struct redis_client *client, struct redis_script *script, const char *key,
                           int argc, const char *const *argv, const size_t *lengths, struct error *err);
