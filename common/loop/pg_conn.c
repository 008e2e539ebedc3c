/*
 * One connection: resolve the hosts, let libpq connect, then send requests and read answers in order.
 *
 *   CLOSED -> RESOLVING -> CONNECTING -> READY -> (lost, timed out) -> CLOSED
 *
 * Answers of a request, in libpq's order: for each statement its Parse (when this request carries it) and its
 * result, a NULL behind each; one PGRES_PIPELINE_SYNC at the end. After an error the rest is
 * PGRES_PIPELINE_ABORTED up to the sync, and everything is rolled back. An error at commit time (a deferred
 * constraint) comes behind the last statement, before the sync.
 *
 * A statement counts as prepared only once its Parse was answered: while the Parse is under way it may yet be
 * skipped for an error before it, so other requests go unprepared till then.
 */
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/log.h"
#include "loop/pg_internal.h"

#define LIST_MAX 8192

/* libuv must let go of a descriptor before libpq closes it, and closes handles later: hence one of these per
 * socket. */
struct pg_poll {
    uv_poll_t handle;
    struct pg_client *client;
    struct pg_conn *conn; /* NULL once let go */
    int events;
};

static void connect_step(struct pg_conn *conn);
static void resolve_next(struct pg_conn *conn);

static int lost(struct pg_conn *conn, int code, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

static int lost(struct pg_conn *conn, int code, const char *format, ...)
{
    struct error err;
    char text[900];
    va_list args;
    va_start(args, format);
    vsnprintf(text, sizeof text, format, args);
    va_end(args);
    error_set(&err, code, true, "PostgreSQL: %s", text);
    pg_client_on_lost(conn->client, conn, &err);
    return code;
}

/* -- the socket -- */

static void on_poll_closed(uv_handle_t *handle)
{
    struct pg_poll *poll = handle->data;
    struct pg_client *client = poll->client;
    free(poll);
    pg_client_on_handle_closed(client);
}

static void unwatch(struct pg_conn *conn)
{
    struct pg_poll *poll = conn->poll;
    if (poll == NULL)
        return;
    conn->poll = NULL;
    poll->conn = NULL;
    uv_poll_stop(&poll->handle);
    uv_close((uv_handle_t *)&poll->handle, on_poll_closed);
}

static void on_socket(uv_poll_t *handle, int status, int events)
{
    struct pg_poll *poll = handle->data;
    struct pg_conn *conn = poll->conn;
    (void)events;
    if (conn == NULL)
        return;
    if (conn->state == PG_CONNECTING) {
        connect_step(conn);
        return;
    }
    pg_conn_read(conn);
    /* after an error libuv has stopped watching, whatever libpq made of it */
    if (status < 0 && poll->conn && conn->state == PG_READY)
        lost(conn, ERROR_UNREACHABLE, "the connection broke: %s", uv_strerror(status));
    pg_client_arm(poll->client);
}

static int watch(struct pg_conn *conn, int events)
{
    if (conn->poll && conn->poll->events == events)
        return 0;
    if (conn->poll == NULL) {
        struct pg_poll *poll = calloc(1, sizeof *poll);
        if (poll == NULL)
            return UV_ENOMEM;
        poll->client = conn->client;
        poll->conn = conn;
        int rc = uv_poll_init(conn->client->loop, &poll->handle, PQsocket(conn->pq));
        if (rc != 0) {
            free(poll);
            return rc;
        }
        poll->handle.data = poll;
        pg_client_hold(conn->client);
        conn->poll = poll;
    }
    conn->poll->events = events;
    return uv_poll_start(&conn->poll->handle, events, on_socket);
}

/* -- connecting -- */

void pg_conn_init(struct pg_conn *conn, struct pg_client *client)
{
    conn->client = client;
    strbuf_init(&conn->host_list, LIST_MAX);
    strbuf_init(&conn->addr_list, LIST_MAX);
    strbuf_init(&conn->port_list, LIST_MAX);
}

void pg_conn_deinit(struct pg_conn *conn)
{
    strbuf_deinit(&conn->host_list);
    strbuf_deinit(&conn->addr_list);
    strbuf_deinit(&conn->port_list);
}

void pg_conn_open(struct pg_conn *conn)
{
    conn->state = PG_RESOLVING;
    conn->deadline = (int64_t)uv_now(conn->client->loop) + conn->client->options.connect_timeout_ms;
    conn->next_host = 0;
    conn->n_targets = 0;
    conn->resolve_err = (struct error){0};
    strbuf_clear(&conn->host_list);
    strbuf_clear(&conn->addr_list);
    strbuf_clear(&conn->port_list);
    resolve_next(conn);
}

static void add_target(struct pg_conn *conn, const struct pg_host *host, const char *addr)
{
    const char *comma = conn->n_targets > 0 ? "," : "";
    strbuf_printf(&conn->host_list, "%s%s", comma, host->host);
    strbuf_printf(&conn->addr_list, "%s%s", comma, addr);
    strbuf_printf(&conn->port_list, "%s%s", comma, host->port);
    conn->n_targets++;
}

static const struct pg_host *current_host(const struct pg_conn *conn)
{
    const struct pg_hosts *hosts = &conn->client->hosts;
    return &hosts->list[(conn->client->first_host + conn->next_host) % hosts->n];
}

static void on_resolved(void *data, int status, const struct resolve_address *addresses, int n)
{
    struct pg_conn *conn = data;
    conn->resolve = NULL;
    const struct pg_host *host = current_host(conn);
    if (status != 0)
        error_set(&conn->resolve_err, ERROR_UNREACHABLE, true, "host name %s: %s", host->host,
                  uv_strerror(status));
    for (int i = 0; i < n; i++)
        add_target(conn, host, addresses[i].text);
    conn->next_host++;
    resolve_next(conn);
}

/* Socket directories, given addresses and numeric names need no lookup. */
static const char *known_address(const struct pg_host *host)
{
    unsigned char bytes[16];
    if (*host->addr)
        return host->addr;
    if (*host->host == '\0' || *host->host == '/' || *host->host == '@')
        return "";
    if (uv_inet_pton(AF_INET, host->host, bytes) == 0 || uv_inet_pton(AF_INET6, host->host, bytes) == 0)
        return host->host;
    return NULL;
}

static bool has_more_than_commas(const struct strbuf *list)
{
    const char *text = strbuf_cstr(list);
    return text[strspn(text, ",")] != '\0';
}

static void on_notice(void *data, const char *message)
{
    (void)data;
    log_debug("PostgreSQL: %s", message);
}

/* The SQLSTATE in a verbose message of libpq ("FATAL:  28P01: password ..."), or NULL. */
static char *find_state(char *words)
{
    for (char *p = strstr(words, ":  "); p; p = strstr(p + 1, ":  "))
        if (strspn(p + 3, "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZ") == 5 && strncmp(p + 8, ": ", 2) == 0)
            return p + 3;
    return NULL;
}

/* libpq has no other way to tell a wrong password from a server that is not there: it is asked to be verbose
 * while connecting, and its words are brought back to normal. The last host's answer counts. */
static void connect_failed(struct pg_conn *conn)
{
    char words[1200], state[6] = "";
    snprintf(words, sizeof words, "%s", PQerrorMessage(conn->pq));
    for (char *at; (at = find_state(words));) {
        memcpy(state, at, 5);
        memmove(at, at + 7, strlen(at + 7) + 1);
    }
    for (char *at; (at = strstr(words, "\nLOCATION:"));) {
        char *end = at + 1 + strcspn(at + 1, "\n");
        memmove(at, end, strlen(end) + 1);
    }
    int code = ERROR_UNREACHABLE;
    if (strncmp(state, "28", 2) == 0)
        code = ERROR_DENIED;
    else if (strcmp(state, "3D000") == 0)
        code = ERROR_NOT_FOUND;
    lost(conn, code, "%s", words);
}

static void connect_start(struct pg_conn *conn)
{
    const char *keys[8];
    const char *values[8];
    int n = 0;
    keys[n] = "client_encoding";
    values[n++] = "UTF8";
    keys[n] = "application_name";
    values[n++] = conn->client->application_name;
    keys[n] = "dbname"; /* overrides what stands before it, and is overridden by what follows */
    values[n++] = conn->client->url;
    const struct {
        const char *key;
        const struct strbuf *list;
    } lists[] = {{"host", &conn->host_list}, {"hostaddr", &conn->addr_list}, {"port", &conn->port_list}};
    for (size_t i = 0; i < sizeof lists / sizeof *lists; i++) {
        if (!has_more_than_commas(lists[i].list))
            continue;
        keys[n] = lists[i].key;
        values[n++] = strbuf_cstr(lists[i].list);
    }
    keys[n] = values[n] = NULL;

    conn->state = PG_CONNECTING;
    conn->pq = PQconnectStartParams(keys, values, 1);
    if (conn->pq == NULL || conn->host_list.failed || conn->addr_list.failed || conn->port_list.failed) {
        lost(conn, ERROR_SYSTEM, "out of memory");
        return;
    }
    PQsetNoticeProcessor(conn->pq, on_notice, NULL);
    PQsetErrorVerbosity(conn->pq, PQERRORS_VERBOSE);
    if (PQstatus(conn->pq) == CONNECTION_BAD) {
        lost(conn, ERROR_UNREACHABLE, "%s", PQerrorMessage(conn->pq));
        return;
    }
    int rc = watch(conn, UV_WRITABLE);
    if (rc != 0)
        lost(conn, ERROR_SYSTEM, "watching the socket: %s", uv_strerror(rc));
}

static void resolve_next(struct pg_conn *conn)
{
    for (; conn->next_host < conn->client->hosts.n; conn->next_host++) {
        const struct pg_host *host = current_host(conn);
        const char *addr = known_address(host);
        if (addr == NULL) {
            conn->resolve = resolve_start(conn->client->loop, host->host, on_resolved, conn);
            if (conn->resolve == NULL)
                lost(conn, ERROR_SYSTEM, "looking up %s: out of memory", host->host);
            return;
        }
        add_target(conn, host, addr);
    }
    if (conn->n_targets == 0)
        lost(conn, ERROR_UNREACHABLE, "%s", conn->resolve_err.message);
    else
        connect_start(conn);
}

static void connect_step(struct pg_conn *conn)
{
    /* libpq may close the socket here and open another, even one with the same number */
    unwatch(conn);
    PostgresPollingStatusType next = PQconnectPoll(conn->pq);
    int rc = 0;
    switch (next) {
    case PGRES_POLLING_READING:
        rc = watch(conn, UV_READABLE);
        break;
    case PGRES_POLLING_WRITING:
        rc = watch(conn, UV_WRITABLE);
        break;
    case PGRES_POLLING_OK:
        PQsetErrorVerbosity(conn->pq, PQERRORS_DEFAULT);
        if (PQsetnonblocking(conn->pq, 1) != 0 || PQenterPipelineMode(conn->pq) != 1) {
            lost(conn, ERROR_UNREACHABLE, "%s", PQerrorMessage(conn->pq));
            return;
        }
        rc = watch(conn, UV_READABLE);
        if (rc == 0) {
            conn->state = PG_READY;
            pg_client_on_ready(conn->client);
        }
        break;
    case PGRES_POLLING_FAILED:
    case PGRES_POLLING_ACTIVE:
    default:
        connect_failed(conn);
        return;
    }
    if (rc != 0)
        lost(conn, ERROR_SYSTEM, "watching the socket: %s", uv_strerror(rc));
}

struct cancel {
    uv_work_t work;
    PGcancel *cancel;
};

static void cancel_in_thread(uv_work_t *work)
{
    struct cancel *c = work->data;
    char words[256];
    PQcancel(c->cancel, words, sizeof words);
}

static void on_cancelled(uv_work_t *work, int status)
{
    struct cancel *c = work->data;
    (void)status;
    PQfreeCancel(c->cancel);
    free(c);
}

static void send_cancel(struct pg_client *client, PGcancel *cancel)
{
    struct cancel *c = calloc(1, sizeof *c);
    if (c == NULL) {
        PQfreeCancel(cancel);
        return;
    }
    c->work.data = c;
    c->cancel = cancel;
    if (uv_queue_work(client->loop, &c->work, cancel_in_thread, on_cancelled) != 0)
        on_cancelled(&c->work, 0);
}

void pg_conn_cancel(struct pg_conn *conn)
{
    if (conn->cancel == NULL)
        conn->cancel = PQgetCancel(conn->pq);
}

void pg_conn_shut(struct pg_conn *conn)
{
    unwatch(conn);
    resolve_cancel(conn->resolve);
    conn->resolve = NULL;
    PQfinish(conn->pq);
    conn->pq = NULL;
    if (conn->cancel)
        send_cancel(conn->client, conn->cancel);
    conn->cancel = NULL;
    conn->state = PG_CLOSED;
    conn->n_prepared = 0;
    conn->unprepared = false;
}

/* -- sending -- */

static struct pg_prepared *find_prepared(struct pg_conn *conn, const char *name)
{
    for (int i = 0; i < conn->n_prepared; i++)
        if (conn->prepared[i].name == name || strcmp(conn->prepared[i].name, name) == 0)
            return &conn->prepared[i];
    return NULL;
}

static void on_prepared(struct pg_conn *conn, const char *name, bool ok)
{
    struct pg_prepared *prepared = find_prepared(conn, name);
    if (prepared == NULL)
        return;
    if (ok)
        prepared->confirmed = true;
    else
        *prepared = conn->prepared[--conn->n_prepared];
}

static int send_item(struct pg_conn *conn, const struct pg_request *request, struct pg_item *item)
{
    const char *const *values = (const char *const *)item->values;
    item->by_name = false;
    if (item->name && !conn->unprepared && !request->resent) {
        const struct pg_prepared *prepared = find_prepared(conn, item->name);
        item->by_name = prepared && prepared->confirmed;
        if (prepared == NULL && conn->n_prepared < PG_PREPARED_MAX) {
            conn->prepared[conn->n_prepared++] = (struct pg_prepared){.name = item->name};
            item->prepares = item->by_name = true;
            if (!PQsendPrepare(conn->pq, item->name, item->sql, item->n_params, NULL))
                return 0;
        }
    }
    if (item->by_name)
        return PQsendQueryPrepared(conn->pq, item->name, item->n_params, values, NULL, NULL, 0);
    return PQsendQueryParams(conn->pq, item->sql, item->n_params, NULL, values, NULL, NULL, 0);
}

/* Writes what libpq holds back and watches for what it waits for. */
static void flush(struct pg_conn *conn)
{
    int rc = PQflush(conn->pq);
    if (rc < 0) {
        /* what the server said before it went away may still be there to read */
        pg_conn_read(conn);
        return;
    }
    rc = watch(conn, rc == 1 ? UV_READABLE | UV_WRITABLE : UV_READABLE);
    if (rc != 0)
        lost(conn, ERROR_SYSTEM, "watching the socket: %s", uv_strerror(rc));
}

void pg_conn_send(struct pg_conn *conn, struct pg_request *request)
{
    int ok = 1;
    for (int i = 0; ok && i < request->n; i++)
        ok = send_item(conn, request, &request->items[i]);
    if (ok)
        ok = PQpipelineSync(conn->pq);
    request->begun_at = (int64_t)uv_now(conn->client->loop);
    if (!ok) {
        /* without its sync nothing of it can be committed, so no "maybe" */
        error_set(&request->err, ERROR_UNREACHABLE, true, "PostgreSQL: sending: %s",
                  PQerrorMessage(conn->pq));
        pg_list_push(&conn->in_flight, request);
        lost(conn, ERROR_UNREACHABLE, "%s", PQerrorMessage(conn->pq));
        return;
    }
    pg_list_push(&conn->in_flight, request);
    flush(conn);
}

/* -- reading -- */

static void record_error(struct pg_request *request, const PGresult *result)
{
    if (request->err.code != 0)
        return;
    pg_error_from_result(&request->err, result);
    const char *state = request->err.native;
    if (strcmp(state, "26000") == 0 || strcmp(state, "42P05") == 0 || strcmp(state, "0A000") == 0) {
        /* 0A000: "cached plan must not change result type", after a migration */
        const struct pg_item *item = request->done < request->n ? &request->items[request->done] : NULL;
        if (item && item->by_name)
            request->lost_prepared = true;
    }
    const char *severity = PQresultErrorField(result, PG_DIAG_SEVERITY_NONLOCALIZED);
    bool fatal = severity && strcmp(severity, "ERROR") != 0;
    if (fatal && request->done == request->n)
        pg_error_mark_maybe(&request->err); /* the server went away around the commit */
}

static bool is_ok(const PGresult *result)
{
    ExecStatusType status = PQresultStatus(result);
    return status == PGRES_TUPLES_OK || status == PGRES_COMMAND_OK || status == PGRES_EMPTY_QUERY;
}

/* One answer within a request; owns result. */
static void on_result(struct pg_conn *conn, struct pg_request *request, PGresult *result)
{
    bool ok = is_ok(result);
    if (!ok && PQresultStatus(result) != PGRES_PIPELINE_ABORTED)
        record_error(request, result);
    if (request->done < request->n) {
        const struct pg_item *item = &request->items[request->done];
        if (item->prepares && !request->prepare_done) {
            on_prepared(conn, item->name, ok);
            request->prepare_done = true;
        } else {
            if (ok) {
                request->results[request->done] = result;
                result = NULL;
            }
            request->done++;
            request->prepare_done = false;
        }
    }
    PQclear(result);
}

static void on_sync(struct pg_conn *conn)
{
    struct pg_request *request = pg_list_pop(&conn->in_flight);
    if (request->lost_prepared)
        conn->unprepared = true;
    if (conn->in_flight.head) {
        /* the server begins with it now, and so does its time */
        uv_update_time(conn->client->loop);
        conn->in_flight.head->begun_at = (int64_t)uv_now(conn->client->loop);
    }
    pg_client_on_answer(conn->client, request);
}

static bool is_foreign(const PGresult *result)
{
    ExecStatusType status = PQresultStatus(result);
    if (status == PGRES_FATAL_ERROR)
        return PQresultErrorField(result, PG_DIAG_SQLSTATE) == NULL; /* libpq's own: the connection is gone */
    return !is_ok(result) && status != PGRES_PIPELINE_ABORTED;
}

/* Callbacks of answered requests run in here and may close the client: then pq is NULL. */
static int take_results(struct pg_conn *conn)
{
    int nulls = 0;
    while (conn->in_flight.head && !PQisBusy(conn->pq) && nulls < 2) {
        PGresult *result = PQgetResult(conn->pq);
        if (result == NULL) {
            nulls++;
            continue;
        }
        nulls = 0;
        if (PQresultStatus(result) == PGRES_PIPELINE_SYNC) {
            PQclear(result);
            on_sync(conn);
            if (conn->pq == NULL)
                return 0;
        } else if (is_foreign(result)) {
            char text[600];
            const char *words = PQresultErrorMessage(result);
            snprintf(text, sizeof text, "%s", *words ? words : PQresStatus(PQresultStatus(result)));
            PQclear(result);
            return lost(conn, ERROR_UNREACHABLE, "%s", text);
        } else {
            on_result(conn, conn->in_flight.head, result);
        }
    }
    return 0;
}

static void take_notifications(struct pg_conn *conn)
{
    struct pg_client *client = conn->client;
    PGnotify *notification;
    while (client->options.on_notification && conn->pq && (notification = PQnotifies(conn->pq))) {
        client->options.on_notification(client->options.data, notification->relname, notification->extra);
        PQfreemem(notification);
    }
}

void pg_conn_read(struct pg_conn *conn)
{
    int alive = PQconsumeInput(conn->pq);
    if (take_results(conn) != 0 || conn->pq == NULL)
        return;
    take_notifications(conn);
    if (conn->pq == NULL)
        return;
    if (!alive || PQstatus(conn->pq) == CONNECTION_BAD) {
        lost(conn, ERROR_UNREACHABLE, "%s", PQerrorMessage(conn->pq));
        return;
    }
    PGTransactionStatusType transaction = PQtransactionStatus(conn->pq);
    bool open = transaction == PQTRANS_INTRANS || transaction == PQTRANS_INERROR;
    if (open && !conn->client->options.session) {
        lost(conn, ERROR_UNREACHABLE, "a request left a transaction open");
        return;
    }
    int rc = PQflush(conn->pq);
    if (rc >= 0)
        rc = watch(conn, rc == 1 ? UV_READABLE | UV_WRITABLE : UV_READABLE);
    if (rc < 0)
        lost(conn, ERROR_UNREACHABLE, "%s", PQerrorMessage(conn->pq));
}
