/* A signal that comes when the program's own handles are closed already. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>
#include <signal.h>
#include <uv.h>

#include "loop/end_signals.h"

static void on_signal(uv_signal_t *handle, int number)
{
    *(int *)handle->data = number;
    uv_stop(handle->loop);
}

/* Hears one signal, closes its handle, and gets another. */
static int live(int number, bool hold)
{
    uv_loop_t loop;
    uv_signal_t handle;
    int heard = 0;
    if (hold)
        end_signals_hold();
    uv_loop_init(&loop);
    uv_signal_init(&loop, &handle);
    handle.data = &heard;
    uv_signal_start(&handle, on_signal, number);
    raise(number);
    uv_run(&loop, UV_RUN_DEFAULT);
    uv_close((uv_handle_t *)&handle, NULL);
    uv_run(&loop, UV_RUN_DEFAULT);
    for (int i = 0; i < 100000; i++) /* more than the loop that never runs can take note of */
        raise(number);
    return heard == number && uv_loop_close(&loop) == 0 ? 0 : 1;
}

static int status_of(int number, bool hold)
{
    int status = 0;
    pid_t child = fork();
    assert_true(child >= 0);
    if (child == 0)
        _exit(live(number, hold));
    assert_int_equal(waitpid(child, &status, 0), child);
    return status;
}

static void test_late_signal(void **state)
{
    (void)state;
    assert_int_equal(status_of(SIGTERM, true), 0);
    assert_int_equal(status_of(SIGINT, true), 0);
}

static void test_without(void **state)
{
    (void)state;
    int status = status_of(SIGTERM, false);
    assert_true(WIFSIGNALED(status) && WTERMSIG(status) == SIGTERM);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_late_signal),
        cmocka_unit_test(test_without),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
