/* The client: groups, queues, the turn, time bounds, close. http_internal.h says what is where. */
#include "loop/http.h"

#include <signal.h>
#include <stdlib.h>
#include <string.h>

#include "loop/http_internal.h"

enum { GROUPS_MAX = 4096, N_HANDLES = 4 };
static const int64_t RATE_MAX = 1000000000000; /* bytes per second */

static void on_turn(uv_idle_t *turn);
static void on_bound(uv_timer_t *timer);

int64_t http_now_ms(const struct http_client *client)
{
    return (int64_t)uv_now(client->loop);
}

void http_kick(struct http_client *client)
{
    if (!client->closed)
        uv_idle_start(&client->turn, on_turn);
}

void http_bound_arm(struct http_client *client, int64_t due)
{
    if (due >= client->bound_due || client->closed)
        return;
    client->bound_due = due;
    uv_update_time(client->loop);
    int64_t wait = due - http_now_ms(client);
    uv_timer_start(&client->bound_timer, on_bound, wait > 0 ? (uint64_t)wait : 0, 0);
}

/* -- lists -- */

void http_list_push(struct http_list *list, struct http_request *request)
{
    request->previous = list->tail;
    request->next = NULL;
    if (list->tail)
        list->tail->next = request;
    else
        list->head = request;
    list->tail = request;
}

void http_list_remove(struct http_list *list, struct http_request *request)
{
    if (request->previous)
        request->previous->next = request->next;
    else
        list->head = request->next;
    if (request->next)
        request->next->previous = request->previous;
    else
        list->tail = request->previous;
    request->previous = request->next = NULL;
}

static void enlist(struct http_client *client, struct http_request *request)
{
    request->all_next = client->requests;
    if (request->all_next)
        request->all_next->all_previous = request;
    client->requests = request;
}

static void delist(struct http_client *client, struct http_request *request)
{
    if (request->all_next)
        request->all_next->all_previous = request->all_previous;
    if (request->all_previous)
        request->all_previous->all_next = request->all_next;
    else
        client->requests = request->all_next;
}

/* -- groups -- */

/* Something may start: sees to it that the next turn does. */
static void group_check(struct http_group *group)
{
    struct http_client *client = group->client;
    if (group->waiting.head == NULL || (group->max_active > 0 && group->active >= group->max_active))
        return;
    if (!group->ready) {
        group->ready = true;
        group->next_ready = client->ready;
        client->ready = group;
    }
    http_kick(client);
}

static struct http_group *group_new(struct http_client *client, const char *name)
{
    if (client->n_groups >= GROUPS_MAX)
        return NULL;
    struct http_group *group = calloc(1, sizeof *group);
    if (group == NULL || (group->name = strdup(name)) == NULL) {
        free(group);
        return NULL;
    }
    group->client = client;
    group->next = client->groups;
    client->groups = group;
    client->n_groups++;
    return group;
}

struct http_group *http_client_group(struct http_client *client, const char *name, int max_active,
                                     int64_t bytes_per_second)
{
    struct http_group *group = client->groups;
    while (group && strcmp(group->name, name) != 0)
        group = group->next;
    if (group == NULL && (group = group_new(client, name)) == NULL)
        return NULL;
    group->max_active = max_active;
    group_check(group);
    group->bytes_per_second = bytes_per_second < 0          ? 0
                              : bytes_per_second < RATE_MAX ? bytes_per_second
                                                            : RATE_MAX;
    http_pace_changed(client);
    return group;
}

/* -- the life of a request -- */

static struct http_list *list_of(struct http_request *request)
{
    switch (request->state) {
    case HTTP_WAITING:
        return &request->group->waiting;
    case HTTP_RUNNING:
        return &request->client->running;
    case HTTP_ENDED:
        break;
    }
    return &request->client->ended;
}

static void move(struct http_request *request, enum http_state state)
{
    http_list_remove(list_of(request), request);
    request->state = state;
    http_list_push(list_of(request), request);
}

void http_request_end(struct http_request *request, const struct error *err)
{
    if (request->state == HTTP_ENDED && !request->repeat)
        return;
    request->repeat = false;
    if (err)
        request->err = *err;
    if (request->err.code != 0 && request->err.native[0] == '\0' && request->sent)
        memcpy(request->err.native, "sent", sizeof "sent");
    http_pace_forget(request);
    move(request, HTTP_ENDED);
    http_kick(request->client);
}

void http_request_repeat(struct http_request *request)
{
    request->repeat = true;
    http_pace_forget(request);
    move(request, HTTP_ENDED);
    http_kick(request->client);
}

static void start(struct http_request *request)
{
    struct http_client *client = request->client;
    struct error err;
    move(request, HTTP_RUNNING);
    if (!request->counted)
        request->group->active++;
    request->counted = true;
    if (http_request_open(request, &err) != 0) {
        http_request_end(request, &err);
        return;
    }
    CURLMcode rc = curl_multi_add_handle(client->multi, request->easy);
    request->added = rc == CURLM_OK;
    if (!request->added) {
        error_set(&err, ERROR_SYSTEM, true, "%s: libcurl: %s", request->origin, curl_multi_strerror(rc));
        http_request_end(request, &err);
        return;
    }
    http_bound_arm(client, http_now_ms(client) + request->ask.stall_timeout_ms);
}

static void start_ready(struct http_client *client)
{
    struct http_group *group;
    while ((group = client->ready)) {
        client->ready = group->next_ready;
        group->ready = false;
        while (group->waiting.head && (group->max_active <= 0 || group->active < group->max_active))
            start(group->waiting.head);
    }
}

/* No watch may point to what is going to be freed; libcurl has taken its sockets back by now. */
static void let_go(struct http_request *request)
{
    struct http_client *client = request->client;
    if (request->added)
        curl_multi_remove_handle(client->multi, request->easy);
    request->added = false;
    http_request_shut(request);
    for (struct http_watch *w = client->watches; w; w = w->next)
        if (w->request == request)
            w->request = NULL;
    request->watch = NULL;
}

static void tell(struct http_request *request)
{
    const struct http_response response = {
        .status = request->status,
        .body = strbuf_cstr(&request->kept.body),
        .body_size = request->kept.body.size,
        .received = request->kept.received,
        .header = http_kept_header,
        .headers = &request->kept.headers,
    };
    bool failed = request->err.code != 0;
    request->ask.done(request->ask.data, failed ? NULL : &response, failed ? &request->err : NULL);
}

static void tell_ended(struct http_client *client)
{
    struct http_request *request;
    while ((request = client->ended.head)) {
        let_go(request);
        if (request->repeat) {
            request->repeat = false;
            request->repeated = true;
            start(request);
            continue;
        }
        if (request->counted) {
            request->group->active--;
            group_check(request->group);
        }
        tell(request); /* it stays in the list meanwhile: a cancel in there does nothing */
        http_list_remove(&client->ended, request);
        delist(client, request);
        http_request_free(request);
    }
    if (client->requests == NULL && client->bound_due != INT64_MAX) {
        client->bound_due = INT64_MAX;
        uv_timer_stop(&client->bound_timer);
    }
}

/* -- the turn -- */

static void free_client(struct http_client *client)
{
    while (client->groups) {
        struct http_group *group = client->groups;
        client->groups = group->next;
        free(group->name);
        free(group);
    }
    free(client->user_agent);
    free(client);
}

void http_release_handle(struct http_client *client)
{
    if (--client->n_handles > 0)
        return;
    void (*on_closed)(void *) = client->on_closed;
    void *data = client->closed_data;
    free_client(client);
    if (on_closed)
        on_closed(data);
}

static void on_own_handle_closed(uv_handle_t *handle)
{
    http_release_handle(handle->data);
}

static void shut_down(struct http_client *client)
{
    client->closed = true;
    curl_multi_cleanup(client->multi);
    while (client->watches)
        http_watch_drop(client->watches);
    uv_close((uv_handle_t *)&client->turn, on_own_handle_closed);
    uv_close((uv_handle_t *)&client->curl_timer, on_own_handle_closed);
    uv_close((uv_handle_t *)&client->bound_timer, on_own_handle_closed);
    uv_close((uv_handle_t *)&client->pace_timer, on_own_handle_closed);
}

static void on_turn(uv_idle_t *turn)
{
    struct http_client *client = turn->data;
    uv_idle_stop(turn);
    if (client->poke) {
        client->poke = false;
        http_curl_action(client, CURL_SOCKET_TIMEOUT, 0);
    }
    tell_ended(client);
    if (client->closing)
        shut_down(client);
    else
        start_ready(client);
}

static void on_bound(uv_timer_t *timer)
{
    struct http_client *client = timer->data;
    int64_t now = http_now_ms(client), soonest = INT64_MAX;
    client->bound_due = INT64_MAX;
    for (struct http_request *request = client->requests; request; request = request->all_next) {
        struct error err;
        int64_t due = INT64_MAX;
        if (request->state == HTTP_ENDED)
            continue;
        if (http_request_overdue(request, now, &due, &err))
            http_request_end(request, &err);
        else if (due < soonest)
            soonest = due;
    }
    if (soonest != INT64_MAX)
        http_bound_arm(client, soonest);
}

/* -- public -- */

/* OpenSSL writes with write(): a peer that is gone must be an error, not the end of the program. */
static void ignore_sigpipe(void)
{
    struct sigaction action;
    if (sigaction(SIGPIPE, NULL, &action) == 0 && action.sa_handler == SIG_DFL)
        signal(SIGPIPE, SIG_IGN);
}

static CURLcode global_code;

static void global_once(void)
{
    global_code = curl_global_init(CURL_GLOBAL_DEFAULT);
}

static int global_init(struct error *err)
{
    static uv_once_t once = UV_ONCE_INIT;
    uv_once(&once, global_once);
    if (global_code == CURLE_OK)
        return 0;
    return error_set(err, ERROR_SYSTEM, false, "libcurl can't be set up: %s",
                     curl_easy_strerror(global_code));
}

int http_client_new(uv_loop_t *loop, const struct http_options *options, struct http_client **ret_client,
                    struct error *err)
{
    static const struct http_options defaults;
    if (options == NULL)
        options = &defaults;
    if (global_init(err) != 0)
        return ERROR_SYSTEM;
    struct http_client *client = calloc(1, sizeof *client);
    if (client == NULL)
        return error_set(err, ERROR_SYSTEM, true, "out of memory");
    client->loop = loop;
    client->ungrouped.client = client;
    client->bound_due = INT64_MAX;
    client->connect_timeout_ms = options->connect_timeout_ms > 0 ? options->connect_timeout_ms : 15000;
    client->stall_timeout_ms = options->stall_timeout_ms > 0 ? options->stall_timeout_ms : 60000;
    client->user_agent = strdup(options->user_agent ? options->user_agent : "BackupManager/" BM_VERSION);
    client->multi = curl_multi_init();
    long connections = options->max_connections > 0 ? options->max_connections : 256;
    int rc = 0;
    if (client->user_agent == NULL || client->multi == NULL ||
        curl_multi_setopt(client->multi, CURLMOPT_MAXCONNECTS, connections) != CURLM_OK)
        rc = error_set(err, ERROR_SYSTEM, true, "libcurl can't be set up: out of memory");
    else
        rc = http_socket_set_up(client, err);
    if (rc != 0) {
        curl_multi_cleanup(client->multi);
        free_client(client);
        return rc;
    }
    ignore_sigpipe();
    uv_idle_init(loop, &client->turn);
    uv_timer_init(loop, &client->curl_timer);
    uv_timer_init(loop, &client->bound_timer);
    uv_timer_init(loop, &client->pace_timer);
    client->turn.data = client->curl_timer.data = client->bound_timer.data = client->pace_timer.data = client;
    client->n_handles = N_HANDLES;
    *ret_client = client;
    return 0;
}

void http_client_set_stall_timeout(struct http_client *client, int64_t stall_timeout_ms)
{
    client->stall_timeout_ms = stall_timeout_ms;
}

static void cancel(struct http_request *request, const char *why)
{
    struct error err;
    error_set(&err, ERROR_CANCELLED, true, "%s: %s", request->origin, why);
    http_request_end(request, &err);
}

void http_client_close(struct http_client *client, void (*on_closed)(void *data), void *data)
{
    if (client == NULL || client->closing)
        return;
    client->closing = true;
    client->on_closed = on_closed;
    client->closed_data = data;
    for (struct http_request *request = client->requests; request; request = request->all_next)
        cancel(request, "the client was closed");
    http_kick(client);
}

int http_start(struct http_client *client, const struct http_ask *ask, struct http_request **ret_request,
               struct error *err)
{
    struct http_request *request;
    if (client->closing)
        return error_set(err, ERROR_CANCELLED, true, "HTTP: the client is being closed");
    uv_update_time(client->loop); /* a program that was busy for long must not be out of time at once */
    int rc = http_request_new(client, ask, &request, err);
    if (rc != 0)
        return rc;
    enlist(client, request);
    http_list_push(&request->group->waiting, request);
    group_check(request->group);
    http_bound_arm(client, request->total_due);
    if (ret_request)
        *ret_request = request;
    return 0;
}

void http_cancel(struct http_request *request)
{
    cancel(request, "cancelled");
}
