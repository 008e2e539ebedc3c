/*
 * libcurl's multi_socket API on the loop. libcurl is called from uv callbacks only, and never from within its
 * own callbacks; a call it wants at once is made in the turn.
 */
#include <stdlib.h>

#include "loop/http_internal.h"

static void on_socket_event(uv_poll_t *poll, int status, int events);

static void on_watch_closed(uv_handle_t *handle)
{
    struct http_watch *watch = handle->data;
    struct http_client *client = watch->client;
    free(watch);
    http_release_handle(client);
}

static void break_off(struct http_request *request, const char *what, int status)
{
    if (request == NULL)
        return;
    struct error err;
    error_set(&err, ERROR_SYSTEM, true, "%s: %s: %s", request->origin, what, uv_strerror(status));
    http_request_end(request, &err);
}

/* Who waits for its group's bandwidth isn't told that it may send. */
static void apply(struct http_watch *watch)
{
    int events = watch->wanted;
    if (watch->request && watch->request->held[HTTP_SEND])
        events &= ~UV_WRITABLE;
    if (events == watch->watched)
        return;
    watch->watched = events;
    int rc = events ? uv_poll_start(&watch->poll, events, on_socket_event) : uv_poll_stop(&watch->poll);
    if (rc != 0)
        break_off(watch->request, "the socket can't be watched", rc);
}

void http_watch_request(struct http_request *request)
{
    if (request->watch)
        apply(request->watch);
}

static struct http_watch *watch_new(struct http_client *client, curl_socket_t fd,
                                    struct http_request *request)
{
    struct http_watch *watch = calloc(1, sizeof *watch);
    int rc = watch ? uv_poll_init_socket(client->loop, &watch->poll, fd) : UV_ENOMEM;
    if (rc != 0) {
        free(watch);
        break_off(request, "the socket can't be watched", rc);
        return NULL;
    }
    watch->poll.data = watch;
    watch->client = client;
    watch->next = client->watches;
    if (watch->next)
        watch->next->previous = watch;
    client->watches = watch;
    client->n_handles++;
    return watch;
}

void http_watch_drop(struct http_watch *watch)
{
    struct http_client *client = watch->client;
    if (watch->request && watch->request->watch == watch)
        watch->request->watch = NULL;
    if (watch->next)
        watch->next->previous = watch->previous;
    if (watch->previous)
        watch->previous->next = watch->next;
    else
        client->watches = watch->next;
    watch->request = NULL;
    uv_poll_stop(&watch->poll);
    uv_close((uv_handle_t *)&watch->poll, on_watch_closed);
}

/* CURLMOPT_SOCKETFUNCTION. libcurl closes a socket behind CURL_POLL_REMOVE, so libuv must have let go when
 * this returns; uv_poll_stop does. An error here would end all transfers of the handle, so none is returned.
 */
static int on_curl_socket(CURL *easy, curl_socket_t fd, int what, void *data, void *socket_data)
{
    struct http_client *client = data;
    struct http_watch *watch = socket_data;
    struct http_request *request = NULL;
    curl_easy_getinfo(easy, CURLINFO_PRIVATE, (char **)&request);
    if (what == CURL_POLL_REMOVE) {
        if (watch) {
            curl_multi_assign(client->multi, fd, NULL);
            http_watch_drop(watch);
        }
        return 0;
    }
    if (watch == NULL) {
        watch = watch_new(client, fd, request);
        if (watch == NULL)
            return 0;
        curl_multi_assign(client->multi, fd, watch);
    }
    watch->request = request;
    if (request)
        request->watch = watch;
    watch->wanted = (what & CURL_POLL_IN ? UV_READABLE : 0) | (what & CURL_POLL_OUT ? UV_WRITABLE : 0);
    apply(watch);
    return 0;
}

static void on_curl_timer(uv_timer_t *timer)
{
    http_curl_action(timer->data, CURL_SOCKET_TIMEOUT, 0);
}

/* CURLMOPT_TIMERFUNCTION; libcurl must not be called in here. */
static int on_curl_timeout(CURLM *multi, long timeout_ms, void *data)
{
    struct http_client *client = data;
    (void)multi;
    if (client->closed)
        return 0;
    client->poke = timeout_ms == 0;
    if (timeout_ms <= 0) {
        uv_timer_stop(&client->curl_timer);
        if (client->poke)
            http_kick(client);
        return 0;
    }
    uv_update_time(client->loop); /* or a loop that was busy would fire it too soon */
    uv_timer_start(&client->curl_timer, on_curl_timer, (uint64_t)timeout_ms, 0);
    return 0;
}

/* libuv stops watching after an error; libcurl learns what is wrong by reading and writing, and an answer
 * that came before the error is still there to be read. */
static void on_socket_event(uv_poll_t *poll, int status, int events)
{
    struct http_watch *watch = poll->data;
    struct http_client *client = watch->client;
    uv_os_fd_t fd;
    if (uv_fileno((const uv_handle_t *)poll, &fd) != 0)
        return;
    int flags = 0;
    if (status < 0) {
        flags = CURL_CSELECT_ERR | CURL_CSELECT_IN | CURL_CSELECT_OUT;
        watch->watched = 0;
    } else {
        struct http_request *request = watch->request;
        if (events & UV_WRITABLE && request && request->sending && !http_pace_may(request, HTTP_SEND)) {
            request->watch = watch;
            events &= ~UV_WRITABLE;
        }
        flags = (events & UV_READABLE ? CURL_CSELECT_IN : 0) | (events & UV_WRITABLE ? CURL_CSELECT_OUT : 0);
        apply(watch);
    }
    if (flags == 0)
        return;
    http_curl_action(client, fd, flags);
    if (status < 0 && !uv_is_closing((uv_handle_t *)poll))
        apply(watch);
}

static void break_off_all(struct http_client *client, CURLMcode code)
{
    while (client->running.head) {
        struct http_request *request = client->running.head;
        struct error err;
        error_set(&err, ERROR_SYSTEM, true, "%s: libcurl: %s", request->origin, curl_multi_strerror(code));
        http_request_end(request, &err);
    }
}

void http_curl_action(struct http_client *client, curl_socket_t fd, int events)
{
    int running;
    CURLMcode rc = curl_multi_socket_action(client->multi, fd, events, &running);
    CURLMsg *message;
    int left;
    while ((message = curl_multi_info_read(client->multi, &left))) {
        struct http_request *request = NULL;
        if (message->msg != CURLMSG_DONE)
            continue;
        curl_easy_getinfo(message->easy_handle, CURLINFO_PRIVATE, (char **)&request);
        http_request_finish(request, message->data.result);
    }
    if (rc != CURLM_OK && rc != CURLM_BAD_SOCKET)
        break_off_all(client, rc);
}

int http_socket_set_up(struct http_client *client, struct error *err)
{
    CURLM *multi = client->multi;
    if (curl_multi_setopt(multi, CURLMOPT_SOCKETFUNCTION, on_curl_socket) != CURLM_OK ||
        curl_multi_setopt(multi, CURLMOPT_SOCKETDATA, client) != CURLM_OK ||
        curl_multi_setopt(multi, CURLMOPT_TIMERFUNCTION, on_curl_timeout) != CURLM_OK ||
        curl_multi_setopt(multi, CURLMOPT_TIMERDATA, client) != CURLM_OK ||
        curl_multi_setopt(multi, CURLMOPT_PIPELINING, (long)CURLPIPE_NOTHING) != CURLM_OK)
        return error_set(err, ERROR_SYSTEM, true, "libcurl can't be set up");
    return 0;
}
