/*
 * Two made-up protocols for object/put: one whose uploads need no request to begin (blocks), and one that
 * sends a stream. Behind both is a store in memory whose answers the test scripts, and which writes down what
 * it was asked, a letter each. One upload is run against it to its end.
 */
#pragma once

#include "harness.h"

#include "auth/access.h"
#include "base/crc64.h"
#include "base/settings.h"
#include "storage/object/protocol.h"
#include "storage/object/put.h"

#define KEY "shop/dump.sql.gz"
#define PART ((size_t)64 << 10)

/* --- the store --- */

/* What the hooks do, in their order: a letter each. */
#define LOOK 'L'
#define SINGLE '1'
#define REMOVE 'D'
#define NAME 'N'
#define CREATE 'C'
#define LIST 'l'
#define ABORT 'A'
#define PART_SENT 'p'
#define COMPLETE 'c'
#define TRANSFER 't'
#define READ 'R'
#define SAVE 'S'
#define FORGET 'F'

struct answer_rule {
    char hook;
    int nth; /* of its kind, from 1; 0 = each */
    enum object_put_outcome outcome;
    int code; /* of the error; retryable */
    bool done_all_the_same;
};

#define MAX_RULES 6

static struct {
    /* scripted */
    struct answer_rule rules[MAX_RULES];
    bool differs;     /* the checksum that look tells */
    bool says_sha256; /* look tells our metadata */
    bool whole_md5, single;
    unsigned part_sums, first_wanted;
    int parallel, pauses;
    bool listed_by_crc32c, listed_recorded, listed_is_complete;
    int cancel_at; /* a letter: cancelled when this hook is called */

    /* what came of it */
    char trace[256];
    bool exists;
    char fence[24];
    unsigned char *data;
    size_t size;
    bool have[64];
    char blocks[64][16];
    int names;
    unsigned char md5[RANGE_MD5_BYTES];
    bool has_md5;
    uint32_t crc32c;
    bool has_crc32c;
    char aborted[64];
} store;

static void trace(char what)
{
    size_t n = strlen(store.trace);
    assert_true(n + 1 < sizeof store.trace);
    store.trace[n] = what;
}

static int times(char what)
{
    int n = 0;
    for (const char *at = store.trace; *at; at++)
        n += *at == what;
    return n;
}

/* An answer that comes from the loop. */
struct answer {
    uv_timer_t timer;
    struct object_put *put;
    struct object_put_sender *sender;
    enum object_put_outcome outcome;
    struct error err;
    bool looked;
};

static void on_answer_closed(uv_handle_t *handle)
{
    free(handle->data);
}

static void give_look(struct object_put *put)
{
    char row_id[24];
    snprintf(row_id, sizeof row_id, "%lld", (long long)put->request->row_id);
    struct object_put_seen seen = {.size = store.size, .checksum_differs = store.differs};
    if (store.says_sha256) {
        seen.sha256 = put->request->sha256;
        seen.row_id = row_id;
        seen.fence = store.fence;
    }
    object_put_looked(put, store.exists ? &seen : NULL);
}

static void on_answer(uv_timer_t *timer)
{
    struct answer *answer = timer->data;
    struct answer given = *answer;
    uv_close((uv_handle_t *)timer, on_answer_closed);
    const struct error *err = given.err.code ? &given.err : NULL;
    if (given.sender) {
        char tag[24];
        snprintf(tag, sizeof tag, "tag-%u", given.sender->number);
        object_put_part_answered(given.sender, given.outcome, given.outcome == OBJECT_PUT_OK ? tag : NULL,
                                 err);
    } else if (given.looked && err == NULL) {
        give_look(given.put);
    } else {
        object_put_answered(given.put, given.outcome, err);
    }
}

/* The outcome that the script has for this call of the hook; OK without one. *ret_done: the store has done it
 * all the same. */
static struct answer *answer(struct object_put *put, char hook, bool *ret_done)
{
    struct answer *later = calloc(1, sizeof *later);
    trace(hook);
    later->put = put;
    *ret_done = true;
    for (size_t i = 0; i < MAX_RULES && store.rules[i].hook; i++) {
        const struct answer_rule *rule = &store.rules[i];
        if (rule->hook != hook || (rule->nth && rule->nth != times(hook)))
            continue;
        later->outcome = rule->outcome;
        if (rule->code)
            error_set(&later->err, rule->code, true, "scripted");
        bool ok = rule->outcome == OBJECT_PUT_OK || rule->outcome == OBJECT_PUT_PROVEN;
        *ret_done = ok || rule->done_all_the_same;
    }
    uv_timer_init(put->request->loop, &later->timer);
    later->timer.data = later;
    uv_timer_start(&later->timer, on_answer, 0, 0);
    if (store.cancel_at == hook)
        storage_op_cancel(&put->op.base);
    return later;
}

static int simple(struct object_put *put, char hook)
{
    bool done;
    (void)answer(put, hook, &done);
    return 0;
}

static void arrive(struct object_put *put)
{
    store.exists = true;
    store.size = put->request->size;
    store.says_sha256 = true;
    snprintf(store.fence, sizeof store.fence, "%lld", (long long)put->begun_fence);
    store.has_md5 = object_put_md5(put, store.md5);
    store.has_crc32c = object_put_crc32c(put, &store.crc32c);
}

static int take_look(struct object_put *put, struct error *err)
{
    (void)err;
    bool done;
    answer(put, LOOK, &done)->looked = true;
    return 0;
}

static int take_single(struct object_put *put, struct error *err)
{
    (void)err;
    bool done;
    (void)answer(put, SINGLE, &done);
    if (done)
        arrive(put);
    return 0;
}

static int take_remove(struct object_put *put, struct error *err)
{
    (void)err;
    store.exists = false;
    return simple(put, REMOVE);
}

static char *encode(const struct object_put *put)
{
    char text[64];
    snprintf(text, sizeof text, "%s", put->upload_id ? put->upload_id : "none");
    return strdup(text);
}

static int take_up(struct object_put *put, struct error *err)
{
    const char *state = put->request->resume_state;
    return state ? object_put_take_up(put, state, 1, err) : 0;
}

static int init(struct object_put *put, struct error *err)
{
    put->single = store.single;
    put->conditional = true;
    put->first_wanted = store.first_wanted;
    put->part_sums = store.part_sums;
    put->whole_md5 = store.whole_md5;
    put->parallel = store.parallel ? store.parallel : 3;
    int rc = put->single || put->protocol->transfer
                 ? 0
                 : object_put_plan_parts(put, 0, 50000, 1, (uint64_t)4000 << 20, err);
    return rc ? rc : take_up(put, err);
}

/* --- blocks --- */

static int draw_name(struct object_put *put, struct error *err)
{
    char name[16];
    trace(NAME);
    snprintf(name, sizeof name, "prefix-%d", ++store.names);
    return object_put_set_upload(put, name, err);
}

static int list_blocks(struct object_put *put, struct error *err)
{
    (void)err;
    for (uint32_t i = 0; store.have[0] && i < put->plan.count; i++) {
        uint64_t size = part_plan_size(&put->plan, i + 1);
        struct object_part_listed listed = {
            .number = i + 1, .size = size, .tag = store.blocks[i], .recorded = store.listed_recorded};
        listed.crc32c = part_crc32c(0, store.data + part_plan_offset(&put->plan, i + 1), size);
        if (store.listed_by_crc32c)
            listed.told = RANGE_CRC32C;
        if (store.have[i])
            object_put_part_listed(put, &listed);
    }
    return simple(put, LIST);
}

static int take_part(struct object_put_sender *sender, const struct object_put_part_sums *sums,
                     struct error *err)
{
    (void)err;
    bool done;
    struct object_put *put = sender->put;
    answer(put, PART_SENT, &done)->sender = sender;
    assert_int_equal(sums->known & put->part_sums, put->part_sums);
    if (done) {
        ssize_t n =
            pread(put->request->source_fd, store.data + sender->offset, sender->size, (off_t)sender->offset);
        assert_int_equal(n, sender->size);
        if (sums->known & RANGE_CRC32C)
            assert_int_equal(sums->sums.crc32c, part_crc32c(0, store.data + sender->offset, sender->size));
        assert_int_equal((sums->known & RANGE_CRC64) != 0, put->digests_fit);
        if (put->digests_fit)
            assert_true(sums->sums.crc64 == crc64_nvme(0, store.data + sender->offset, sender->size));
        store.have[sender->number - 1] = true;
        snprintf(store.blocks[sender->number - 1], sizeof store.blocks[0], "block-%u", sender->number);
    }
    sender->call = (struct object_call *)sender; /* in use; never cancelled in these tests */
    return 0;
}

static int complete(struct object_put *put, struct error *err)
{
    (void)err;
    bool done;
    (void)answer(put, COMPLETE, &done);
    for (uint32_t i = 0; i < put->plan.count; i++) {
        assert_int_equal(put->parts[i].state, OBJECT_PART_DONE);
        assert_non_null(put->parts[i].tag);
    }
    if (done)
        arrive(put);
    return 0;
}

/* --- a stream --- */

static int create(struct object_put *put, struct error *err)
{
    bool done;
    char name[16];
    (void)answer(put, CREATE, &done);
    snprintf(name, sizeof name, "session-%d", ++store.names);
    return done ? object_put_set_upload(put, name, err) : 0;
}

static int ask_offset(struct object_put *put, struct error *err)
{
    (void)err;
    put->completed = store.listed_is_complete;
    if (store.listed_is_complete)
        arrive(put);
    return simple(put, LIST);
}

static int transfer(struct object_put *put, struct error *err)
{
    (void)err;
    bool done;
    if (store.pauses-- > 0) {
        trace('.');
        object_put_pause(put, store.cancel_at == '.' ? INT64_C(3600000) : 1);
        if (store.cancel_at == '.')
            storage_op_cancel(&put->op.base);
        return 0;
    }
    (void)answer(put, TRANSFER, &done);
    if (done)
        arrive(put);
    return 0;
}

static uint64_t progress(const struct object_put *put)
{
    return put->request->size / 2;
}

static int abort_stream(struct object_put *put, const char *id, struct error *err)
{
    (void)err;
    snprintf(store.aborted, sizeof store.aborted, "%s", id);
    return simple(put, ABORT);
}

/* --- what the engine needs beside --- */

static int check_key(const char *key, struct error *err)
{
    return *key ? 0 : error_set(err, ERROR_UNSAFE_PATH, false, "no key");
}

static int session_init(struct object_session *session, const struct storage_location *location,
                        struct error *err)
{
    (void)location, (void)err;
    session->container = "box";
    session->endpoint = "memory";
    session->max_requests = 4;
    return 0;
}

struct reading {
    uv_timer_t timer;
    struct storage_op op;
    struct storage_get *get;
};

static void on_reading_closed(uv_handle_t *handle)
{
    free(handle->data);
}

static void on_read(uv_timer_t *timer)
{
    struct reading *reading = timer->data;
    struct storage_get *get = reading->get;
    char sha256[STORAGE_SHA256_SIZE];
    harness_sha256(store.data, store.size, sha256);
    uv_close((uv_handle_t *)timer, on_reading_closed);
    get->done(get, store.size, sha256, NULL);
}

static int get_start(struct storage_get *get, struct storage_op **ret_op, struct error *err)
{
    (void)err;
    struct reading *reading = calloc(1, sizeof *reading);
    trace(READ);
    reading->get = get;
    uv_timer_init(get->loop, &reading->timer);
    reading->timer.data = reading;
    uv_timer_start(&reading->timer, on_read, 0, 0);
    *ret_op = &reading->op;
    return 0;
}

static const struct storage_driver driver = {
    .name = "memory", .get_start = get_start, .op_cancel = object_op_cancel};

static const struct object_protocol memory = {.driver = &driver,
                                              .container_word = "box",
                                              .check_key = check_key,
                                              .session_size = sizeof(struct object_session),
                                              .session_init = session_init};

static const struct object_put_protocol blocks = {.store = &memory,
                                                  .size = sizeof(struct object_put),
                                                  .init = init,
                                                  .look = take_look,
                                                  .single = take_single,
                                                  .remove = take_remove,
                                                  .encode = encode,
                                                  .name = draw_name,
                                                  .list = list_blocks,
                                                  .part = take_part,
                                                  .complete = complete};

static const struct object_put_protocol stream = {.store = &memory,
                                                  .size = sizeof(struct object_put),
                                                  .init = init,
                                                  .look = take_look,
                                                  .single = take_single,
                                                  .remove = take_remove,
                                                  .encode = encode,
                                                  .create = create,
                                                  .list = ask_offset,
                                                  .abort = abort_stream,
                                                  .transfer = transfer,
                                                  .progress = progress};

/* --- an upload run to its end --- */

struct run {
    const struct artifact *artifact;
    const struct part_digests *digests;
    const char *resume_state;
    int64_t fence; /* 0 = 1 */
    const char *sha256;

    int done;
    struct storage_put_result result;
    struct error err;
    char saved[64];
    uv_loop_t loop;
    struct storage_put put;
    uv_timer_t timer;
    void (*saved_cb)(void *arg, bool ours);
    void *saved_arg;
};

static void on_save_answered(uv_timer_t *timer)
{
    struct run *run = timer->data;
    void (*saved)(void *arg, bool ours) = run->saved_cb;
    run->saved_cb = NULL;
    saved(run->saved_arg, true);
}

static void save(struct storage_put *put, const char *state, void (*saved)(void *, bool), void *arg)
{
    struct run *run = put->data;
    assert_null(run->saved_cb);
    trace(state ? SAVE : FORGET);
    snprintf(run->saved, sizeof run->saved, "%s", state ? state : "");
    run->saved_cb = saved;
    run->saved_arg = arg;
    uv_timer_start(&run->timer, on_save_answered, 0, 0);
}

static void on_run_done(struct storage_put *put, const struct storage_put_result *result,
                        const struct error *err)
{
    struct run *run = put->data;
    assert_null(run->saved_cb);
    run->done++;
    if (result)
        run->result = *result;
    else
        run->err = *err;
}

static inline void upload(const struct object_put_protocol *protocol, struct run *run)
{
    struct access *access;
    struct storage_op *op;
    struct error err = {0};
    struct settings settings = {.credentials_default = (char *)"",
                                .encryption_key_ref = (char *)"",
                                .legacy_encryption_key_ref = (char *)""};
    const struct artifact *a = run->artifact;
    uv_loop_init(&run->loop);
    if (access_new(&run->loop, &settings, &access, &err) < 0)
        fail_msg("%s", err.message);
    uv_timer_init(&run->loop, &run->timer);
    run->timer.data = run;
    free(store.data);
    store.data = calloc(1, a->size + 1);
    if (store.have[0])
        memcpy(store.data, a->data, a->size);
    run->put = (struct storage_put){.loop = &run->loop,
                                    .location = {.storage_type = "memory", .access = access},
                                    .key = KEY,
                                    .source_fd = a->fd,
                                    .size = a->size,
                                    .sha256 = run->sha256 ? run->sha256 : a->sha256,
                                    .row_id = 7,
                                    .fence = run->fence ? run->fence : 1,
                                    .part_digests = run->digests,
                                    .resume_state = run->resume_state,
                                    .save = save,
                                    .done = on_run_done,
                                    .data = run};
    if (object_put_start(protocol, &run->put, &op, &run->err) == 0)
        while (run->done == 0 && uv_run(&run->loop, UV_RUN_ONCE))
            ;
    uv_close((uv_handle_t *)&run->timer, NULL);
    access_close(access, NULL, NULL);
    assert_int_equal(uv_run(&run->loop, UV_RUN_DEFAULT), 0);
    assert_int_equal(uv_loop_close(&run->loop), 0);
}

static inline void expect(const struct run *run, const char *traced, int code, bool retryable)
{
    if (run->err.code != code || (code && run->err.retryable != retryable))
        fail_msg("expected %d, got %d, retryable %d: %s", code, run->err.code, run->err.retryable,
                 run->err.message);
    assert_int_equal(run->done, 1);
    assert_string_equal(store.trace, traced);
    if (code == 0)
        assert_int_equal(run->put.bytes_done, run->artifact->size);
}

static inline void expect_arrived(const struct artifact *a)
{
    assert_true(store.exists);
    assert_memory_equal(store.data, a->data, a->size);
}

static void script(struct answer_rule rule)
{
    for (size_t i = 0; i < MAX_RULES; i++) {
        if (store.rules[i].hook == 0) {
            store.rules[i] = rule;
            return;
        }
    }
    fail_msg("too many rules");
}
