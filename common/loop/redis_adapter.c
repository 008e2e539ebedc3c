#include "loop/redis_adapter.h"

#include <stdlib.h>

struct redis_adapter {
    uv_poll_t handle;
    redisAsyncContext *ac; /* NULL once hiredis has let go */
    struct redis_adapter_events events;
    int wanted;
    int watched;
};

static void add_read(void *data)
{
    ((struct redis_adapter *)data)->wanted |= UV_READABLE;
}

static void del_read(void *data)
{
    ((struct redis_adapter *)data)->wanted &= ~UV_READABLE;
}

static void add_write(void *data)
{
    ((struct redis_adapter *)data)->wanted |= UV_WRITABLE;
}

static void del_write(void *data)
{
    ((struct redis_adapter *)data)->wanted &= ~UV_WRITABLE;
}

static void on_poll_closed(uv_handle_t *handle)
{
    struct redis_adapter *a = handle->data;
    struct redis_adapter_events events = a->events;
    free(a);
    events.on_closed(events.data);
}

/* hiredis closes the descriptor next, so libuv must have let go of it when this returns. */
static void cleanup(void *data)
{
    struct redis_adapter *a = data;
    if (a->ac == NULL)
        return;
    a->ac = NULL;
    uv_poll_stop(&a->handle);
    uv_close((uv_handle_t *)&a->handle, on_poll_closed);
}

static void on_socket(uv_poll_t *handle, int status, int events)
{
    struct redis_adapter *a = handle->data;
    if (a->ac == NULL)
        return;
    if (status < 0) {
        events = a->wanted;
        a->watched = 0; /* libuv stops watching after an error */
    }
    if (events & UV_READABLE)
        redisAsyncHandleRead(a->ac);
    if (a->ac && (events & UV_WRITABLE))
        redisAsyncHandleWrite(a->ac);
    bool broken = a->ac && (status < 0 || redis_adapter_apply(a) != 0);
    a->events.on_activity(a->events.data, broken);
}

int redis_adapter_apply(struct redis_adapter *a)
{
    if (a->ac == NULL || a->wanted == a->watched)
        return 0;
    a->watched = a->wanted;
    return a->wanted ? uv_poll_start(&a->handle, a->wanted, on_socket) : uv_poll_stop(&a->handle);
}

int redis_adapter_attach(uv_loop_t *loop, redisAsyncContext *ac, const struct redis_adapter_events *events,
                         struct redis_adapter **ret_adapter)
{
    struct redis_adapter *a = calloc(1, sizeof *a);
    if (a == NULL)
        return UV_ENOMEM;
    int rc = uv_poll_init(loop, &a->handle, ac->c.fd);
    if (rc != 0) {
        free(a);
        return rc;
    }
    a->handle.data = a;
    a->ac = ac;
    a->events = *events;
    ac->ev.data = a;
    ac->ev.addRead = add_read;
    ac->ev.delRead = del_read;
    ac->ev.addWrite = add_write;
    ac->ev.delWrite = del_write;
    ac->ev.cleanup = cleanup;
    *ret_adapter = a;
    return 0;
}
