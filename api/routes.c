#include "api.h"

#include <stdlib.h>
#include <string.h>

#define DATABASES "/api/databases/"
#define DETAILS "/details"

/* ids are PostgreSQL's integer; 0 = not a number, INT64_MAX = too large for any id. */
static int64_t parse_id(const char *text, size_t size)
{
    if (size == 0 || strspn(text, "0123456789") < size)
        return 0;
    int64_t id = 0;
    for (size_t i = 0; i < size; i++) {
        id = id * 10 + (text[i] - '0');
        if (id > INT32_MAX)
            return INT64_MAX;
    }
    return id;
}

static void serve_details(struct api *api, struct http_request *request, const char *text, size_t size)
{
    int64_t id = parse_id(text, size);
    if (id == 0)
        http_reply_error(request, 400, "the database's id must be a positive whole number, not '%.*s'",
                         size < 60 ? (int)size : 60, text);
    else if (id == INT64_MAX)
        http_reply_error(request, 404, "there is no database %.*s", size < 60 ? (int)size : 60, text);
    else
        details_get(api, request, id);
}

void api_serve(void *data, struct http_request *request, const char *path)
{
    struct api *api = data;
    size_t n = strlen(path);
    if (strcmp(path, "/healthz") == 0) {
        health_live(api, request);
        return;
    }
    if (strcmp(path, "/readyz") == 0) {
        health_ready(api, request);
        return;
    }
    if (strncmp(path, DATABASES, strlen(DATABASES)) == 0 && n >= strlen(DATABASES DETAILS) &&
        strcmp(path + n - strlen(DETAILS), DETAILS) == 0) {
        const char *id = path + strlen(DATABASES);
        size_t size = n - strlen(DATABASES DETAILS);
        if (memchr(id, '/', size) == NULL) {
            serve_details(api, request, id, size);
            return;
        }
    }
    http_reply_error(request, 404, "there is nothing at %.200s", path);
}
