/*
 * A path against the table, part by part. The path is read first: what can't be read, or could be read in two
 * ways ("//", "..", an encoded '/'), is 400 and never reaches a pattern.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/utf8.h"
#include "route.h"

#define PARTS_MAX 32
#define NAME_MAX_BYTES 255

struct parts {
    size_t n;
    char *text[PARTS_MAX]; /* decoded, NUL-terminated, one behind the other */
};

enum parameter { LITERAL, ID, BIGID, NAME, FILE_REST };

static int hex(char c)
{
    const char *digits = "0123456789abcdef";
    const char *p = c ? strchr(digits, c >= 'A' && c <= 'F' ? c - 'A' + 'a' : c) : NULL;
    return p ? (int)(p - digits) : -1;
}

static bool is_utf8(const char *text)
{
    char copy[NAME_MAX_BYTES + 1];
    snprintf(copy, sizeof copy, "%s", text);
    utf8_clean(copy);
    return strcmp(copy, text) == 0;
}

/* Decodes one part of size bytes into *out, which moves behind its NUL. NULL: fine; else what is wrong. */
static const char *decode_part(const char *text, size_t size, char **out)
{
    char *begin = *out, *p = begin;
    for (size_t i = 0; i < size; i++) {
        if (text[i] != '%') {
            *p++ = text[i];
            continue;
        }
        int high = size - i > 2 ? hex(text[i + 1]) : -1;
        int low = size - i > 2 ? hex(text[i + 2]) : -1;
        if (high < 0 || low < 0)
            return "a '%' in the path is not followed by two hex digits";
        *p++ = (char)(high * 16 + low);
        i += 2;
    }
    *p = '\0';
    *out = p + 1;
    if (strlen(begin) != (size_t)(p - begin) || strchr(begin, '/'))
        return "the path holds an encoded NUL or '/'";
    if (strcmp(begin, ".") == 0 || strcmp(begin, "..") == 0)
        return "the path holds '.' or '..' as a part";
    if (p - begin > NAME_MAX_BYTES)
        return "a part of the path has more than 255 bytes";
    if (!is_utf8(begin))
        return "the path holds control characters or is not UTF-8";
    return NULL;
}

/* path begins with '/'. decoded has room for all of it. */
static const char *split(const char *path, char *decoded, struct parts *parts)
{
    parts->n = 0;
    if (strcmp(path, "/") == 0)
        return NULL;
    for (const char *p = path; *p;) {
        size_t size = strcspn(++p, "/");
        if (size == 0 && *p)
            return "the path holds '//'";
        if (parts->n == PARTS_MAX)
            return "the path has too many parts";
        parts->text[parts->n++] = decoded;
        const char *wrong = decode_part(p, size, &decoded);
        if (wrong)
            return wrong;
        p += size;
    }
    return NULL;
}

static enum parameter kind_of(const char *part, size_t size)
{
    static const char *const names[] = {
        [ID] = "{id}", [BIGID] = "{bigid}", [NAME] = "{name}", [FILE_REST] = "{file}"};
    for (enum parameter kind = ID; kind <= FILE_REST; kind++)
        if (strlen(names[kind]) == size && strncmp(part, names[kind], size) == 0)
            return kind;
    return LITERAL;
}

/* 0: not a number from 1 to max; *ret_large: it is one that is larger. */
static int64_t parse_id(const char *text, int64_t max, bool *ret_large)
{
    size_t digits = strspn(text, "0123456789");
    int64_t id = 0;
    if (digits == 0 || text[digits])
        return 0;
    for (const char *p = text; *p; p++) {
        if (id > (max - (*p - '0')) / 10) {
            *ret_large = true;
            return 0;
        }
        id = id * 10 + (*p - '0');
    }
    return id;
}

/* A pattern held against a path. rank: the smaller the better; bit by bit from the left, 0 is a literal part.
 */
struct candidate {
    bool fits;
    const char *why; /* it fits but for an id */
    unsigned why_status;
    unsigned n;
    int64_t ids[ROUTE_PARAMETERS];
    const char *texts[ROUTE_PARAMETERS];
    uint64_t rank;
    const char *rest; /* {file}: its first part */
};

static void take_id(struct candidate *c, const char *text, enum parameter kind)
{
    bool large = false;
    c->ids[c->n] = parse_id(text, kind == ID ? INT32_MAX : INT64_MAX, &large);
    if (c->ids[c->n] == 0 && c->why == NULL) {
        c->why = large ? "there is nothing with so large an id"
                       : "an id in the path must be a positive whole number";
        c->why_status = large ? 404 : 400;
    }
}

/* The parts from `first` on as one text again. */
static void join_rest(const struct parts *parts, const char *first)
{
    for (size_t i = 0; i < parts->n; i++)
        if (parts->text[i] > first)
            parts->text[i][-1] = '/';
}

static struct candidate compare(const char *pattern, const struct parts *parts)
{
    struct candidate c = {0};
    const char *p = strcmp(pattern, "/") == 0 ? "" : pattern;
    for (size_t i = 0; i < parts->n; i++) {
        if (*p++ != '/')
            return c;
        size_t size = strcspn(p, "/");
        enum parameter kind = kind_of(p, size);
        const char *text = parts->text[i];
        c.rank = c.rank * 2 + (kind != LITERAL);
        if (kind == LITERAL && (strlen(text) != size || strncmp(text, p, size) != 0))
            return c;
        if ((kind == NAME && *text == '\0') || (kind == FILE_REST && *parts->text[parts->n - 1] == '\0'))
            return c;
        if (kind == ID || kind == BIGID)
            take_id(&c, text, kind);
        if (kind != LITERAL)
            c.texts[c.n++] = text;
        p += size;
        if (kind == FILE_REST) {
            c.rank = UINT64_MAX;
            c.rest = text;
            break;
        }
    }
    c.fits = *p == '\0' && (parts->n > 0 || strcmp(pattern, "/") == 0);
    return c;
}

static unsigned bit(enum http_method method)
{
    return 1u << method;
}

static void look_for(const struct route *routes, size_t n_routes, enum http_method method,
                     const struct parts *parts, struct route_match *m)
{
    struct candidate best = {.rank = UINT64_MAX};
    const struct route *route = NULL, *other = NULL;
    enum http_method wanted = method == HTTP_HEAD ? HTTP_GET : method;
    for (size_t i = 0; i < n_routes; i++) {
        struct candidate c = compare(routes[i].pattern, parts);
        if (!c.fits || (other && c.rank > best.rank))
            continue;
        if (other == NULL || c.rank < best.rank) { /* what a worse pattern allows does not count */
            m->allowed = 0;
            route = NULL;
        }
        best = c;
        other = &routes[i];
        m->allowed |= bit(routes[i].method);
        if (routes[i].method == wanted)
            route = other;
    }
    if (other == NULL) {
        m->status = 404;
        m->why = "there is nothing at this path";
        return;
    }
    if (m->allowed & bit(HTTP_GET))
        m->allowed |= bit(HTTP_HEAD);
    m->allowed |= bit(HTTP_OPTIONS);
    m->status = route || method == HTTP_OPTIONS ? 0 : 405;
    if (m->status == 0 && route && best.why) {
        m->status = best.why_status;
        m->why = best.why;
        return;
    }
    m->route = route;
    m->n_parameters = best.n;
    memcpy(m->ids, best.ids, sizeof m->ids);
    memcpy(m->texts, best.texts, sizeof m->texts);
    if (route && best.rest)
        join_rest(parts, best.rest);
}

bool route_find(const struct route *routes, size_t n_routes, enum http_method method, const char *path,
                struct route_match *ret_match)
{
    struct parts parts;
    *ret_match = (struct route_match){.decoded = malloc(strlen(path) + PARTS_MAX + 1)};
    if (ret_match->decoded == NULL)
        return false;
    ret_match->why = *path == '/' ? split(path, ret_match->decoded, &parts) : "the path must begin with '/'";
    ret_match->status = 400;
    if (ret_match->why == NULL)
        look_for(routes, n_routes, method, &parts, ret_match);
    return true;
}

void route_match_deinit(struct route_match *match)
{
    free(match->decoded);
    match->decoded = NULL;
}

void route_allow(unsigned allowed, char text[ROUTE_ALLOW_SIZE])
{
    size_t n = 0;
    text[0] = '\0';
    for (enum http_method method = HTTP_GET; method < HTTP_METHODS; method++)
        if (allowed & bit(method))
            n += (size_t)snprintf(text + n, ROUTE_ALLOW_SIZE - n, "%s%s", n ? ", " : "",
                                  http_method_name(method));
}
