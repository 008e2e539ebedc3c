/* A driver whose answers the test gives by hand stands in for disks that hang; clock and mounts are the
 * test's. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/log.h"
#include "file_check.h"
#include "storage/driver.h"

#define FOREVER_MS 3600000
#define FRESH_MS 10000
#define STALE_MS 60000

static struct {
    struct storage_stat *asked[128];
    int n;
    int n_ever;
    const char *refuse_key; /* its stat can't even be started */
    int64_t now_ms;
} fake;

static int fake_stat_start(struct storage_stat *stat, struct storage_op **ret_op, struct error *err)
{
    static struct storage_op op;
    if (fake.refuse_key && strcmp(stat->key, fake.refuse_key) == 0)
        return error_set(err, ERROR_UNSAFE_PATH, false, "refused");
    fake.asked[fake.n++] = stat;
    fake.n_ever++;
    *ret_op = &op;
    return 0;
}

static const char *const fake_types[] = {"local", "local_external", NULL};
static const struct storage_driver fake_driver = {.name = "fake",
                                                  .storage_types = fake_types,
                                                  .capabilities = STORAGE_CAP_LOCAL_PATH,
                                                  .stat_start = fake_stat_start};

static int64_t fake_now_ms(void)
{
    return fake.now_ms;
}

static void fake_load_mounts(struct mounts *mounts)
{
    char text[] = "21 1 8:1 / / rw - ext4 /dev/sda1 rw\n"
                  "22 21 0:1 / /dead rw - nfs4 nas:/ rw\n"
                  "23 21 0:2 / /well rw - ext4 /dev/sdb1 rw\n";
    mounts_parse(mounts, text);
}

/* The driver comes back with what was asked n-th among those that are still out. */
static void give_nth(int n, int64_t size)
{
    struct storage_stat *stat = fake.asked[n];
    assert_true(fake.n > n);
    memmove(fake.asked + n, fake.asked + n + 1, (size_t)(--fake.n - n) * sizeof fake.asked[0]);
    struct storage_stat_result result = {.exists = size >= 0, .size = (uint64_t)(size < 0 ? 0 : size)};
    stat->done(stat, &result, NULL);
}

static void give(int64_t size)
{
    give_nth(0, size);
}

struct fixture {
    uv_loop_t loop;
    struct file_checks *checks;
    json_t *copies;
    int done;
};

static void on_done(void *data)
{
    struct fixture *f = data;
    f->done++;
}

static void begin(struct fixture *f, int64_t timeout_ms)
{
    memset(&fake, 0, sizeof fake);
    f->done = 0;
    f->copies = json_array();
    storage_driver_override(&fake_driver);
    log_init("test", LOG_ERROR, LOG_TEXT);
    uv_loop_init(&f->loop);
    struct file_check_options options = {.legacy_base = "/legacy",
                                         .timeout_ms = timeout_ms,
                                         .fresh_ms = FRESH_MS,
                                         .stale_ms = STALE_MS,
                                         .most_files = 8,
                                         .most_looks = 10,
                                         .now_ms = fake_now_ms,
                                         .load_mounts = fake_load_mounts};
    assert_int_equal(file_checks_new(&f->loop, &options, &f->checks, NULL), 0);
}

static void end(struct fixture *f)
{
    file_checks_free(f->checks);
    while (fake.n)
        give(0);
    uv_run(&f->loop, UV_RUN_DEFAULT);
    assert_int_equal(uv_loop_close(&f->loop), 0);
    json_decref(f->copies);
    storage_driver_override(NULL);
}

static void add(struct fixture *f, struct file_check_batch *batch, const char *status, const char *type,
                const char *base, const char *key)
{
    json_t *copy = json_pack("{s:s, s:s, s:s?, s:s}", "status", status, "storage_type", type, "base_path",
                             base, "file_path", key);
    json_array_append_new(f->copies, copy);
    file_check_add(batch, copy, NULL);
}

/* A batch of one; true: its answer isn't there yet. */
static bool ask(struct fixture *f, bool anew, const char *base, const char *key)
{
    struct file_check_batch *batch = file_check_batch_new(f->checks, anew);
    add(f, batch, "completed", "local", base, key);
    return file_check_batch_start(batch, on_done, f);
}

static void turn(struct fixture *f)
{
    uv_run(&f->loop, UV_RUN_NOWAIT);
}

static const json_t *info(const struct fixture *f, size_t i)
{
    return json_object_get(json_array_get(f->copies, i), "file_info");
}

static const char *message(const struct fixture *f, size_t i)
{
    const char *text = json_string_value(json_object_get(info(f, i), "error_message"));
    return text ? text : "";
}

static void assert_info(const struct fixture *f, size_t i, int exists, int64_t size, const char *path)
{
    json_t *size_json = json_object_get(info(f, i), "file_size_on_disk");
    assert_int_equal(json_is_true(json_object_get(info(f, i), "exists")), exists);
    assert_int_equal(json_is_true(json_object_get(info(f, i), "is_accessible")), exists);
    assert_int_equal(exists ? json_integer_value(size_json) : -1, size);
    assert_string_equal(json_string_value(json_object_get(info(f, i), "absolute_path")), path);
}

static void test_does_not_apply(void **state)
{
    struct fixture f;
    (void)state;
    begin(&f, FOREVER_MS);
    struct file_check_batch *batch = file_check_batch_new(f.checks, false);
    add(&f, batch, "completed", "s3", NULL, "k");
    add(&f, batch, "pending", "local", "/b", "k");
    add(&f, batch, "completed", "local", "/b", "/absolute");
    assert_false(file_check_batch_start(batch, on_done, &f));
    assert_true(json_is_null(info(&f, 0)));
    assert_true(json_is_null(info(&f, 1)));
    assert_info(&f, 2, 0, -1, "/absolute");
    assert_int_equal(fake.n, 0);
    end(&f);
    assert_int_equal(f.done, 0);
}

static void test_few_at_once(void **state)
{
    struct fixture f;
    char key[16];
    (void)state;
    begin(&f, FOREVER_MS);
    struct file_check_batch *batch = file_check_batch_new(f.checks, false);
    for (int i = 0; i < 30; i++) {
        snprintf(key, sizeof key, "./a//%d", i);
        add(&f, batch, "completed", "local", i % 3 == 2 ? "/dead/x" : i % 3 ? "/well/" : NULL, key);
    }
    assert_true(file_check_batch_start(batch, on_done, &f));
    assert_int_equal(fake.n, 10); /* 4 of each mount, 10 of all */
    for (int i = 0; i < 30; i++) {
        turn(&f);
        assert_int_equal(f.done, 0);
        assert_true(fake.n <= 10);
        give(7);
    }
    turn(&f);
    assert_int_equal(f.done, 1);
    assert_info(&f, 27, 1, 7, "/legacy/a/27");
    assert_info(&f, 28, 1, 7, "/well/a/28");
    assert_info(&f, 29, 1, 7, "/dead/x/a/29");
    end(&f);
    assert_int_equal(f.done, 1);
}

/* Several directories of one dead mount: it holds few looks however many ask, and others are looked at. */
static void test_disk_hangs(void **state)
{
    struct fixture f;
    char name[16];
    (void)state;
    begin(&f, 1);
    struct file_check_batch *batch = file_check_batch_new(f.checks, false);
    for (int i = 0; i < 12; i++) {
        snprintf(name, sizeof name, "/dead/%d", i);
        add(&f, batch, "completed", "local", name, "k");
    }
    assert_true(file_check_batch_start(batch, on_done, &f));
    uv_run(&f.loop, UV_RUN_DEFAULT);
    assert_int_equal(f.done, 1);
    for (size_t i = 0; i < 12; i++) {
        snprintf(name, sizeof name, "/dead/%zu/k", i);
        assert_info(&f, i, 0, -1, name);
        assert_non_null(strstr(message(&f, i), "did not answer in time"));
    }
    assert_int_equal(fake.n, 4);

    assert_false(ask(&f, false, "/dead/new", "k"));
    assert_false(ask(&f, true, "/dead/0", "k"));
    assert_non_null(strstr(message(&f, 12), "earlier look"));
    assert_non_null(strstr(message(&f, 13), "earlier look"));
    assert_int_equal(fake.n, 4);
    assert_true(ask(&f, false, "/well", "k"));
    assert_int_equal(fake.n, 5);
    give_nth(4, 3);
    turn(&f);
    assert_int_equal(f.done, 2);
    assert_info(&f, 14, 1, 3, "/well/k");

    /* it comes back: what was answered stays, new looks are made */
    while (fake.n)
        give(5);
    assert_info(&f, 0, 0, -1, "/dead/0/k");
    assert_false(ask(&f, false, "/dead/0", "k")); /* as its late look found it */
    assert_info(&f, 15, 1, 5, "/dead/0/k");
    assert_true(ask(&f, false, "/dead/new", "k"));
    give(5);
    turn(&f);
    assert_info(&f, 16, 1, 5, "/dead/new/k");
    end(&f);
    assert_int_equal(f.done, 3);
}

/* What is remembered of a disk does not hide that it hangs, nor does it take somebody who waits to see it. */
static void test_hangs_behind_a_refresh(void **state)
{
    struct fixture f;
    (void)state;
    begin(&f, 1000);
    assert_true(ask(&f, false, "/dead", "k"));
    give(5);
    turn(&f);
    fake.now_ms += FRESH_MS;
    assert_false(ask(&f, false, "/dead", "k"));
    assert_info(&f, 1, 1, 5, "/dead/k");
    assert_int_equal(fake.n, 1);
    fake.now_ms += 999;
    assert_false(ask(&f, false, "/dead", "k"));
    assert_info(&f, 2, 1, 5, "/dead/k");
    fake.now_ms += 1;
    assert_false(ask(&f, false, "/dead", "k"));
    assert_info(&f, 3, 0, -1, "/dead/k");
    assert_int_equal(fake.n, 1);
    end(&f);
}

/* Refreshes that wait for their turn don't get it while the disk hangs, though there would be room. */
static void test_no_more_looks_while_it_hangs(void **state)
{
    struct fixture f;
    char key[16];
    (void)state;
    begin(&f, 1000);
    for (int round = 0; round < 2; round++) {
        for (int i = 0; i < 6; i++) {
            snprintf(key, sizeof key, "%d", i);
            assert_int_equal(ask(&f, false, "/dead", key), round == 0);
            if (round == 0)
                give(5);
        }
        turn(&f);
        fake.now_ms += FRESH_MS;
    }
    assert_int_equal(fake.n, 4);
    give_nth(1, 5);
    assert_int_equal(fake.n, 3);
    give(5);
    give(5);
    assert_int_equal(fake.n, 1);
    give(5); /* the last of the late ones */
    assert_int_equal(fake.n, 2);
    end(&f);
}

static void test_remembered(void **state)
{
    struct fixture f;
    (void)state;
    begin(&f, FOREVER_MS);
    assert_true(ask(&f, false, "/b", "k"));
    assert_true(ask(&f, false, "/b", "./k")); /* joins the look under way */
    assert_int_equal(fake.n, 1);
    give(7);
    turn(&f);
    assert_int_equal(f.done, 2);
    assert_info(&f, 0, 1, 7, "/b/k");
    assert_info(&f, 1, 1, 7, "/b/k");

    fake.now_ms += FRESH_MS - 1;
    assert_false(ask(&f, false, "/b", "k"));
    assert_info(&f, 2, 1, 7, "/b/k");
    assert_int_equal(fake.n, 0);

    /* stale: given, and looked at once behind the answer */
    fake.now_ms += 1;
    assert_false(ask(&f, false, "/b", "k"));
    assert_false(ask(&f, false, "/b", "k"));
    assert_info(&f, 4, 1, 7, "/b/k");
    assert_int_equal(fake.n, 1);
    give(-1);
    assert_false(ask(&f, false, "/b", "k"));
    assert_info(&f, 5, 0, -1, "/b/k");
    assert_string_equal(message(&f, 5), "the file is not there");

    /* too old: waited for */
    fake.now_ms += STALE_MS;
    assert_true(ask(&f, false, "/b", "k"));
    give(9);
    turn(&f);
    assert_info(&f, 6, 1, 9, "/b/k");
    assert_int_equal(fake.n_ever, 3);
    end(&f);
}

/* Anew: neither what is remembered nor a look that began before will do. */
static void test_anew(void **state)
{
    struct fixture f;
    (void)state;
    begin(&f, FOREVER_MS);
    assert_true(ask(&f, false, "/b", "k"));
    assert_true(ask(&f, true, "/b", "k"));
    give(7);
    turn(&f);
    assert_int_equal(f.done, 1);
    assert_int_equal(fake.n, 1);
    give(-1);
    turn(&f);
    assert_int_equal(f.done, 2);
    assert_info(&f, 0, 1, 7, "/b/k");
    assert_info(&f, 1, 0, -1, "/b/k");
    assert_true(ask(&f, true, "/b", "k"));
    give(8);
    turn(&f);
    assert_info(&f, 2, 1, 8, "/b/k");
    end(&f);
}

static void test_bounded(void **state)
{
    struct fixture f;
    char key[2048];
    (void)state;
    begin(&f, FOREVER_MS);
    for (int i = 0; i < 9; i++) {
        snprintf(key, sizeof key, "%d", i);
        assert_true(ask(&f, false, "/b", key));
        give(i);
        if (i == 4) /* used again: not the longest unused */
            assert_false(ask(&f, false, "/b", "0"));
    }
    turn(&f);
    assert_false(ask(&f, false, "/b", "0"));
    assert_false(ask(&f, false, "/b", "8"));
    assert_true(ask(&f, false, "/b", "1"));
    give(1);
    /* names too long to be kept */
    memset(key, 'x', sizeof key - 1);
    key[sizeof key - 1] = '\0';
    for (int i = 0; i < 2; i++) {
        assert_true(ask(&f, false, "/b", key));
        give(1);
    }
    end(&f);
}

static void test_refused_start(void **state)
{
    struct fixture f;
    (void)state;
    begin(&f, FOREVER_MS);
    fake.refuse_key = "bad";
    assert_false(ask(&f, false, "/b", "bad"));
    assert_string_equal(message(&f, 0), "refused");
    fake.now_ms += STALE_MS;

    /* behind four others of another batch: refused when its turn comes, told from the loop */
    struct fixture other = {.copies = json_array()};
    struct file_check_batch *others = file_check_batch_new(f.checks, false);
    char key[16];
    for (int i = 0; i < 4; i++) {
        snprintf(key, sizeof key, "k%d", i);
        add(&other, others, "completed", "local", "/b", key);
    }
    assert_true(file_check_batch_start(others, on_done, &other));
    assert_true(ask(&f, false, "/b", "bad"));
    give(1);
    assert_int_equal(f.done, 0);
    turn(&f);
    assert_int_equal(f.done, 1);
    assert_string_equal(message(&f, 1), "refused");
    assert_int_equal(other.done, 0);
    while (fake.n)
        give(1);
    turn(&f);
    assert_int_equal(other.done, 1);
    json_decref(other.copies);
    end(&f);
}

static void test_free_under_way(void **state)
{
    struct fixture f;
    char key[16];
    (void)state;
    begin(&f, FOREVER_MS);
    assert_true(ask(&f, false, "/b", "0"));
    give(1);
    turn(&f);
    fake.now_ms += FRESH_MS;
    struct file_check_batch *batch = file_check_batch_new(f.checks, false);
    for (int i = 0; i < 12; i++) {
        snprintf(key, sizeof key, "%d", i % 11);
        add(&f, batch, "completed", "local", "/b", key);
    }
    assert_true(file_check_batch_start(batch, on_done, &f));
    end(&f); /* the four that look come back afterwards */
    assert_int_equal(f.done, 2);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_does_not_apply),
        cmocka_unit_test(test_few_at_once),
        cmocka_unit_test(test_disk_hangs),
        cmocka_unit_test(test_hangs_behind_a_refresh),
        cmocka_unit_test(test_no_more_looks_while_it_hangs),
        cmocka_unit_test(test_remembered),
        cmocka_unit_test(test_anew),
        cmocka_unit_test(test_bounded),
        cmocka_unit_test(test_refused_start),
        cmocka_unit_test(test_free_under_way),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
