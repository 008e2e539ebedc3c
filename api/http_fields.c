#include "http_fields.h"

#include <stddef.h>
#include <string.h>
#include <strings.h>

static const char *skip_blank(const char *p)
{
    return p + strspn(p, " \t");
}

static size_t token_size(const char *p)
{
    return strcspn(p, ",; \t=");
}

/* q of a list's element, in thousandths: p stands behind its name. Nonsense counts as 0. */
static int weight(const char *p)
{
    p = skip_blank(p);
    if (*p != ';')
        return 1000;
    p = skip_blank(p + 1);
    if (strncasecmp(p, "q=", 2) != 0 || (p[2] != '0' && p[2] != '1'))
        return 0;
    int value = (p[2] - '0') * 1000;
    if (p[3] == '.') {
        int unit = 100;
        for (p += 4; *p >= '0' && *p <= '9' && unit; p++, unit /= 10)
            value += (*p - '0') * unit;
    }
    return value < 1000 ? value : 1000;
}

bool fields_accept_gzip(const char *accept_encoding)
{
    int gzip = -1, identity = -1, any = -1;
    for (const char *p = accept_encoding ? accept_encoding : ""; *p;) {
        p += strspn(p, " \t,");
        size_t n = token_size(p);
        int *which = n == 4 && strncasecmp(p, "gzip", 4) == 0                 ? &gzip
                     : n == 6 && strncasecmp(p, "x-gzip", 6) == 0 && gzip < 0 ? &gzip
                     : n == 8 && strncasecmp(p, "identity", 8) == 0           ? &identity
                     : n == 1 && *p == '*'                                    ? &any
                                                                              : NULL;
        if (which)
            *which = weight(p + n);
        p += strcspn(p, ",");
    }
    if (gzip < 0)
        gzip = any;
    return gzip > 0 && gzip >= identity;
}

bool fields_match_etag(const char *named, const char *etag)
{
    size_t n = strlen(etag);
    for (const char *p = named ? named : ""; *p;) {
        p += strspn(p, " \t,");
        if (*p == '*')
            return true;
        if (strncmp(p, "W/", 2) == 0)
            p += 2;
        if (*p != '"')
            return false;
        const char *end = strchr(p + 1, '"');
        if (end == NULL)
            return false;
        if ((size_t)(end + 1 - p) == n && strncmp(p, etag, n) == 0)
            return true;
        p = end + 1;
    }
    return false;
}

bool fields_are_json(const char *content_type)
{
    if (content_type == NULL)
        return false;
    const char *p = skip_blank(content_type);
    size_t n = token_size(p);
    if (n != strlen("application/json") || strncasecmp(p, "application/json", n) != 0)
        return false;
    for (p = skip_blank(p + n); *p == ';'; p = skip_blank(p)) {
        p = skip_blank(p + 1);
        if (*p == '\0')
            return true;
        if (strncasecmp(p, "charset=", 8) != 0)
            return false;
        p += 8;
        if (strncasecmp(p, "utf-8", 5) == 0)
            p += 5;
        else if (strncasecmp(p, "\"utf-8\"", 7) == 0)
            p += 7;
        else
            return false;
    }
    return *p == '\0';
}

bool fields_compressible(const char *content_type)
{
    static const char *const types[] = {"application/json", "application/problem+json",
                                        "application/javascript", "image/svg+xml"};
    if (strncasecmp(content_type, "text/", 5) == 0)
        return true;
    size_t n = strcspn(content_type, "; \t");
    for (size_t i = 0; i < sizeof types / sizeof *types; i++)
        if (strlen(types[i]) == n && strncasecmp(content_type, types[i], n) == 0)
            return true;
    return false;
}

/* Digits at *p, which moves behind them; -1: none. What is larger than any file stays so. */
static int64_t read_number(const char **p)
{
    int64_t number = -1;
    for (; **p >= '0' && **p <= '9'; (*p)++) {
        int64_t so_far = number < 0 ? 0 : number;
        number = so_far > (INT64_MAX - 9) / 10 ? INT64_MAX : so_far * 10 + (**p - '0');
    }
    return number;
}

enum fields_range fields_range(const char *range, int64_t size, int64_t *ret_first, int64_t *ret_length)
{
    *ret_first = 0;
    *ret_length = size;
    if (range == NULL || strncasecmp(range, "bytes=", 6) != 0)
        return FIELDS_RANGE_WHOLE;
    const char *p = skip_blank(range + 6);
    int64_t first = read_number(&p);
    if (*p++ != '-')
        return FIELDS_RANGE_WHOLE;
    int64_t last = read_number(&p);
    if (*skip_blank(p) || (first < 0 && last < 0) || (first >= 0 && last >= 0 && last < first))
        return FIELDS_RANGE_WHOLE;
    if (first < 0 ? last == 0 || size == 0 : first >= size) {
        *ret_length = 0;
        return FIELDS_RANGE_UNSATISFIABLE;
    }
    if (first < 0) {
        first = last < size ? size - last : 0;
        last = size - 1;
    }
    if (last < 0 || last >= size)
        last = size - 1;
    *ret_first = first;
    *ret_length = last - first + 1;
    return FIELDS_RANGE_PART;
}
