#include "storage/object/errors.h"

#include <ctype.h>
#include <curl/curl.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define SECRET_RUN 32 /* as long as the shortest of what must not be shown */
#define RETRY_AFTER_MAX_MS (INT64_C(24) * 3600 * 1000)

/* What HTTP itself means by them. */
static const struct object_status_row statuses[] = {
    {400, {NULL, OBJECT_ERROR_FINAL, ERROR_INPUT, NULL}},
    {401, {NULL, OBJECT_ERROR_FINAL, ERROR_DENIED, NULL}},
    {403, {NULL, OBJECT_ERROR_FINAL, ERROR_DENIED, NULL}},
    {404, {NULL, OBJECT_ERROR_FINAL, ERROR_NOT_FOUND, NULL}},
    {405, {NULL, OBJECT_ERROR_FINAL, ERROR_UNSUPPORTED, NULL}},
    {407, {NULL, OBJECT_ERROR_FINAL, ERROR_DENIED, "the proxy wants credentials"}},
    {408, {NULL, OBJECT_ERROR_TRANSIENT, ERROR_TIMEOUT, NULL}},
    {409, {NULL, OBJECT_ERROR_FINAL, ERROR_CONFLICT, NULL}},
    {412, {NULL, OBJECT_ERROR_FINAL, ERROR_CONFLICT, NULL}},
    {413, {NULL, OBJECT_ERROR_FINAL, ERROR_LIMIT, NULL}},
    {429, {NULL, OBJECT_ERROR_TRANSIENT, ERROR_LIMIT, NULL}},
    {499, {NULL, OBJECT_ERROR_TRANSIENT, ERROR_UNREACHABLE, NULL}},
    {501, {NULL, OBJECT_ERROR_FINAL, ERROR_UNSUPPORTED, NULL}},
    {504, {NULL, OBJECT_ERROR_TRANSIENT, ERROR_TIMEOUT, NULL}},
    {505, {NULL, OBJECT_ERROR_FINAL, ERROR_UNSUPPORTED, NULL}},
    {507, {NULL, OBJECT_ERROR_FINAL, ERROR_NO_SPACE, "raise the quota or free space there"}},
};

static bool matches(const char *pattern, const char *code)
{
    size_t n = strlen(pattern);
    if (pattern[n - 1] == '*')
        return strncmp(pattern, code, n - 1) == 0;
    return strcmp(pattern, code) == 0;
}

static const struct object_error_row *find_status(const struct object_status_row *rows, size_t n, int status)
{
    for (size_t i = 0; i < n; i++)
        if (rows[i].status == status)
            return &rows[i].row;
    return NULL;
}

struct object_error_row object_error_find(const struct object_error_table *table, int status,
                                          const char *code)
{
    for (size_t i = 0; *code && i < table->n_codes; i++)
        if (matches(table->codes[i].code, code))
            return table->codes[i];
    const struct object_error_row *row = find_status(table->statuses, table->n_statuses, status);
    if (row == NULL)
        row = find_status(statuses, sizeof statuses / sizeof *statuses, status);
    if (row)
        return *row;
    if (status >= 500)
        return (struct object_error_row){NULL, OBJECT_ERROR_TRANSIENT, ERROR_UNREACHABLE, NULL};
    if (status >= 400)
        return (struct object_error_row){NULL, OBJECT_ERROR_FINAL, ERROR_INPUT, NULL};
    /* not an answer to what was asked */
    return (struct object_error_row){NULL, OBJECT_ERROR_TRANSIENT, ERROR_PROTOCOL, NULL};
}

/* Some services repeat in their message what they didn't like. */
void object_hide_secrets(char *text)
{
    char *out = text;
    for (const char *in = text; *in;) {
        size_t run = 0;
        while (isalnum((unsigned char)in[run]) || (in[run] && strchr("+/=_-%", in[run])))
            run++;
        if (run >= SECRET_RUN) {
            memcpy(out, "***", 3);
            out += 3;
        } else {
            run = run ? run : 1;
            memmove(out, in, run);
            out += run;
        }
        in += run;
    }
    *out = '\0';
}

void object_hide_text(char *text, const char *what)
{
    size_t n = strlen(what);
    for (char *at = n ? strstr(text, what) : NULL; at; at = strstr(at, what))
        memset(at, '*', n);
}

int object_error_fill(const struct object_error_row *row, int status, const char *code, const char *message,
                      struct error *err)
{
    char text[400];
    char name[64];
    snprintf(text, sizeof text, "%s", message);
    snprintf(name, sizeof name, "%s", code);
    object_hide_secrets(text);
    if (row->code == NULL) /* a code that we don't know may be anything */
        object_hide_secrets(name);
    /* People set clocks and renew tokens, and then the same call succeeds. */
    bool retryable = row->class == OBJECT_ERROR_TRANSIENT || row->class == OBJECT_ERROR_CLOCK ||
                     row->class == OBJECT_ERROR_TOKEN;
    error_set(err, row->error, retryable, "%d%s%s%s%s%s%s", status, *name ? " " : "", name, *text ? ": " : "",
              text, row->way_out ? "; " : "", row->way_out ? row->way_out : "");
    if (err && *name)
        snprintf(err->native, sizeof err->native, "%.23s", name);
    else if (err)
        snprintf(err->native, sizeof err->native, "%d", status);
    return row->error;
}

int64_t object_http_date_ms(const char *value)
{
    time_t seconds = curl_getdate(value, NULL);
    return seconds < 0 ? -1 : (int64_t)seconds * 1000;
}

int64_t object_retry_after_ms(const char *value, int64_t now_ms)
{
    if (value == NULL)
        return 0;
    while (*value == ' ' || *value == '\t')
        value++;
    int64_t ms;
    if (isdigit((unsigned char)*value)) {
        char *end;
        long long seconds = strtoll(value, &end, 10); /* saturates */
        if (*end != '\0' && *end != ' ' && *end != '.')
            return 0;
        ms = seconds > RETRY_AFTER_MAX_MS / 1000 ? RETRY_AFTER_MAX_MS : seconds * 1000;
    } else {
        int64_t when = object_http_date_ms(value);
        ms = when < 0 || when <= now_ms ? 0 : when - now_ms;
    }
    return ms > RETRY_AFTER_MAX_MS ? RETRY_AFTER_MAX_MS : ms;
}
