#include "storage/gcs/upload_url.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Where the path begins: behind "https://host:port". */
static size_t origin_size(const char *url)
{
    const char *host = strstr(url, "://");
    return host ? (size_t)(host - url) + 3 + strcspn(host + 3, "/?#") : 0;
}

static bool is_googles(const struct object_endpoint *place)
{
    size_t n = strlen(place->scheme_host), k = strlen(GCS_DOMAIN);
    return place->https && n > k && strcmp(place->scheme_host + n - k, GCS_DOMAIN) == 0;
}

/* Whether the bytes may go where the URL says. */
static bool is_trusted(const struct gcs_config *config, const char *url, size_t size)
{
    char origin[300];
    struct object_endpoint place;
    if (size >= sizeof origin)
        return false;
    snprintf(origin, sizeof origin, "%.*s", (int)size, url);
    return object_endpoint_parse(origin, &place) &&
           (strcmp(place.scheme_host, config->endpoint) == 0 || (config->google && is_googles(&place)));
}

static bool is_clean(const char *text)
{
    for (const char *at = text; *at; at++)
        if (*at <= ' ' || *at > '~' || *at == '#')
            return false;
    return true;
}

int gcs_session_url(const struct gcs_config *config, const char *text, char **ret, struct error *err)
{
    size_t origin = origin_size(text);
    const char *path = text + origin;
    bool trusted = origin > 0 && is_trusted(config, text, origin);
    bool usable = strnlen(text, GCS_SESSION_MAX + 1) <= GCS_SESSION_MAX && is_clean(text) && *path == '/';
    if (!usable || (origin > 0 && !trusted && config->google))
        return error_set(err, ERROR_PROTOCOL, true,
                         "the store names a place for the upload that can't be, or isn't one of Google's");
    if (asprintf(ret, "%s%s", trusted ? "" : config->endpoint, trusted ? text : path) < 0) {
        *ret = NULL;
        return error_set(err, ERROR_SYSTEM, true, "out of memory");
    }
    return 0;
}

bool gcs_kept_bytes(const char *range, uint64_t *ret)
{
    static const char beginning[] = "bytes=0-";
    if (range == NULL) {
        *ret = 0;
        return true;
    }
    if (strncmp(range, beginning, strlen(beginning)) != 0)
        return false;
    const char *last = range + strlen(beginning);
    size_t n = strspn(last, "0123456789");
    if (n == 0 || n > 18 || last[n] != '\0')
        return false;
    *ret = strtoull(last, NULL, 10) + 1;
    return true;
}
