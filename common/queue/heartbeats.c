#include "queue/heartbeats.h"

#include <jansson.h>
#include <stdint.h>
#include <string.h>

bool queue_host_is_alive(const redisReply *workers, const char *host)
{
    int64_t newest = 0;
    for (int pass = 0; pass < 2; pass++) {
        for (size_t i = 0; i + 1 < workers->elements; i += 2) {
            const redisReply *details = workers->element[i + 1];
            json_t *root =
                details->type == REDIS_REPLY_STRING ? json_loadb(details->str, details->len, 0, NULL) : NULL;
            int64_t at = json_integer_value(json_object_get(root, "at_ms"));
            int64_t lease_ms = 1000 * json_integer_value(json_object_get(root, "lease_seconds"));
            const char *name = json_string_value(json_object_get(root, "host"));
            bool theirs = name && strcmp(name, host) == 0;
            json_decref(root);
            if (pass == 0 && at > newest)
                newest = at; /* Redis's clock wrote them all; the newest is near its now */
            if (pass == 1 && theirs && at + lease_ms >= newest)
                return true;
        }
    }
    return false;
}
