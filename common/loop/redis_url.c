#include "loop/redis_url.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define DEFAULT_PORT 6379

static int hex(char c)
{
    if (c >= '0' && c <= '9')
        return c - '0';
    if (c >= 'a' && c <= 'f')
        return c - 'a' + 10;
    return c >= 'A' && c <= 'F' ? c - 'A' + 10 : -1;
}

/* Percent-decoded copy of [from, to); NULL for a bad escape or a NUL in it. */
static char *decode(const char *from, const char *to)
{
    char *text = malloc((size_t)(to - from) + 1);
    char *out = text;
    while (text && from < to) {
        char c = *from++;
        if (c == '%') {
            int value = to - from >= 2 && hex(from[0]) >= 0 && hex(from[1]) >= 0
                            ? hex(from[0]) * 16 + hex(from[1])
                            : 0;
            if (value == 0) {
                free(text);
                return NULL;
            }
            c = (char)value;
            from += 2;
        }
        *out++ = c;
    }
    if (text)
        *out = '\0';
    return text;
}

/* A whole decimal number up to max, or -1. */
static int number(const char *from, const char *to, int max)
{
    int value = 0;
    if (from == to)
        return -1;
    for (; from < to; from++) {
        if (*from < '0' || *from > '9')
            return -1;
        value = value * 10 + (*from - '0');
        if (value > max)
            return -1;
    }
    return value;
}

static int bad(struct error *err, const char *why)
{
    return error_set(err, ERROR_INPUT, false,
                     "the Redis URL is not redis://[user:password@]host[:port][/db] or "
                     "unix:///path[?db=N]: %s",
                     why);
}

static int parse_userinfo(struct redis_url *url, const char *from, const char *to, struct error *err)
{
    const char *colon = memchr(from, ':', (size_t)(to - from));
    if (colon == NULL)
        return bad(err, "no colon before the @ (a password alone is written :password@host)");
    if (colon > from && (url->user = decode(from, colon)) == NULL)
        return bad(err, "the user has a bad %-escape");
    if (colon + 1 < to && (url->password = decode(colon + 1, to)) == NULL)
        return bad(err, "the password has a bad %-escape");
    if (url->user && url->password == NULL)
        return bad(err, "a user without a password");
    return 0;
}

static int parse_query(struct redis_url *url, const char *query, struct error *err)
{
    if (*query == '\0')
        return 0;
    if (strncmp(query, "?db=", 4) != 0)
        return bad(err, "the only option is ?db=N");
    url->db = number(query + 4, query + strlen(query), 1000000);
    return url->db < 0 ? bad(err, "db is not a number") : 0;
}

static int parse_unix(struct redis_url *url, const char *text, struct error *err)
{
    const char *end = text + strcspn(text, "?");
    if (*text != '/')
        return bad(err, "a socket's path is absolute: unix:///path");
    if ((url->path = decode(text, end)) == NULL)
        return bad(err, "the path has a bad %-escape");
    snprintf(url->where, sizeof url->where, "%s", url->path);
    return parse_query(url, end, err);
}

static int parse_tcp(struct redis_url *url, const char *text, struct error *err)
{
    const char *end = text + strcspn(text, "/?");
    const char *at = memrchr(text, '@', (size_t)(end - text));
    if (at) {
        int rc = parse_userinfo(url, text, at, err);
        if (rc != 0)
            return rc;
        text = at + 1;
    }
    const char *host_end;
    const char *colon;
    bool bracket = *text == '[';
    if (bracket) {
        text++;
        host_end = memchr(text, ']', (size_t)(end - text));
        if (host_end == NULL)
            return bad(err, "no ] behind the address");
        colon = host_end + 1;
    } else {
        colon = memchr(text, ':', (size_t)(end - text));
        host_end = colon = colon ? colon : end;
    }
    if (host_end == text)
        return bad(err, "no host");
    url->port = DEFAULT_PORT;
    if (colon < end && (*colon != ':' || (url->port = number(colon + 1, end, 65535)) < 1))
        return bad(err, "the port is not a number from 1 to 65535");
    if ((url->host = decode(text, host_end)) == NULL)
        return bad(err, "the host has a bad %-escape");
    snprintf(url->where, sizeof url->where, bracket ? "[%s]:%d" : "%s:%d", url->host, url->port);
    if (*end == '/' && end[1] != '\0' && end[1] != '?') {
        const char *query = end + strcspn(end, "?");
        url->db = number(end + 1, query, 1000000);
        if (url->db < 0)
            return bad(err, "what follows the host's / is not a database number");
        end = query;
    } else if (*end == '/') {
        end++;
    }
    return parse_query(url, end, err);
}

int redis_url_parse(struct redis_url *url, const char *text, struct error *err)
{
    struct redis_url parsed = {0};
    int rc;
    if (strncmp(text, "redis://", 8) == 0)
        rc = parse_tcp(&parsed, text + 8, err);
    else if (strncmp(text, "unix://", 7) == 0)
        rc = parse_unix(&parsed, text + 7, err);
    else if (strncmp(text, "rediss://", 9) == 0)
        rc = error_set(err, ERROR_INPUT, false,
                       "rediss:// can't be used: this build's Redis client has no TLS; put a TLS proxy "
                       "(stunnel, envoy) beside the program and give its redis:// or unix:// address");
    else
        rc = bad(err, "unknown scheme");
    if (rc != 0) {
        redis_url_deinit(&parsed);
        return rc;
    }
    *url = parsed;
    return 0;
}

void redis_url_deinit(struct redis_url *url)
{
    free(url->host);
    free(url->path);
    free(url->user);
    if (url->password)
        explicit_bzero(url->password, strlen(url->password));
    free(url->password);
    *url = (struct redis_url){0};
}
