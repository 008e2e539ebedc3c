/* Checks in the thread pool: each is answered once, whatever the disks do. The pool has one thread here,
 * which a test may hold. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "apply.h"

static const struct settings settings = {.credentials_default = ""};

struct asked {
    int answers;
    int code; /* of the last one */
    char field[40];
    bool has_row;
};

static void on_answer(void *data, json_t *row, const char *field, const struct error *err)
{
    struct asked *asked = data;
    asked->answers++;
    asked->code = err ? err->code : 0;
    asked->has_row = row != NULL;
    if (err && field)
        snprintf(asked->field, sizeof asked->field, "%s", field);
    json_decref(row);
}

/* --- the thread, held --- */

struct holder {
    uv_work_t work;
    uv_sem_t held, go;
};

static void hold(uv_work_t *work)
{
    struct holder *holder = work->data;
    uv_sem_post(&holder->held);
    uv_sem_wait(&holder->go);
}

static void on_held(uv_work_t *work, int status)
{
    struct holder *holder = work->data;
    (void)status;
    uv_sem_destroy(&holder->held);
    uv_sem_destroy(&holder->go);
}

static void hold_thread(uv_loop_t *loop, struct holder *holder)
{
    holder->work.data = holder;
    uv_sem_init(&holder->held, 0);
    uv_sem_init(&holder->go, 0);
    uv_queue_work(loop, &holder->work, hold, on_held);
    uv_sem_wait(&holder->held);
}

static int start(struct applies *applies, const char *path, struct asked *asked)
{
    struct error err = {0};
    json_t *changes = json_pack("{s:s, s:s, s:s}", "name", "d", "storage_type", "local", "base_path", path);
    return apply_start(applies, CATALOG_DESTINATION, NULL, changes, on_answer, asked, &err);
}

/* All on one mount, of which one runs. */
enum { ALL = 1 + APPLIES_WAITING };

static void test_answers(void **state)
{
    struct applies *applies = NULL;
    struct asked good = {0}, bad = {0};
    uv_loop_t loop;
    (void)state;
    uv_loop_init(&loop);
    assert_int_equal(applies_new(&loop, &settings, 60000, &applies, NULL), 0);
    assert_int_equal(start(applies, "/", &good), 0);
    assert_int_equal(start(applies, "/no/such/place", &bad), 0);
    assert_int_equal(good.answers + bad.answers, 0); /* never before return */
    uv_run(&loop, UV_RUN_DEFAULT);
    assert_int_equal(bad.answers, 1);
    assert_int_equal(bad.code, ERROR_INPUT);
    assert_string_equal(bad.field, "base_path");
    assert_int_equal(good.answers, 1);
    assert_true(good.code == 0 && good.has_row);
    struct asked many[ALL] = {0}; /* each place is given on */
    for (int i = 0; i < ALL; i++)
        assert_int_equal(start(applies, "/", &many[i]), 0);
    uv_run(&loop, UV_RUN_DEFAULT);
    for (int i = 0; i < ALL; i++)
        assert_true(many[i].answers == 1 && many[i].code == 0);
    applies_free(applies);
    uv_run(&loop, UV_RUN_DEFAULT);
    assert_int_equal(uv_loop_close(&loop), 0);
}

static void run_until_answered(uv_loop_t *loop, const struct asked *asked)
{
    for (int i = 0; i < ALL; i++)
        while (asked[i].answers == 0)
            uv_run(loop, UV_RUN_ONCE);
}

/* No thread comes: every one is told when its time is over, and the late result nobody. */
static void test_no_thread_comes(void **state)
{
    struct applies *applies = NULL;
    struct asked asked[ALL] = {0}, further = {0};
    struct holder holder;
    uv_loop_t loop;
    (void)state;
    uv_loop_init(&loop);
    hold_thread(&loop, &holder);
    assert_int_equal(applies_new(&loop, &settings, 1, &applies, NULL), 0);
    for (int i = 0; i < ALL; i++)
        assert_int_equal(start(applies, "/", &asked[i]), 0);
    assert_int_equal(start(applies, "/", &further), ERROR_LIMIT);
    run_until_answered(&loop, asked);
    uv_sem_post(&holder.go);
    uv_run(&loop, UV_RUN_DEFAULT);
    for (int i = 0; i < ALL; i++) {
        assert_int_equal(asked[i].answers, 1);
        assert_int_equal(asked[i].code, ERROR_TIMEOUT);
    }
    assert_int_equal(further.answers, 0);
    applies_free(applies);
    uv_run(&loop, UV_RUN_DEFAULT);
    assert_int_equal(uv_loop_close(&loop), 0);
}

/* The end: every one is told before applies_free returns, and what a thread still holds stays until it comes
 * back. */
static void test_end(void **state)
{
    struct applies *applies = NULL;
    struct asked asked[ALL] = {0};
    struct holder holder;
    uv_loop_t loop;
    (void)state;
    uv_loop_init(&loop);
    hold_thread(&loop, &holder);
    assert_int_equal(applies_new(&loop, &settings, 60000, &applies, NULL), 0);
    for (int i = 0; i < ALL; i++)
        assert_int_equal(start(applies, "/", &asked[i]), 0);
    applies_free(applies);
    for (int i = 0; i < ALL; i++) {
        assert_int_equal(asked[i].answers, 1);
        assert_int_equal(asked[i].code, ERROR_CANCELLED);
    }
    uv_sem_post(&holder.go);
    uv_run(&loop, UV_RUN_DEFAULT);
    for (int i = 0; i < ALL; i++)
        assert_int_equal(asked[i].answers, 1);
    assert_int_equal(uv_loop_close(&loop), 0);
    applies_free(NULL);
}

int main(void)
{
    setenv("UV_THREADPOOL_SIZE", "1", 1);
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_answers), cmocka_unit_test(test_no_thread_comes),
                                       cmocka_unit_test(test_end)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
