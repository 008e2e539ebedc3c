/* Shared by the pg*.c files only. pg.c holds the client: queue, dispatch, time-outs, close. pg_conn.c holds
 * one connection. pg_request.c the request, its values and the mapping of errors. pg_hosts.c the servers the
 * URL names. */
#pragma once

#include "loop/pg.h"
#include "loop/resolve.h"

#define PG_IN_FLIGHT_MAX 32 /* requests under way on one connection */
#define PG_PREPARED_MAX 256 /* statements prepared on one connection; further ones go unprepared */
#define PG_HOSTS_MAX 16
#define PG_BACKOFF_BASE_MS 100
#define PG_BACKOFF_CAP_MS 5000

struct pg_item {
    const char *name; /* NULL = never prepared */
    const char *sql;
    int n_params;
    char **values;
    void *block;   /* the one allocation behind values (and sql, when there is no name) */
    bool prepares; /* this request carries the Parse of the statement */
    bool by_name;  /* goes out under its name */
};

struct pg_request {
    struct pg_request *next;
    struct pg_client *client;
    int n;
    struct pg_item items[PG_REQUEST_MAX];
    int64_t queued_at;
    int64_t begun_at;   /* sent, and the one before it on that connection answered */
    int done;           /* items answered */
    bool prepare_done;  /* the Parse of items[done] is answered */
    bool lost_prepared; /* a prepared statement was not there, or no longer fits */
    bool resent;        /* that happened, and the request goes out again, unprepared */
    PGresult *results[PG_REQUEST_MAX];
    struct error err; /* the first; code 0 = none */
    pg_done_fn cb;
    void *data;
};

struct pg_list {
    struct pg_request *head;
    struct pg_request *tail;
    int n;
};

void pg_list_push(struct pg_list *list, struct pg_request *request);
struct pg_request *pg_list_pop(struct pg_list *list);

void pg_request_reset(struct pg_request *request); /* drops results and error: as before sending */

/* Fills *err from an error result by the table in pg.h. */
void pg_error_from_result(struct error *err, const PGresult *result);
/* Sets the mark that pg_maybe_committed looks for. */
void pg_error_mark_maybe(struct error *err);

/* The servers that a URL and libpq's defaults name, in order. */
struct pg_hosts {
    int n;
    struct pg_host {
        char *host; /* name, address, socket directory or "" */
        char *addr; /* given hostaddr or "" */
        char *port; /* or "" */
    } list[PG_HOSTS_MAX];
};

int pg_hosts_parse(struct pg_hosts *hosts, const char *url, struct error *err);
void pg_hosts_deinit(struct pg_hosts *hosts);

enum pg_state { PG_CLOSED, PG_RESOLVING, PG_CONNECTING, PG_READY };

struct pg_prepared {
    const char *name;
    bool confirmed; /* false: the Parse is under way and may yet be skipped */
};

struct pg_conn {
    struct pg_client *client;
    enum pg_state state;
    int64_t deadline; /* of resolving and connecting */
    PGconn *pq;
    PGcancel *cancel; /* to be sent when pq is closed */
    struct pg_poll *poll;
    struct resolve *resolve;
    int next_host;           /* lookups done so far */
    int n_targets;           /* in the three lists below, comma-separated */
    struct strbuf host_list; /* what PQconnectStartParams gets */
    struct strbuf addr_list;
    struct strbuf port_list;
    struct error resolve_err;
    struct pg_list in_flight;
    bool unprepared; /* the server or a pooler loses prepared statements */
    int n_prepared;
    struct pg_prepared prepared[PG_PREPARED_MAX];
};

void pg_conn_init(struct pg_conn *conn, struct pg_client *client);
/* Starts resolving; every outcome is told by pg_client_on_ready and pg_client_on_lost. */
void pg_conn_open(struct pg_conn *conn);
void pg_conn_send(struct pg_conn *conn, struct pg_request *request);
/* Reads what has arrived and answers the requests it completes. */
void pg_conn_read(struct pg_conn *conn);
/* Has the server asked, from the thread pool and once the connection is closed, to drop what it is doing
 * there. Not before: it would begin with the next request that has arrived, and nobody would wait for that
 * one. */
void pg_conn_cancel(struct pg_conn *conn);
/* Closes without telling anyone; requests stay in in_flight. */
void pg_conn_shut(struct pg_conn *conn);
void pg_conn_deinit(struct pg_conn *conn); /* after pg_conn_shut */

struct pg_client {
    uv_loop_t *loop;
    char *url;
    char *application_name;
    struct pg_options options;
    struct pg_hosts hosts;
    int first_host; /* moves on when a connect times out, so that a dead host doesn't hide the others */
    struct pg_list queue;
    struct pg_list failed; /* to be told so from the loop */
    int attempt;           /* connects and connections lost since the last answer */
    int64_t retry_at;
    int64_t down_since; /* when the last ready connection was lost */
    struct error last_error;
    bool loss_untold;
    uv_timer_t timer; /* runs only while something has a deadline */
    int64_t timer_due;
    uv_idle_t turn; /* active when there is something to send or to tell */
    int n_handles;
    bool closing;
    void (*on_closed)(void *data);
    void *closed_data;
    int n_conns;
    struct pg_conn conns[];
};

void pg_client_kick(struct pg_client *client); /* dispatch in the next turn of the loop */
void pg_client_arm(struct pg_client *client);  /* sets or stops the timer */
void pg_client_on_ready(struct pg_client *client);
void pg_client_on_lost(struct pg_client *client, struct pg_conn *conn, const struct error *why);
void pg_client_on_answer(struct pg_client *client, struct pg_request *request);
/* Counts a handle; pg_client_on_handle_closed is to be called once from its close callback. */
void pg_client_hold(struct pg_client *client);
void pg_client_on_handle_closed(struct pg_client *client);
