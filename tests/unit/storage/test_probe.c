/* A probe at a driver that keeps one object and fails where the test says: which steps are told, and that the
 * probe never stays behind. The same driver for what store/copy_work does with a copy. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "storage/probe.h"
#include "store/copy_work.h"

enum call { CHECK, STAT, PUT, GET, DELETE, CALLS };

static struct {
    uv_loop_t loop;
    char object[200];
    size_t size; /* 0: there is none */
    int asked[CALLS];
    enum call fails; /* its nth call answers ERROR_DENIED, CALLS: none */
    int nth;
    bool at_once; /* ... before it has begun */
    bool hangs;   /* that call waits for its cancel */
    bool forges;  /* what is read is not what was written */
    bool cancelled;
    struct probe *probe; /* which is cancelled then */
    bool early;          /* ... or already after the step before */
    char deleted[PROBE_KEY_SIZE];
    /* the operation under way: answered in the loop's next turn */
    uv_timer_t turn;
    struct storage_op op;
    enum call call;
    void *request;
    struct error err;
} fake;

static struct error *found(void)
{
    return fake.err.code ? &fake.err : NULL;
}

static void answer(uv_timer_t *timer)
{
    struct storage_stat_result stat = {.exists = fake.size > 0, .size = fake.size};
    struct storage_put_result put = {.size = fake.size};
    (void)timer;
    if (fake.hangs && !fake.cancelled && fake.fails == fake.call && fake.nth == fake.asked[fake.call]) {
        uv_timer_start(&fake.turn, answer, 0, 0);
        probe_cancel(fake.probe);
        return;
    }
    if (fake.cancelled)
        error_set(&fake.err, ERROR_CANCELLED, true, "cancelled");
    fake.cancelled = false;
    struct error *err = found();
    if (fake.call == STAT) {
        struct storage_stat *r = fake.request;
        r->done(r, err ? NULL : &stat, err);
    } else if (fake.call == PUT) {
        struct storage_put *r = fake.request;
        if (err == NULL)
            fake.size = (size_t)pread(r->source_fd, fake.object, sizeof fake.object, 0);
        r->done(r, err ? NULL : &put, err);
    } else if (fake.call == GET) {
        struct storage_get *r = fake.request;
        char sha256[STORAGE_SHA256_SIZE];
        struct digest *digest = digest_new();
        digest_update(digest, fake.forges ? "x" : fake.object, fake.forges ? 1 : fake.size);
        digest_final(digest, sha256);
        digest_free(digest);
        r->done(r, err ? 0 : fake.size, err ? NULL : sha256, err);
    } else {
        struct storage_delete *r = fake.request;
        bool existed = fake.size > 0 && err == NULL && r->key;
        snprintf(fake.deleted, sizeof fake.deleted, "%s", r->key ? r->key : "");
        if (existed)
            fake.size = 0;
        r->done(r, existed, err);
    }
}

static int begin(enum call call, void *request, struct storage_op **ret_op, struct error *err)
{
    bool this_one = fake.fails == call && fake.nth == ++fake.asked[call];
    fake.err = (struct error){0};
    if (this_one && !fake.hangs)
        error_set(&fake.err, ERROR_DENIED, true, "denied");
    if (this_one && fake.at_once) {
        *err = fake.err;
        return err->code;
    }
    fake.call = call;
    fake.request = request;
    uv_timer_start(&fake.turn, answer, 0, 0);
    *ret_op = &fake.op;
    return 0;
}

static int check(const struct storage_location *location, const char *key, struct error *err)
{
    (void)location;
    (void)key;
    fake.asked[CHECK]++;
    return fake.fails == CHECK ? error_set(err, ERROR_INPUT, false, "bad") : 0;
}

static int stat_start(struct storage_stat *stat, struct storage_op **ret_op, struct error *err)
{
    return begin(STAT, stat, ret_op, err);
}

static int put_start(struct storage_put *put, struct storage_op **ret_op, struct error *err)
{
    return begin(PUT, put, ret_op, err);
}

static int get_start(struct storage_get *get, struct storage_op **ret_op, struct error *err)
{
    return begin(GET, get, ret_op, err);
}

static int delete_start(struct storage_delete *del, struct storage_op **ret_op, struct error *err)
{
    return begin(DELETE, del, ret_op, err);
}

static void op_cancel(struct storage_op *op)
{
    (void)op;
    fake.cancelled = true;
}

static const struct storage_driver driver = {.name = "fake",
                                             .check = check,
                                             .put_start = put_start,
                                             .get_start = get_start,
                                             .stat_start = stat_start,
                                             .delete_start = delete_start,
                                             .op_cancel = op_cancel};

static void begin_fake(enum call fails, int nth)
{
    memset(&fake, 0, sizeof fake);
    fake.op.driver = &driver;
    fake.fails = fails;
    fake.nth = nth;
    uv_loop_init(&fake.loop);
    uv_timer_init(&fake.loop, &fake.turn);
}

static void end_fake(void)
{
    uv_close((uv_handle_t *)&fake.turn, NULL);
    uv_run(&fake.loop, UV_RUN_DEFAULT);
    assert_int_equal(uv_loop_close(&fake.loop), 0);
}

/* --- the probe --- */

struct told {
    char steps[40]; /* a letter for each, in capitals when it was fine */
    int done;
    bool ok;
    int last_code;
};

static void on_step(struct probe *probe, enum probe_step step, const struct error *err)
{
    struct told *told = probe->data;
    assert_int_equal(told->done, 0);
    told->steps[strlen(told->steps)] = (err ? "tpwsrd" : "TPWSRD")[step];
    if (err)
        told->last_code = err->code;
    if (fake.early && step == PROBE_WRITE)
        probe_cancel(probe);
}

static void on_done(struct probe *probe, bool ok)
{
    struct told *told = probe->data;
    told->done++;
    told->ok = ok;
}

static struct told run_probe(void)
{
    struct told told = {0};
    const struct storage_place place = {.driver = &driver};
    struct probe probe = {
        .loop = &fake.loop, .place = &place, .on_step = on_step, .done = on_done, .data = &told};
    fake.probe = &probe;
    probe_start(&probe);
    assert_int_equal(told.done, 0);
    assert_string_equal(told.steps, "");
    uv_run(&fake.loop, UV_RUN_DEFAULT);
    assert_int_equal(told.done, 1);
    end_fake();
    return told;
}

static void test_each_step_that_fails(void **state)
{
    static const struct {
        enum call fails;
        int nth;
        const char *steps;
    } cases[] = {
        {CALLS, 0, "TPWSRD"}, {CHECK, 1, "t"},    {STAT, 1, "Tp"},       {PUT, 1, "TPw"},
        {STAT, 2, "TPWsD"},   {GET, 1, "TPWSrD"}, {DELETE, 1, "TPWSRd"},
    };
    (void)state;
    for (size_t i = 0; i < 2 * sizeof cases / sizeof *cases; i++) {
        begin_fake(cases[i / 2].fails, cases[i / 2].nth);
        fake.at_once = i % 2;
        struct told told = run_probe();
        assert_string_equal(told.steps, cases[i / 2].steps);
        assert_int_equal(told.ok, cases[i / 2].fails == CALLS);
        assert_int_equal(fake.size > 0, cases[i / 2].fails == DELETE);
    }
}

static void test_what_is_read_is_compared(void **state)
{
    (void)state;
    begin_fake(CALLS, 0);
    fake.forges = true;
    struct told told = run_probe();
    assert_string_equal(told.steps, "TPWSrD");
    assert_int_equal(told.last_code, ERROR_CORRUPT);
    assert_false(told.ok);
}

/* Cancelled while its second look is asked, which would wait for ever, or just before: the probe goes, too.
 */
static void test_cancel(void **state)
{
    (void)state;
    for (int early = 0; early < 2; early++) {
        begin_fake(STAT, 2);
        fake.hangs = true;
        fake.early = early;
        struct told told = run_probe();
        assert_string_equal(told.steps, "TPWsD");
        assert_int_equal(told.last_code, ERROR_CANCELLED);
        assert_int_equal(fake.size, 0);
        assert_int_equal(fake.asked[STAT], early ? 1 : 2);
    }
}

static void test_advice(void **state)
{
    static const struct storage_driver s3 = {.name = "s3"},
                                       disk = {.name = "posix", .capabilities = STORAGE_CAP_LOCAL_PATH};
    struct error err = {.code = ERROR_DENIED};
    char advice[PROBE_ADVICE_SIZE];
    (void)state;
    probe_advice(PROBE_WRITE, &err, &s3, advice);
    assert_non_null(strstr(advice, "s3:PutObject"));
    probe_advice(PROBE_WRITE, &err, &disk, advice);
    assert_non_null(strstr(advice, "read-write"));
    probe_advice(PROBE_SETTINGS, &err, NULL, advice);
    assert_non_null(strstr(advice, "a secret that can be read"));
}

/* --- copies --- */

struct worked {
    int done;
    bool existed;
    int code;
};

static void on_worked(struct copy_work *work, bool existed, const struct error *err)
{
    struct worked *worked = work->data;
    worked->done++;
    worked->existed = existed;
    worked->code = err ? err->code : 0;
}

static const char SUM[] = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"; /* "abc" */

static struct worked work_on(enum copy_work_kind kind, const char *status, const char *object, int64_t size,
                             const char *checksum)
{
    struct worked worked = {0};
    struct error err = {0};
    struct copy copy = {.id = 7,
                        .fence = 3,
                        .status = status,
                        .key = "k",
                        .size = size,
                        .checksum = checksum,
                        .place = {.driver = &driver}};
    struct copy_work work = {
        .loop = &fake.loop, .copy = &copy, .kind = kind, .done = on_worked, .data = &worked};
    fake.size = strlen(object);
    memcpy(fake.object, object, fake.size);
    if (copy_work_start(&work, &err)) {
        worked.code = err.code;
        end_fake();
        return worked;
    }
    assert_int_equal(worked.done, 0);
    uv_run(&fake.loop, UV_RUN_DEFAULT);
    assert_int_equal(worked.done, 1);
    end_fake();
    return worked;
}

static void test_looks_and_reads(void **state)
{
    static const struct {
        const char *object;
        int64_t size;
        const char *checksum;
        int looked, read;
    } cases[] = {
        {"abc", 3, SUM, 0, 0},
        {"abd", 3, SUM, 0, ERROR_CORRUPT},
        {"abcd", 3, SUM, ERROR_CORRUPT, ERROR_CORRUPT},
        {"", 3, SUM, ERROR_NOT_FOUND, ERROR_NOT_FOUND},
        {"abd", 3, NULL, 0, 0},
        {"abd", -1, NULL, 0, 0},
        {"abd", -1, SUM, 0, ERROR_CORRUPT},
    };
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        begin_fake(CALLS, 0);
        assert_int_equal(
            work_on(COPY_LOOK, "completed", cases[i].object, cases[i].size, cases[i].checksum).code,
            cases[i].looked);
        assert_int_equal(fake.asked[GET], 0);
        begin_fake(CALLS, 0);
        assert_int_equal(
            work_on(COPY_READ, "completed", cases[i].object, cases[i].size, cases[i].checksum).code,
            cases[i].read);
    }
    for (int at_once = 0; at_once < 2; at_once++) {
        begin_fake(GET, 1);
        fake.at_once = at_once;
        assert_int_equal(work_on(COPY_READ, "completed", "abc", 3, SUM).code, ERROR_DENIED);
    }
}

static void test_removals(void **state)
{
    (void)state;
    begin_fake(CALLS, 0);
    assert_true(work_on(COPY_REMOVE, "completed", "abc", 3, SUM).existed);
    assert_string_equal(fake.deleted, "k");
    begin_fake(CALLS, 0);
    assert_false(work_on(COPY_REMOVE, "completed", "", 3, SUM).existed);
    begin_fake(CALLS, 0); /* the final name of one that never got there may be someone else's */
    assert_false(work_on(COPY_REMOVE, "failed", "abc", 3, SUM).existed);
    assert_string_equal(fake.deleted, "");
    assert_int_equal(fake.size, 3);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_each_step_that_fails),
        cmocka_unit_test(test_what_is_read_is_compared),
        cmocka_unit_test(test_cancel),
        cmocka_unit_test(test_advice),
        cmocka_unit_test(test_looks_and_reads),
        cmocka_unit_test(test_removals),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
