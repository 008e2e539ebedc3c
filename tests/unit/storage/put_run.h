/*
 * One upload run to its end against a scripted store: what it saved, cancelled where the test says.
 */
#pragma once

#include "fake_store.h"

#include "storage/object/put.h"

#define KEY "shop/2025/11/02/shop_20251102_080000.sql.gz"
#define KIB ((size_t)1 << 10)
#define MIB ((size_t)1 << 20)
#define PART (128 * KIB)

struct put_run {
    /* what is asked */
    const char *storage_type; /* NULL = the store's usual one */
    const char *members;      /* NULL = those for small parts */
    bool https;
    const struct artifact *artifact;
    const struct part_digests *digests;
    const char *resume_state;
    int64_t fence; /* 0 = 1 */
    bool without_save;
    bool check_order;            /* of a new upload's first saves */
    int stale_save;              /* this save (from 1) finds the row taken over; 0 = none */
    int cancel_in;               /* enum object_put_state, -1 = at once after the start, 0 = never */
    void (*on_save)(int number); /* called in the middle of a save */

    /* what came of it */
    int done;
    struct storage_put_result result;
    struct error err;
    uint64_t bytes_done;
    int saves, nulls;
    char *saved; /* the last state; NULL = none, or forgotten */

    struct storage_put put;
    struct storage_op *op;
    uv_idle_t idle;
    uv_timer_t answer;
    void (*saved_cb)(void *arg, bool ours);
    void *saved_arg;
};

static inline void on_save_answered(uv_timer_t *timer)
{
    struct put_run *run = timer->data;
    void (*saved)(void *arg, bool ours) = run->saved_cb;
    const struct object_put *self = (const struct object_put *)run->op;
    if (run->check_order && run->saves <= 2) /* nothing goes on before it is recorded */
        assert_int_equal(self->state, run->saves == 1 ? OBJECT_PUT_INTENT : OBJECT_PUT_RECORD);
    run->saved_cb = NULL;
    saved(run->saved_arg, run->saves != run->stale_save);
}

static inline void on_save(struct storage_put *put, const char *state, void (*saved)(void *, bool), void *arg)
{
    struct put_run *run = put->data;
    assert_null(run->saved_cb); /* one at a time */
    assert_int_equal(run->done, 0);
    run->saves++;
    run->nulls += state == NULL;
    free(run->saved);
    run->saved = state ? strdup(state) : NULL;
    run->saved_cb = saved;
    run->saved_arg = arg;
    if (run->on_save)
        run->on_save(run->saves);
    uv_timer_start(&run->answer, on_save_answered, 0, 0);
}

static inline void on_run_done(struct storage_put *put, const struct storage_put_result *result,
                               const struct error *err)
{
    struct put_run *run = put->data;
    assert_true((result == NULL) == (err != NULL));
    assert_null(run->saved_cb); /* not before the save's answer */
    run->done++;
    if (result)
        run->result = *result;
    else
        run->err = *err;
    run->op = NULL;
}

/* Cancels when the state's own work is under way. */
static inline void on_run_idle(uv_idle_t *idle)
{
    struct put_run *run = idle->data;
    struct object_put *self = (struct object_put *)run->op;
    if (self == NULL || (int)self->state != run->cancel_in)
        return;
    bool busy = self->waiting || self->saving || self->n_sending > 0;
    if (busy) {
        storage_op_cancel(run->op);
        storage_op_cancel(run->op); /* twice is as good as once */
        uv_idle_stop(idle);
    }
}

/* Ends the world too. */
static inline void run_upload_in(struct put_run *run, struct world *world)
{
    if (run->storage_type)
        world->location.storage_type = run->storage_type;
    run->put = (struct storage_put){.loop = &world->loop,
                                    .location = world->location,
                                    .key = KEY,
                                    .source_fd = run->artifact->fd,
                                    .size = run->artifact->size,
                                    .sha256 = run->artifact->sha256,
                                    .row_id = 301,
                                    .fence = run->fence ? run->fence : 1,
                                    .backup_id = 150,
                                    .part_digests = run->digests,
                                    .resume_state = run->resume_state,
                                    .save = run->without_save ? NULL : on_save,
                                    .done = on_run_done,
                                    .data = run};
    uv_idle_init(&world->loop, &run->idle);
    uv_timer_init(&world->loop, &run->answer);
    run->idle.data = run->answer.data = run;
    if (run->cancel_in > 0)
        uv_idle_start(&run->idle, on_run_idle);
    int rc = harness_driver(&run->put.location)->put_start(&run->put, &run->op, &run->err);
    assert_int_equal(run->done, 0);
    if (rc == 0 && run->cancel_in < 0)
        storage_op_cancel(run->op);
    if (rc == 0)
        world_run(world, &run->done);
    else
        assert_int_equal(rc, run->err.code);
    run->bytes_done = run->put.bytes_done;
    uv_close((uv_handle_t *)&run->idle, NULL);
    uv_close((uv_handle_t *)&run->answer, NULL);
    world_close(world);
}

/* secrets: NULL-terminated. */
static inline void expect_run_without(const struct put_run *run, int code, bool retryable, const char *text,
                                      const char *const *secrets)
{
    if (run->err.code != code || (code && run->err.retryable != retryable) ||
        (text && !strstr(run->err.message, text)))
        fail_msg("expected %d '%s', got %d, retryable %d: %s", code, text ? text : "", run->err.code,
                 run->err.retryable, run->err.message);
    for (; *secrets; secrets++)
        if (strstr(run->err.message, *secrets))
            fail_msg("'%s' in: %s", *secrets, run->err.message);
}

/* --- what the server has --- */

static inline json_t *state_list(json_t *state, const char *name)
{
    return json_object_get(state, name);
}

static inline int count_in_state(const char *name)
{
    json_t *state = fake_ask("GET", "/state", NULL);
    int n = (int)json_array_size(state_list(state, name));
    json_decref(state);
    return n;
}

static inline json_t *object_at_key(json_t *state)
{
    size_t i;
    json_t *object;
    json_array_foreach(state_list(state, "objects"), i,
                       object) if (strcmp(json_string_value(json_object_get(object, "key")), KEY) ==
                                   0) return object;
    return NULL;
}

static inline void expect_nothing_stored(int uploads)
{
    json_t *state = fake_ask("GET", "/state", NULL);
    assert_null(object_at_key(state));
    assert_int_equal(json_array_size(state_list(state, "uploads")), uploads);
    json_decref(state);
}

/* Value of a header of the nth (from 1) such request, in one of a few static buffers; "" = not sent. */
static inline const char *sent_header(const char *operation, int nth, const char *name)
{
    static char values[8][512];
    static int next;
    char *value = values[next++ % 8];
    value[0] = '\0';
    json_t *log = fake_ask("GET", "/log", NULL), *entry;
    size_t i;
    json_array_foreach(log, i, entry)
    {
        if (strcmp(json_string_value(json_object_get(entry, "operation")), operation) != 0 || --nth > 0)
            continue;
        const char *name_sent;
        json_t *sent;
        json_object_foreach(json_object_get(entry, "headers"), name_sent,
                            sent) if (strcasecmp(name_sent, name) == 0)
            snprintf(value, sizeof values[0], "%s", json_string_value(sent));
        break;
    }
    json_decref(log);
    return value;
}

static inline struct part_digests *digests_of(const struct artifact *a)
{
    struct part_digester *digester = part_digester_new();
    part_digester_update(digester, a->data, a->size);
    struct part_digests *digests = part_digester_finish(digester);
    part_digester_free(digester);
    assert_non_null(digests);
    return digests;
}
