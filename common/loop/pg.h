/*
 * PostgreSQL on the loop: libpq, non-blocking, in pipeline mode.
 *
 * A request is one transaction: up to PG_REQUEST_MAX statements and one sync; every statement sees the
 * effects of the ones before it, all are committed together or not at all. No COPY, no BEGIN or COMMIT, one
 * statement per text. Requests go out in the order of sending, each over the connection with the least to do;
 * several are under way at once, so with more than one connection they may be carried out in another order.
 * Connections are opened on demand (a further one when the others are busy), host names are resolved in the
 * thread pool, a lost connection is opened again with backoff. A client with nothing to do wakes nobody.
 *
 * Statements are prepared once per connection under their name; when the server or a pooler in between has
 * lost them (SQLSTATE 26000, 42P05) or a plan no longer fits (0A000), the request is sent again unprepared
 * and the connection goes on without preparing.
 */
#pragma once

#include <libpq-fe.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <uv.h>

#include "base/error.h"
#include "base/strbuf.h"

#define PG_REQUEST_MAX 8

struct pg_client;
struct pg_request;

/* name: unique per text; NULL = never prepared. With a name, name and sql must outlive the client (literals);
 * without one, sql is copied. Parameters are text, types inferred or cast in the SQL. */
struct pg_statement {
    const char *name;
    const char *sql;
    int n_params;
};

struct pg_results {
    int n;                    /* number of statements */
    PGresult *const *results; /* each TUPLES_OK or COMMAND_OK; valid during the callback only */
};

/*
 * results is NULL when the transaction did not commit, or when it isn't known whether it did; then err says
 * why, else err is NULL:
 *
 *   ERROR_UNREACHABLE  a connection can't be had or was lost; retryable
 *   ERROR_TIMEOUT      no answer within request_timeout_ms, which begin when those sent before it on its
 *                      connection are answered: the connection was closed, the server asked to cancel, other
 * requests on it get ERROR_UNREACHABLE; retryable ERROR_CANCELLED    the client was closed; retryable
 *   ERROR_DENIED       the server refuses the user or password, ERROR_NOT_FOUND it has no such database: told
 *                      at once, without waiting; retryable (people mend such things)
 *   ERROR_LIMIT        max_queued requests are waiting (retryable), or more than PG_REQUEST_MAX statements
 *   ERROR_INPUT        a request without statements; SQL errors of class 22 and 23 but 23505
 *   ERROR_EXISTS       23505
 *   ERROR_CONFLICT     40001, 40P01; retryable
 *   ERROR_PROTOCOL     any other SQL error; retryable for the classes 08, 53, 57, 58 and for 25006, 25P03,
 * 55P03 ERROR_SYSTEM       out of memory
 *
 * native holds the SQLSTATE of an SQL error. UNREACHABLE, TIMEOUT and CANCELLED may leave it unknown whether
 * the transaction committed: pg_maybe_committed. Runs from the loop, or from pg_client_close, never before
 * pg_request_send returns.
 */
typedef void (*pg_done_fn)(void *data, const struct pg_results *results, const struct error *err);

struct pg_options {
    const char *url;              /* libpq connection string or URI; copied */
    const char *application_name; /* copied; shown in pg_stat_activity */
    bool session;        /* one connection, on which a request may leave a transaction open for the next
                            (BEGIN ... COMMIT); otherwise that is an error and closes the connection */
    int max_connections; /* default 1 */
    int max_queued;      /* default 1024 */
    int64_t connect_timeout_ms;   /* default 10000 */
    int64_t request_timeout_ms;   /* default 60000 */
    int64_t unreachable_after_ms; /* how long a request waits while no connection is up, before
                                     ERROR_UNREACHABLE; default 15000 */
    /* For LISTEN, with max_connections 1; each may be NULL. Both run from the loop and may close the client.
     * After a loss nothing is listened to any more, and nobody connects again until the next request. A
     * connection that is silently dead is noticed by a request's time-out: whoever listens asks something now
     * and then. */
    void (*on_notification)(void *data, const char *channel, const char *payload);
    void (*on_lost)(void *data, const struct error *why); /* a connection that was up; not by closing */
    void *data;
};

/* Checks the URL's syntax only (ERROR_INPUT, without any password in the message); connects on the first
 * request. */
int pg_client_new(uv_loop_t *loop, const struct pg_options *options, struct pg_client **ret_client,
                  struct error *err);

/* Every request still held gets ERROR_CANCELLED (before this returns), connections are closed, on_closed (may
 * be NULL) runs from the loop once all handles are closed and the memory is gone. A name lookup under way
 * keeps the loop alive a little longer. May be called from a callback. NULL client: on_closed is not run. */
void pg_client_close(struct pg_client *client, void (*on_closed)(void *data), void *data);

/* Whether a connection is up. */
bool pg_client_connected(const struct pg_client *client);

/* NULL when memory is out. Values are copied; NULL entries are SQL NULL (values may be NULL when there are no
 * parameters). An error of pg_request_add need not be checked: pg_request_send tells it. */
struct pg_request *pg_request_new(struct pg_client *client);
int pg_request_add(struct pg_request *request, const struct pg_statement *statement,
                   const char *const *values);

/* Takes ownership of request in every case; cb always runs exactly once, also for errors at sending. */
void pg_request_send(struct pg_request *request, pg_done_fn cb, void *data);
void pg_request_free(struct pg_request *request); /* one never sent */

/*
 * For command-line programs: sends and runs the loop until the answer is there. On success *ret_results holds
 * request's results: clear with pg_copy_clear; ret_results NULL = not wanted. request NULL: ERROR_SYSTEM. Not
 * from a callback of the same loop.
 */
struct pg_copy {
    int n;
    PGresult *results[PG_REQUEST_MAX];
};
int pg_run(struct pg_request *request, struct pg_copy *ret_results, struct error *err);
void pg_copy_clear(struct pg_copy *copy);

/* Array literals for unnest($1::bigint[]) and friends: {1,2}, {"a","b\"c",NULL}. */
void pg_array_begin(struct strbuf *b);
void pg_array_int(struct strbuf *b, int64_t value);
void pg_array_text(struct strbuf *b, const char *value); /* NULL = SQL NULL */
void pg_array_end(struct strbuf *b);

/* Column access by number; NULL columns give NULL or the fallback. */
const char *pg_text(const PGresult *r, int row, int column);
int64_t pg_int(const PGresult *r, int row, int column, int64_t fallback);
int pg_bool(const PGresult *r, int row, int column, int fallback);

/* True when the transaction's fate is unknown after err: connection lost, timed out or closed after sending.
 * (native is "maybe" then.) */
int pg_maybe_committed(const struct error *err);
