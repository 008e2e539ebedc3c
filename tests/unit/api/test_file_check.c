/* A driver whose answers the test gives by hand stands in for disks that hang. */
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
#define AT_ONCE_MS 0

static struct {
    struct storage_stat *asked[64];
    int n;
    const char *refuse_key; /* its stat can't even be started */
} fake;

static int fake_stat_start(struct storage_stat *stat, struct storage_op **ret_op, struct error *err)
{
    static struct storage_op op;
    if (fake.refuse_key && strcmp(stat->key, fake.refuse_key) == 0)
        return error_set(err, ERROR_UNSAFE_PATH, false, "refused");
    fake.asked[fake.n++] = stat;
    *ret_op = &op;
    return 0;
}

static const char *const fake_types[] = {"local", "local_external", NULL};
static const struct storage_driver fake_driver = {.name = "fake",
                                                  .storage_types = fake_types,
                                                  .capabilities = STORAGE_CAP_LOCAL_PATH,
                                                  .stat_start = fake_stat_start};

/* The driver comes back with what was asked first. */
static void give(int64_t size)
{
    struct storage_stat *stat = fake.asked[0];
    assert_true(fake.n > 0);
    memmove(fake.asked, fake.asked + 1, (size_t)--fake.n * sizeof fake.asked[0]);
    struct storage_stat_result result = {.exists = size >= 0, .size = (uint64_t)(size < 0 ? 0 : size)};
    stat->done(stat, &result, NULL);
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
    assert_int_equal(file_checks_new(&f->loop, "/legacy", timeout_ms, &f->checks, NULL), 0);
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
    struct file_check_batch *batch = file_check_batch_new(f.checks);
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
    struct file_check_batch *batch = file_check_batch_new(f.checks);
    for (int i = 0; i < 20; i++) {
        snprintf(key, sizeof key, "./a//%d", i);
        add(&f, batch, "completed", "local", i % 2 ? "/b/" : NULL, key);
    }
    assert_true(file_check_batch_start(batch, on_done, &f));
    assert_int_equal(fake.n, 16); /* 8 of each place */
    for (int i = 0; i < 20; i++) {
        assert_int_equal(f.done, 0);
        give(7);
    }
    assert_int_equal(f.done, 1);
    assert_info(&f, 18, 1, 7, "/legacy/a/18");
    assert_info(&f, 19, 1, 7, "/b/a/19");
    end(&f);
    assert_int_equal(f.done, 1);
}

static void test_disk_hangs(void **state)
{
    struct fixture f;
    (void)state;
    begin(&f, AT_ONCE_MS);
    struct file_check_batch *batch = file_check_batch_new(f.checks);
    for (int i = 0; i < 12; i++)
        add(&f, batch, "completed", "local", "/dead", "k");
    assert_true(file_check_batch_start(batch, on_done, &f));
    uv_run(&f.loop, UV_RUN_DEFAULT);
    assert_int_equal(f.done, 1);
    for (size_t i = 0; i < 12; i++) {
        assert_info(&f, i, 0, -1, "/dead/k");
        assert_non_null(strstr(message(&f, i), "did not answer in time"));
    }
    assert_int_equal(fake.n, 8);

    /* answered at once while it hangs; other disks are looked at */
    batch = file_check_batch_new(f.checks);
    add(&f, batch, "completed", "local", "/dead", "k");
    assert_int_equal(fake.n, 8);
    add(&f, batch, "completed", "local", "/well", "k");
    assert_int_equal(fake.n, 9);
    assert_true(file_check_batch_start(batch, on_done, &f));
    assert_non_null(strstr(message(&f, 12), "earlier look"));
    struct storage_stat *well = fake.asked[8];
    memmove(fake.asked + 1, fake.asked, 8 * sizeof fake.asked[0]);
    fake.asked[0] = well;
    give(3);
    assert_int_equal(f.done, 2);
    assert_info(&f, 13, 1, 3, "/well/k");

    /* it comes back: what was answered stays, new looks are made */
    while (fake.n)
        give(5);
    assert_info(&f, 0, 0, -1, "/dead/k");
    batch = file_check_batch_new(f.checks);
    add(&f, batch, "completed", "local", "/dead", "k");
    assert_true(file_check_batch_start(batch, on_done, &f));
    give(5);
    assert_info(&f, 14, 1, 5, "/dead/k");
    end(&f);
    assert_int_equal(f.done, 3);
}

static void test_refused_start(void **state)
{
    struct fixture f;
    (void)state;
    begin(&f, FOREVER_MS);
    fake.refuse_key = "bad";
    struct file_check_batch *batch = file_check_batch_new(f.checks);
    add(&f, batch, "completed", "local", "/b", "bad");
    assert_false(file_check_batch_start(batch, on_done, &f));
    assert_string_equal(message(&f, 0), "refused");

    /* behind eight others of another batch: refused when its turn comes, told from the loop */
    struct fixture other = {.copies = json_array()};
    struct file_check_batch *others = file_check_batch_new(f.checks);
    for (int i = 0; i < 8; i++)
        add(&other, others, "completed", "local", "/b", "k");
    assert_true(file_check_batch_start(others, on_done, &other));
    batch = file_check_batch_new(f.checks);
    add(&f, batch, "completed", "local", "/b", "bad");
    assert_true(file_check_batch_start(batch, on_done, &f));
    give(1);
    assert_int_equal(f.done, 0);
    uv_run(&f.loop, UV_RUN_NOWAIT);
    assert_int_equal(f.done, 1);
    assert_string_equal(message(&f, 1), "refused");
    assert_int_equal(other.done, 0);
    while (fake.n)
        give(1);
    assert_int_equal(other.done, 1);
    json_decref(other.copies);
    end(&f);
}

static void test_free_under_way(void **state)
{
    struct fixture f;
    (void)state;
    begin(&f, FOREVER_MS);
    struct file_check_batch *batch = file_check_batch_new(f.checks);
    for (int i = 0; i < 12; i++)
        add(&f, batch, "completed", "local", "/b", "k");
    assert_true(file_check_batch_start(batch, on_done, &f));
    end(&f); /* the eight that look come back afterwards */
    assert_int_equal(f.done, 1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_does_not_apply), cmocka_unit_test(test_few_at_once),
        cmocka_unit_test(test_disk_hangs),     cmocka_unit_test(test_refused_start),
        cmocka_unit_test(test_free_under_way),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
