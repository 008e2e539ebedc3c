/*
 * hiredis on uv_poll. The packaged adapter drops poll errors, so that a refused connect is never told; this
 * one hands them to hiredis as whatever it was waiting for. What hiredis wants is passed on to libuv once per
 * turn rather than at each change.
 */
#pragma once

#include <hiredis/async.h>
#include <stdbool.h>
#include <uv.h>

struct redis_adapter;

struct redis_adapter_events {
    /* After hiredis has handled what the socket had to say; broken = libuv gave up watching it though hiredis
     * saw nothing wrong. The context may be gone. */
    void (*on_activity)(void *data, bool broken);
    void (*on_closed)(void *data); /* the poll handle is closed, the adapter freed */
    void *data;
};

/* 0 or a libuv error code. Attach before setting the connect callback. hiredis ends the adapter with the
 * context. */
int redis_adapter_attach(uv_loop_t *loop, redisAsyncContext *ac, const struct redis_adapter_events *events,
                         struct redis_adapter **ret_adapter);

/* Tells libuv what hiredis wants by now; 0 or a libuv error code. To be called after using the context
 * outside of on_activity. */
int redis_adapter_apply(struct redis_adapter *adapter);
