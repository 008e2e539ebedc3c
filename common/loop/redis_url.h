/* Where a Redis is and how to enter: the URL of redis.h taken apart. */
#pragma once

#include "base/error.h"

struct redis_url {
    char *host; /* NULL for a unix socket */
    int port;
    char *path; /* of the socket, or NULL */
    char *user; /* or NULL */
    char *password;
    int db;
    char where[300]; /* for messages: host:port or path, nothing secret */
};

/* ERROR_INPUT says what is wrong and quotes nothing of the URL but its scheme. */
int redis_url_parse(struct redis_url *url, const char *text, struct error *err);
void redis_url_deinit(struct redis_url *url);
