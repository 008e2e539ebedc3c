#include "loop/end_signals.h"

#include <signal.h>
#include <uv.h>

static void on_signal(uv_signal_t *handle, int number)
{
    (void)handle;
    (void)number;
}

void end_signals_hold(void)
{
    static uv_loop_t loop;
    static uv_signal_t handles[2];
    static const int numbers[2] = {SIGTERM, SIGINT};
    if (uv_loop_init(&loop))
        return;
    for (int i = 0; i < 2; i++) {
        uv_signal_init(&loop, &handles[i]);
        uv_signal_start(&handles[i], on_signal, numbers[i]);
    }
}
