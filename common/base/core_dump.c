#include "base/core_dump.h"

#include <sys/resource.h>

void core_dump_forbid(void)
{
    struct rlimit limit;
    if (getrlimit(RLIMIT_CORE, &limit))
        return;
    limit.rlim_cur = 0;
    (void)setrlimit(RLIMIT_CORE, &limit);
}
