/*
 * The client: a queue of requests, a few connections, one timer, one idle handle.
 *
 * Nothing is sent from pg_request_send itself: it wakes the idle handle, whose callback (on_turn) tells the
 * failed ones and hands the waiting ones to connections. So callbacks never run inside a call of the user's,
 * and no connection is torn down under the feet of its own read loop. Only answers are told straight from the
 * read loop, because results are theirs alone.
 *
 * Nothing pending: timer stopped, idle handle stopped, sockets watched for reading only.
 */
#include "loop/pg.h"

#include <stdlib.h>
#include <string.h>

#include "base/backoff.h"
#include "base/log.h"
#include "base/random.h"
#include "loop/pg_internal.h"

/* a statement under way for so long is not a good neighbour for others */
#define SLOW_MS 100

static void on_turn(uv_idle_t *handle);
static void on_timer(uv_timer_t *handle);

static int64_t now_ms(const struct pg_client *client)
{
    return (int64_t)uv_now(client->loop);
}

static int64_t or_default(int64_t value, int64_t fallback)
{
    return value > 0 ? value : fallback;
}

static void free_client(struct pg_client *client)
{
    for (int i = 0; i < client->n_conns; i++)
        pg_conn_deinit(&client->conns[i]);
    pg_hosts_deinit(&client->hosts);
    free(client->application_name);
    free(client->url);
    free(client);
}

int pg_client_new(uv_loop_t *loop, const struct pg_options *options, struct pg_client **ret_client,
                  struct error *err)
{
    int n = options->max_connections > 0 && !options->session ? options->max_connections : 1;
    struct pg_client *client = calloc(1, sizeof *client + (size_t)n * sizeof *client->conns);
    if (client == NULL)
        return error_set(err, ERROR_SYSTEM, true, "out of memory");
    client->loop = loop;
    client->options = *options;
    client->options.max_queued = (int)or_default(options->max_queued, 1024);
    client->options.connect_timeout_ms = or_default(options->connect_timeout_ms, 10000);
    client->options.request_timeout_ms = or_default(options->request_timeout_ms, 60000);
    client->options.unreachable_after_ms = or_default(options->unreachable_after_ms, 15000);
    client->url = strdup(options->url ? options->url : "");
    client->application_name = strdup(options->application_name ? options->application_name : "");
    client->n_conns = n;
    for (int i = 0; i < n; i++)
        pg_conn_init(&client->conns[i], client);
    int rc = 0;
    if (client->url == NULL || client->application_name == NULL)
        rc = error_set(err, ERROR_SYSTEM, true, "out of memory");
    else
        rc = pg_hosts_parse(&client->hosts, client->url, err);
    if (rc != 0) {
        free_client(client);
        return rc;
    }
    uv_timer_init(loop, &client->timer);
    uv_idle_init(loop, &client->turn);
    client->timer.data = client->turn.data = client;
    client->n_handles = 2;
    *ret_client = client;
    return 0;
}

void pg_client_kick(struct pg_client *client)
{
    if (!client->closing)
        uv_idle_start(&client->turn, on_turn);
}

/* -- time -- */

static bool any_in(const struct pg_client *client, enum pg_state state)
{
    for (int i = 0; i < client->n_conns; i++)
        if (client->conns[i].state == state)
            return true;
    return false;
}

bool pg_client_connected(const struct pg_client *client)
{
    return any_in(client, PG_READY);
}

static bool any_opening(const struct pg_client *client)
{
    return any_in(client, PG_RESOLVING) || any_in(client, PG_CONNECTING);
}

/* When a waiting request gives up: without any connection after unreachable_after_ms, else like one sent. */
static int64_t waiting_deadline(const struct pg_client *client, const struct pg_request *request)
{
    if (any_in(client, PG_READY))
        return request->queued_at + client->options.request_timeout_ms;
    int64_t since = request->queued_at > client->down_since ? request->queued_at : client->down_since;
    return since + client->options.unreachable_after_ms;
}

static int64_t conn_deadline(const struct pg_client *client, const struct pg_conn *conn)
{
    switch (conn->state) {
    case PG_RESOLVING:
    case PG_CONNECTING:
        return conn->deadline;
    case PG_READY:
        return conn->in_flight.head ? conn->in_flight.head->begun_at + client->options.request_timeout_ms
                                    : INT64_MAX;
    case PG_CLOSED:
        break;
    }
    return INT64_MAX;
}

static int64_t earlier(int64_t a, int64_t b)
{
    return a < b ? a : b;
}

/* A timer that is due too early is left alone: it fires once, finds nothing and is set anew. */
void pg_client_arm(struct pg_client *client)
{
    if (client->closing)
        return;
    int64_t due = INT64_MAX;
    if (client->queue.head) {
        due = waiting_deadline(client, client->queue.head);
        if (client->retry_at > now_ms(client) && !any_opening(client))
            due = earlier(due, client->retry_at);
    }
    for (int i = 0; i < client->n_conns; i++)
        due = earlier(due, conn_deadline(client, &client->conns[i]));
    if (due == INT64_MAX) {
        uv_timer_stop(&client->timer);
        return;
    }
    if (uv_is_active((uv_handle_t *)&client->timer) && client->timer_due <= due)
        return;
    client->timer_due = due;
    int64_t wait = due - now_ms(client);
    uv_timer_start(&client->timer, on_timer, wait > 0 ? (uint64_t)wait : 1, 0); /* 0 would fire without end */
}

static void fail(struct pg_client *client, struct pg_request *request)
{
    pg_list_push(&client->failed, request);
    pg_client_kick(client);
}

static void expire_waiting(struct pg_client *client)
{
    while (client->queue.head && waiting_deadline(client, client->queue.head) <= now_ms(client)) {
        struct pg_request *request = pg_list_pop(&client->queue);
        if (any_in(client, PG_READY))
            error_set(&request->err, ERROR_TIMEOUT, true,
                      "PostgreSQL: not sent within %lld ms: every connection is busy",
                      (long long)client->options.request_timeout_ms);
        else
            error_set(&request->err, ERROR_UNREACHABLE, true, "no connection within %lld ms: %s",
                      (long long)client->options.unreachable_after_ms,
                      client->last_error.code ? client->last_error.message : "PostgreSQL doesn't answer");
        fail(client, request);
    }
}

static void expire_conn(struct pg_client *client, struct pg_conn *conn)
{
    int64_t timeout_ms = client->options.request_timeout_ms;
    struct error err;
    if (conn_deadline(client, conn) > now_ms(client))
        return;
    if (conn->state == PG_READY) {
        /* the loop itself may have been late: the answer counts when it is here */
        pg_conn_read(conn);
        if (client->closing || conn->state != PG_READY || conn_deadline(client, conn) > now_ms(client))
            return;
        pg_conn_cancel(conn);
        struct pg_request *silent = conn->in_flight.head;
        if (silent->err.code == 0) {
            error_set(&silent->err, ERROR_TIMEOUT, true, "PostgreSQL: no answer within %lld ms",
                      (long long)timeout_ms);
            pg_error_mark_maybe(&silent->err);
        }
        error_set(&err, ERROR_UNREACHABLE, true,
                  "PostgreSQL: the connection was closed, a request before this one got no answer within "
                  "%lld ms",
                  (long long)timeout_ms);
    } else {
        error_set(&err, ERROR_UNREACHABLE, true, "PostgreSQL: %s within %lld ms",
                  conn->state == PG_RESOLVING ? "the host name was not resolved" : "connecting did not end",
                  (long long)client->options.connect_timeout_ms);
        client->first_host = (client->first_host + 1) % client->hosts.n;
    }
    pg_client_on_lost(client, conn, &err);
}

static void on_timer(uv_timer_t *handle)
{
    struct pg_client *client = handle->data;
    for (int i = 0; i < client->n_conns && !client->closing; i++)
        expire_conn(client, &client->conns[i]);
    if (client->closing)
        return;
    expire_waiting(client);
    if (client->queue.head)
        pg_client_kick(client);
    pg_client_arm(client);
}

/* -- what connections report -- */

void pg_client_on_ready(struct pg_client *client)
{
    pg_client_kick(client);
}

void pg_client_on_lost(struct pg_client *client, struct pg_conn *conn, const struct error *why)
{
    if (conn->state == PG_READY) {
        client->down_since = now_ms(client);
        client->loss_untold = client->options.on_lost != NULL;
    }
    log_debug("connection lost: %s", why->message);
    pg_conn_shut(conn);
    client->attempt++;
    client->retry_at =
        now_ms(client) + backoff_ms(client->attempt, PG_BACKOFF_BASE_MS, PG_BACKOFF_CAP_MS, random_u64());
    client->last_error = *why;
    struct pg_request *request;
    while ((request = pg_list_pop(&conn->in_flight))) {
        if (request->err.code == 0) {
            request->err = *why;
            pg_error_mark_maybe(&request->err);
        }
        fail(client, request);
    }
    /* the server said no: those who wait are told at once, the next ones make it try again */
    bool refused = why->code == ERROR_DENIED || why->code == ERROR_NOT_FOUND;
    while (refused && !any_in(client, PG_READY) && (request = pg_list_pop(&client->queue))) {
        request->err = *why;
        fail(client, request);
    }
    pg_client_kick(client);
}

static void tell(struct pg_request *request)
{
    struct pg_results results = {.n = request->n, .results = request->results};
    if (request->err.code == 0)
        request->cb(request->data, &results, NULL);
    else
        request->cb(request->data, NULL, &request->err);
    pg_request_free(request);
}

/* Before everything that was not sent yet, behind those sent again already. */
static void send_again(struct pg_client *client, struct pg_request *request)
{
    struct pg_request **at = &client->queue.head;
    pg_request_reset(request);
    request->resent = true;
    while (*at && (*at)->resent)
        at = &(*at)->next;
    request->next = *at;
    *at = request;
    if (request->next == NULL)
        client->queue.tail = request;
    client->queue.n++;
    pg_client_kick(client);
}

void pg_client_on_answer(struct pg_client *client, struct pg_request *request)
{
    client->attempt = 0;
    if (request->lost_prepared) {
        log_debug("prepared statement gone (%s), sending again", request->err.native);
        send_again(client, request);
    } else {
        tell(request);
    }
    if (client->queue.head)
        pg_client_kick(client);
}

/* -- dispatch -- */

static void tell_failed(struct pg_client *client)
{
    struct pg_request *request;
    while ((request = pg_list_pop(&client->failed)))
        tell(request);
}

/* Its oldest request takes long: what is sent behind it would wait for it. */
static bool is_slow(const struct pg_client *client, const struct pg_conn *conn)
{
    return conn->in_flight.head && now_ms(client) - conn->in_flight.head->begun_at > SLOW_MS;
}

static int load(const struct pg_client *client, const struct pg_conn *conn)
{
    return conn->in_flight.n + (is_slow(client, conn) ? PG_IN_FLIGHT_MAX : 0);
}

static struct pg_conn *least_loaded(struct pg_client *client)
{
    struct pg_conn *best = NULL;
    for (int i = 0; i < client->n_conns; i++) {
        struct pg_conn *conn = &client->conns[i];
        if (conn->state == PG_READY && conn->in_flight.n < PG_IN_FLIGHT_MAX &&
            (best == NULL || load(client, conn) < load(client, best)))
            best = conn;
    }
    return best;
}

static void open_another(struct pg_client *client)
{
    if (any_opening(client) || client->retry_at > now_ms(client))
        return;
    for (int i = 0; i < client->n_conns; i++) {
        if (client->conns[i].state == PG_CLOSED) {
            pg_conn_open(&client->conns[i]);
            return;
        }
    }
}

static void dispatch(struct pg_client *client)
{
    while (client->queue.head) {
        struct pg_conn *conn = least_loaded(client);
        if (conn == NULL || conn->in_flight.n > 0)
            open_another(client);
        if (conn == NULL || (is_slow(client, conn) && any_opening(client)))
            break;
        pg_conn_send(conn, pg_list_pop(&client->queue));
    }
}

static void tell_loss(struct pg_client *client)
{
    if (!client->loss_untold || client->closing)
        return;
    struct error why = client->last_error;
    client->loss_untold = false;
    client->options.on_lost(client->options.data, &why);
}

static void on_turn(uv_idle_t *handle)
{
    struct pg_client *client = handle->data;
    do {
        tell_failed(client);
        tell_loss(client);
        if (client->closing)
            return;
        dispatch(client);
    } while (client->failed.head && !client->closing);
    if (client->closing)
        return;
    uv_idle_stop(&client->turn);
    pg_client_arm(client);
}

void pg_request_send(struct pg_request *request, pg_done_fn cb, void *data)
{
    struct pg_client *client = request->client;
    request->cb = cb;
    request->data = data;
    uv_update_time(client->loop); /* a program that was busy for long must not time out at once */
    request->queued_at = now_ms(client);
    if (client->closing)
        error_set(&request->err, ERROR_CANCELLED, true, "PostgreSQL: the client is being closed");
    else if (request->n == 0 && request->err.code == 0)
        error_set(&request->err, ERROR_INPUT, false, "PostgreSQL: a request without statements");
    else if (client->queue.n >= client->options.max_queued && request->err.code == 0)
        error_set(&request->err, ERROR_LIMIT, true, "PostgreSQL: %d requests are waiting already",
                  client->queue.n);
    if (request->err.code != 0) {
        fail(client, request);
        return;
    }
    pg_list_push(&client->queue, request);
    pg_client_kick(client);
}

/* -- closing -- */

void pg_client_hold(struct pg_client *client)
{
    client->n_handles++;
}

void pg_client_on_handle_closed(struct pg_client *client)
{
    if (--client->n_handles > 0)
        return;
    tell_failed(client);
    void (*on_closed)(void *) = client->on_closed;
    void *data = client->closed_data;
    free_client(client);
    if (on_closed)
        on_closed(data);
}

static void on_own_handle_closed(uv_handle_t *handle)
{
    pg_client_on_handle_closed(handle->data);
}

static void cancel_all(struct pg_client *client, struct pg_list *list, bool sent)
{
    struct pg_request *request;
    while ((request = pg_list_pop(list))) {
        if (request->err.code == 0) {
            error_set(&request->err, ERROR_CANCELLED, true, "PostgreSQL: the client was closed");
            if (sent)
                pg_error_mark_maybe(&request->err);
        }
        pg_list_push(&client->failed, request);
    }
}

void pg_client_close(struct pg_client *client, void (*on_closed)(void *data), void *data)
{
    if (client == NULL || client->closing)
        return;
    client->closing = true;
    client->on_closed = on_closed;
    client->closed_data = data;
    for (int i = 0; i < client->n_conns; i++) {
        cancel_all(client, &client->conns[i].in_flight, true);
        pg_conn_shut(&client->conns[i]);
    }
    cancel_all(client, &client->queue, false);
    uv_close((uv_handle_t *)&client->timer, on_own_handle_closed);
    uv_close((uv_handle_t *)&client->turn, on_own_handle_closed);
    tell_failed(client);
}
