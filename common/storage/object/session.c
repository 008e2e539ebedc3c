#include "storage/object/session.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "storage/object/learned.h"
#include "storage/object/protocol.h"

/* Outlives the session, as its timer must be closed by the loop. */
struct object_opening {
    uv_timer_t timer; /* the loop turn that on_open waits for */
    struct object_session *session;
    struct secrets_wait *wait;
    void (*on_open)(void *data, const struct error *err);
    void *data;
};

static void join_group(struct object_session *session, const struct storage_location *location)
{
    char name[640];
    if (location->destination)
        snprintf(name, sizeof name, "destination %s", location->destination);
    else
        snprintf(name, sizeof name, "%s %s/%s", location->storage_type, session->endpoint,
                 session->container);
    session->group =
        http_client_group(session->access->http, name, session->max_requests, location->bandwidth_limit);
}

int object_session_init(struct object_session *session, const struct object_protocol *protocol,
                        uv_loop_t *loop, const struct storage_location *location, struct error *err)
{
    memset(session, 0, protocol->session_size);
    session->protocol = protocol;
    session->loop = loop;
    session->access = location->access;
    int rc = protocol->session_init(session, location, err);
    if (rc < 0) {
        memset(session, 0, protocol->session_size);
        return rc;
    }
    if (location->access == NULL) {
        object_session_deinit(session);
        return error_set(err, ERROR_UNSUPPORTED, false,
                         "storage type '%s' needs the network, which this program has not opened",
                         location->storage_type);
    }
    if (location->credentials_ref && *location->credentials_ref)
        session->credentials_ref = location->credentials_ref;
    join_group(session, location);
    return 0;
}

static void on_timer_closed(uv_handle_t *handle)
{
    free(handle->data);
}

static void opening_end(struct object_session *session)
{
    struct object_opening *opening = session->opening;
    session->opening = NULL;
    if (opening->wait)
        secrets_forget(opening->wait);
    uv_close((uv_handle_t *)&opening->timer, on_timer_closed);
}

/* Ends the opening, then tells: the owner may end the session meanwhile. */
static void opened(struct object_session *session, const struct error *err)
{
    void (*on_open)(void *data, const struct error *err) = session->opening->on_open;
    void *data = session->opening->data;
    opening_end(session);
    on_open(data, err);
}

static void on_timer(uv_timer_t *timer)
{
    struct object_opening *opening = timer->data;
    opened(opening->session, NULL);
}

static void on_secret(void *data, const char *secret, const struct error *err)
{
    struct object_opening *opening = data;
    struct object_session *session = opening->session;
    struct error own = {0};
    opening->wait = NULL;
    if (err)
        own = *err;
    else
        session->protocol->take_secret(session, secret, &own);
    if (own.code)
        error_context(&own, "%s '%s': %s", session->protocol->container_word, session->container,
                      session->secret_for);
    opened(session, own.code ? &own : NULL);
}

int object_session_open(struct object_session *session, void (*on_open)(void *data, const struct error *err),
                        void *data, struct error *err)
{
    struct object_opening *opening = calloc(1, sizeof *opening);
    if (opening == NULL)
        return error_set(err, ERROR_SYSTEM, true, "out of memory");
    opening->session = session;
    opening->on_open = on_open;
    opening->data = data;
    uv_timer_init(session->loop, &opening->timer);
    opening->timer.data = opening;
    session->opening = opening;
    if (session->secret_ref == NULL) {
        uv_timer_start(&opening->timer, on_timer, 0, 0);
        return 0;
    }
    int rc =
        secrets_get(session->access->secrets, session->secret_ref, on_secret, opening, &opening->wait, err);
    if (rc < 0)
        opening_end(session);
    return rc;
}

void object_session_deinit(struct object_session *session)
{
    const struct object_protocol *protocol = session->protocol;
    if (protocol == NULL)
        return;
    if (session->opening)
        opening_end(session);
    if (protocol->session_deinit)
        protocol->session_deinit(session);
    memset(session, 0, protocol->session_size);
}

int64_t object_session_now_ms(const struct object_session *session)
{
    return clock_wall_ms() + object_learned_clock_ms(session->endpoint);
}
