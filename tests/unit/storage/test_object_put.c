/*
 * What an upload does with a protocol whose uploads need no request to begin (blocks), and with one that
 * sends a stream. Both are made up here: a store in memory, whose answers the test scripts. S3's tests drive
 * the rest of it.
 */
#include "harness.h"

#include "auth/access.h"
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
    bool differs;      /* the checksum that look tells */
    bool says_sha256;  /* look tells our metadata */
    bool sees_foreign; /* another object stands there */
    bool whole_md5, single;
    unsigned part_sums, first_wanted;
    int parallel, pauses;
    bool listed_by_crc32c, listed_recorded, listed_is_complete;
    int cancel_at; /* a letter: cancelled when this hook is called */
    const char *found_upload;

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
    uint64_t progress;
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
        object_put_pause(put, 1);
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

static void upload(const struct object_put_protocol *protocol, struct run *run)
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

static void expect(const struct run *run, const char *traced, int code, bool retryable)
{
    if (run->err.code != code || (code && run->err.retryable != retryable))
        fail_msg("expected %d, got %d, retryable %d: %s", code, run->err.code, run->err.retryable,
                 run->err.message);
    assert_int_equal(run->done, 1);
    assert_string_equal(store.trace, traced);
    if (code == 0)
        assert_int_equal(run->put.bytes_done, run->artifact->size);
}

static void expect_arrived(const struct artifact *a)
{
    assert_true(store.exists);
    assert_memory_equal(store.data, a->data, a->size);
}

static struct artifact five;   /* parts, the last one smaller */
static struct artifact staged; /* two parts of the default plan */
static struct part_digests *staged_digests;

static int group_setup(void **state)
{
    (void)state;
    harness_make_root();
    five = artifact_make(4 * PART + 100, 1);
    staged = artifact_make(((size_t)16 << 20) + 5, 2);
    struct part_digester *digester = part_digester_new();
    part_digester_update(digester, staged.data, staged.size);
    staged_digests = part_digester_finish(digester);
    part_digester_free(digester);
    return 0;
}

static int group_teardown(void **state)
{
    (void)state;
    part_digests_free(staged_digests);
    artifact_free(&five);
    artifact_free(&staged);
    free(store.data);
    harness_remove_tree(harness_root);
    return 0;
}

static int setup(void **state)
{
    (void)state;
    free(store.data);
    memset(&store, 0, sizeof store);
    object_put_set_part_size(PART);
    return 0;
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

/* --- blocks --- */

/* The name is recorded before anything is sent, and only once: no part changes the state. */
static void a_named_upload(void **state)
{
    (void)state;
    store.part_sums = RANGE_MD5 | RANGE_CRC32C;
    store.whole_md5 = true;
    struct run run = {.artifact = &five};
    upload(&blocks, &run);
    expect(&run, "LNSpppppcL", 0, false);
    assert_false(run.result.existed);
    expect_arrived(&five);
    assert_string_equal(run.saved, "prefix-1");
    unsigned char md5[RANGE_MD5_BYTES];
    EVP_Digest(five.data, five.size, md5, NULL, EVP_md5(), NULL);
    assert_true(store.has_md5);
    assert_memory_equal(store.md5, md5, sizeof md5);
    assert_true(store.has_crc32c);
    assert_int_equal(store.crc32c, part_crc32c(0, five.data, five.size));
}

static void a_proven_completion_is_not_looked_at(void **state)
{
    (void)state;
    script((struct answer_rule){.hook = COMPLETE, .outcome = OBJECT_PUT_PROVEN});
    struct run run = {.artifact = &five};
    upload(&blocks, &run);
    expect(&run, "LNSpppppc", 0, false);
    expect_arrived(&five);
}

/* Names of blocks may hold their CRC32C: those are hashed and passed over, without a record of any. */
static void blocks_told_by_their_crc32c(void **state)
{
    (void)state;
    store.listed_by_crc32c = true;
    store.have[0] = store.have[1] = store.have[3] = true;
    store.part_sums = RANGE_MD5;
    store.whole_md5 = true;
    struct run run = {.artifact = &five, .resume_state = "prefix-9", .fence = 2};
    upload(&blocks, &run);
    expect(&run, "LlppcL", 0, false);
    expect_arrived(&five);
    unsigned char md5[RANGE_MD5_BYTES];
    EVP_Digest(five.data, five.size, md5, NULL, EVP_md5(), NULL);
    assert_memory_equal(store.md5, md5, sizeof md5); /* of those too that were there */

    setup(NULL); /* nothing is told: sent again */
    store.have[0] = store.have[1] = true;
    struct run untold = {.artifact = &five, .resume_state = "prefix-9"};
    upload(&blocks, &untold);
    expect(&untold, "LlpppppcL", 0, false);
}

static void a_block_of_other_bytes_is_sent_again(void **state)
{
    (void)state;
    struct artifact other = artifact_make(five.size, 9);
    store.listed_by_crc32c = true;
    store.part_sums = RANGE_CRC32C;
    struct run run = {.artifact = &five, .resume_state = "prefix-9"};
    store.have[1] = true; /* have[0]: upload() fills the store's bytes only then */
    store.have[0] = true;
    struct artifact mixed = five;
    mixed.data = other.data; /* what the store holds */
    run.artifact = &mixed;
    upload(&blocks, &run);
    expect(&run, "LlpppppcL", 0, false);
    expect_arrived(&five);
    artifact_free(&other);
}

/* The list of blocks is refused: perhaps it was taken before, else all is sent anew under another name. */
static void a_refused_list_of_blocks(void **state)
{
    (void)state;
    script((struct answer_rule){.hook = COMPLETE, .nth = 1, .outcome = OBJECT_PUT_LOST});
    struct run run = {.artifact = &five};
    upload(&blocks, &run);
    expect(&run, "LNSpppppcLNSpppppcL", 0, false);
    assert_string_equal(run.saved, "prefix-2");

    setup(NULL);
    script((struct answer_rule){
        .hook = COMPLETE, .nth = 1, .outcome = OBJECT_PUT_LOST, .done_all_the_same = true});
    struct run taken = {.artifact = &five};
    upload(&blocks, &taken);
    expect(&taken, "LNSpppppcL", 0, false);
    assert_false(taken.result.existed); /* it is this attempt's */

    setup(NULL);
    script((struct answer_rule){.hook = COMPLETE, .outcome = OBJECT_PUT_LOST});
    struct run twice = {.artifact = &five};
    upload(&blocks, &twice);
    expect(&twice, "LNSpppppcLNSpppppcLF", ERROR_NOT_FOUND, true);
    assert_non_null(strstr(twice.err.message, "in box 'box'"));
}

static void a_block_for_an_upload_that_is_gone(void **state)
{
    (void)state;
    store.parallel = 1;
    script((struct answer_rule){.hook = PART_SENT, .nth = 2, .outcome = OBJECT_PUT_LOST});
    struct run run = {.artifact = &five};
    upload(&blocks, &run);
    expect(&run, "LNSppLNSpppppcL", 0, false);
    expect_arrived(&five);
}

static void another_object_stands_there(void **state)
{
    (void)state;
    store.exists = true;
    store.size = 3;
    struct run before = {.artifact = &five};
    upload(&blocks, &before);
    expect(&before, "L", ERROR_CONFLICT, false);
    assert_true(store.exists);
    assert_non_null(strstr(before.err.message, "in box 'box'"));

    setup(NULL); /* it came in the meantime; of equal size, so that it is read */
    script((struct answer_rule){.hook = COMPLETE, .outcome = OBJECT_PUT_REFUSED, .done_all_the_same = true});
    struct run meantime = {.artifact = &five};
    upload(&blocks, &meantime);
    expect(&meantime, "LNSpppppcL", 0, false);

    setup(NULL); /* refused, and nothing there: forgotten, the next attempt begins anew */
    script((struct answer_rule){.hook = COMPLETE, .outcome = OBJECT_PUT_REFUSED});
    struct run nothing = {.artifact = &five};
    upload(&blocks, &nothing);
    expect(&nothing, "LNSpppppcLF", ERROR_CONFLICT, true);
}

/* Nothing can be aborted: what may pass keeps the state, what is final forgets it. */
static void failures_keep_or_forget(void **state)
{
    (void)state;
    static const struct {
        struct answer_rule rule;
        const char *trace;
        int code;
    } cases[] = {
        {{COMPLETE, 0, OBJECT_PUT_FAILED, ERROR_UNREACHABLE, false}, "LNSpppppc", ERROR_UNREACHABLE},
        {{COMPLETE, 0, OBJECT_PUT_SPOILED, ERROR_CORRUPT, false}, "LNSpppppcF", ERROR_CORRUPT},
        {{LOOK, 0, OBJECT_PUT_FAILED, ERROR_UNREACHABLE, false}, "L", ERROR_UNREACHABLE},
        {{PART_SENT, 1, OBJECT_PUT_FAILED, ERROR_CORRUPT, false}, "LNSpF", ERROR_CORRUPT},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        setup(NULL);
        store.parallel = 1;
        script(cases[i].rule);
        struct run run = {.artifact = &five};
        upload(&blocks, &run);
        expect(&run, cases[i].trace, cases[i].code, true);
    }
}

static void a_damaged_object_of_ours_is_removed(void **state)
{
    (void)state;
    store.differs = true;
    struct run run = {.artifact = &five};
    upload(&blocks, &run);
    expect(&run, "LNSpppppcLDF", ERROR_CORRUPT, true);
    assert_false(store.exists);
}

/* --- the source is not what was staged --- */

static void parts_against_the_staging_pass(void **state)
{
    (void)state;
    object_put_set_part_size(0);
    store.part_sums = RANGE_MD5 | RANGE_CRC32C;
    store.parallel = 1;
    struct run run = {.artifact = &staged, .digests = staged_digests};
    upload(&blocks, &run);
    expect(&run, "LNSppcL", 0, false);

    setup(NULL);
    object_put_set_part_size(0);
    store.part_sums = RANGE_MD5 | RANGE_CRC32C;
    store.parallel = 1;
    staged_digests->parts[1].crc32c ^= 1;
    struct run changed = {.artifact = &staged, .digests = staged_digests};
    upload(&blocks, &changed);
    staged_digests->parts[1].crc32c ^= 1;
    expect(&changed, "LNSpF", ERROR_CORRUPT, true);
    assert_non_null(strstr(changed.err.message, "part 2 of 2"));

    setup(NULL); /* without its digests: the whole */
    store.parallel = 1;
    struct run whole = {.artifact = &five, .sha256 = staged.sha256};
    upload(&blocks, &whole);
    expect(&whole, "LNSpppppF", ERROR_CORRUPT, true);
}

static void the_whole_before_it_is_sent(void **state)
{
    (void)state;
    store.single = true;
    store.first_wanted = RANGE_SHA256 | RANGE_MD5 | RANGE_CRC32C;
    struct run run = {.artifact = &five};
    upload(&blocks, &run);
    expect(&run, "1L", 0, false);
    assert_true(store.has_md5 && store.has_crc32c);
    assert_int_equal(store.crc32c, part_crc32c(0, five.data, five.size));

    setup(NULL);
    store.single = true;
    store.first_wanted = RANGE_SHA256;
    struct run changed = {.artifact = &five, .sha256 = staged.sha256};
    upload(&blocks, &changed);
    expect(&changed, "", ERROR_CORRUPT, true);
}

/* --- a stream --- */

static void a_stream(void **state)
{
    (void)state;
    store.first_wanted = RANGE_SHA256 | RANGE_CRC32C;
    script((struct answer_rule){.hook = TRANSFER, .nth = 1, .outcome = OBJECT_PUT_AGAIN});
    script((struct answer_rule){.hook = TRANSFER, .nth = 2, .outcome = OBJECT_PUT_AGAIN});
    script((struct answer_rule){.hook = TRANSFER, .nth = 3, .outcome = OBJECT_PUT_PROVEN});
    store.pauses = 2;
    struct run run = {.artifact = &five};
    upload(&stream, &run);
    expect(&run, "LCS..ttt", 0, false);
    assert_true(store.has_crc32c);
    assert_int_equal(store.crc32c, part_crc32c(0, five.data, five.size));
    assert_string_equal(run.saved, "session-1");
    assert_string_equal(store.aborted, "");
}

static void a_stream_taken_up(void **state)
{
    (void)state;
    struct run run = {.artifact = &five, .resume_state = "session-9", .fence = 5};
    upload(&stream, &run);
    expect(&run, "LltL", 0, false);
    assert_string_equal(store.fence, "1"); /* of the attempt that began it */
    assert_false(run.result.existed);

    setup(NULL); /* all of it was there */
    store.listed_is_complete = true;
    struct run complete_already = {.artifact = &five, .resume_state = "session-9"};
    upload(&stream, &complete_already);
    expect(&complete_already, "LlL", 0, false);

    setup(NULL); /* forgotten: anew, once */
    script((struct answer_rule){.hook = LIST, .outcome = OBJECT_PUT_LOST});
    struct run lost = {.artifact = &five, .resume_state = "session-9"};
    upload(&stream, &lost);
    expect(&lost, "LlLCStL", 0, false);

    setup(NULL);
    script((struct answer_rule){.hook = TRANSFER, .outcome = OBJECT_PUT_LOST});
    struct run again = {.artifact = &five};
    upload(&stream, &again);
    expect(&again, "LCStLCStLF", ERROR_NOT_FOUND, true);
}

static void a_stream_that_fails(void **state)
{
    (void)state;
    static const struct {
        struct answer_rule rule;
        const char *trace;
        int code;
        const char *aborted;
    } cases[] = {
        {{CREATE, 0, OBJECT_PUT_FAILED, ERROR_UNREACHABLE, false}, "LC", ERROR_UNREACHABLE, ""},
        {{CREATE, 0, OBJECT_PUT_REFUSED, 0, false}, "LCL", ERROR_CONFLICT, ""},
        {{TRANSFER, 0, OBJECT_PUT_FAILED, ERROR_UNREACHABLE, false}, "LCSt", ERROR_UNREACHABLE, ""},
        {{TRANSFER, 0, OBJECT_PUT_SPOILED, ERROR_CORRUPT, false}, "LCStAF", ERROR_CORRUPT, "session-1"},
        {{TRANSFER, 0, OBJECT_PUT_REFUSED, 0, false}, "LCStLAF", ERROR_CONFLICT, "session-1"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        setup(NULL);
        script(cases[i].rule);
        struct run run = {.artifact = &five};
        upload(&stream, &run);
        expect(&run, cases[i].trace, cases[i].code, true);
        assert_string_equal(store.aborted, cases[i].aborted);
    }
}

/* A cancel keeps what there is; it ends a pause at once. */
static void a_stream_that_is_cancelled(void **state)
{
    (void)state;
    static const struct {
        int at;
        const char *trace;
    } cases[] = {{LOOK, "L"}, {CREATE, "LC"}, {TRANSFER, "LCSt"}, {'.', "LCS."}};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        setup(NULL);
        store.cancel_at = cases[i].at;
        store.pauses = cases[i].at == '.' ? 5 : 0;
        script((struct answer_rule){.hook = TRANSFER, .outcome = OBJECT_PUT_AGAIN});
        struct run run = {.artifact = &five};
        upload(&stream, &run);
        expect(&run, cases[i].trace, ERROR_CANCELLED, true);
        assert_string_equal(store.aborted, "");
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(a_named_upload, setup),
        cmocka_unit_test_setup(a_proven_completion_is_not_looked_at, setup),
        cmocka_unit_test_setup(blocks_told_by_their_crc32c, setup),
        cmocka_unit_test_setup(a_block_of_other_bytes_is_sent_again, setup),
        cmocka_unit_test_setup(a_refused_list_of_blocks, setup),
        cmocka_unit_test_setup(a_block_for_an_upload_that_is_gone, setup),
        cmocka_unit_test_setup(another_object_stands_there, setup),
        cmocka_unit_test_setup(failures_keep_or_forget, setup),
        cmocka_unit_test_setup(a_damaged_object_of_ours_is_removed, setup),
        cmocka_unit_test_setup(parts_against_the_staging_pass, setup),
        cmocka_unit_test_setup(the_whole_before_it_is_sent, setup),
        cmocka_unit_test_setup(a_stream, setup),
        cmocka_unit_test_setup(a_stream_taken_up, setup),
        cmocka_unit_test_setup(a_stream_that_fails, setup),
        cmocka_unit_test_setup(a_stream_that_is_cancelled, setup),
    };
    return cmocka_run_group_tests(tests, group_setup, group_teardown);
}
