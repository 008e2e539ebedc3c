#include "base/backoff.h"

int64_t backoff_ms(int attempt, int64_t base_ms, int64_t cap_ms, uint64_t random)
{
    if (base_ms < 1)
        base_ms = 1;
    int64_t window = base_ms;
    for (int i = 1; i < attempt && window < cap_ms; i++)
        window = window > cap_ms / 2 ? cap_ms : window * 2;
    if (window > cap_ms)
        window = cap_ms;
    if (window < 1)
        window = 1;
    return 1 + (int64_t)(random % (uint64_t)window);
}
