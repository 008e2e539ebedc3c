#include "problem.h"

#include <microhttpd.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/utf8.h"

#define ERRORS_MAX 50
#define RETRY_AFTER "5"

const char *problem_title(unsigned status)
{
    const char *title = MHD_get_reason_phrase_for(status);
    return title && strcmp(title, "Unknown") != 0 ? title : "Error";
}

static void init(struct problem *problem, unsigned status, const char *format, va_list args)
    __attribute__((format(printf, 3, 0)));
static void init(struct problem *problem, unsigned status, const char *format, va_list args)
{
    *problem = (struct problem){.status = status};
    vsnprintf(problem->detail, sizeof problem->detail, format, args);
    utf8_clean(problem->detail);
}

void problem_init(struct problem *problem, unsigned status, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    init(problem, status, format, args);
    va_end(args);
}

void problem_deinit(struct problem *problem)
{
    json_decref(problem->errors);
    json_decref(problem->members);
    problem->errors = problem->members = NULL;
}

static void add(struct problem *problem, const char *field, const char *format, va_list args)
    __attribute__((format(printf, 3, 0)));
static void add(struct problem *problem, const char *field, const char *format, va_list args)
{
    char message[1200], name[200];
    vsnprintf(message, sizeof message, format, args);
    utf8_clean(message);
    snprintf(name, sizeof name, "%s", field);
    utf8_clean(name);
    if (problem->errors == NULL)
        problem->errors = json_array();
    if (json_array_size(problem->errors) < ERRORS_MAX)
        json_array_append_new(problem->errors, json_pack("{s:s, s:s}", "field", name, "message", message));
}

void problem_add(struct problem *problem, const char *field, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    add(problem, field, format, args);
    va_end(args);
}

void problem_set(struct problem *problem, const char *member, json_t *value)
{
    if (problem->members == NULL)
        problem->members = json_object();
    json_object_set_new(problem->members, member, value);
}

bool problem_has_errors(const struct problem *problem)
{
    return problem->errors != NULL;
}

json_t *problem_document(const struct problem *problem)
{
    json_t *document =
        json_pack("{s:s, s:s, s:i, s:s}", "type", "about:blank", "title", problem_title(problem->status),
                  "status", (int)problem->status, "detail", problem->detail);
    if (document && problem->errors)
        json_object_set(document, "errors", problem->errors);
    if (document && problem->members)
        json_object_update_missing(document, problem->members);
    return document;
}

void problem_send(struct problem *problem, struct http_request *request)
{
    static const char last_words[] = "{\"type\":\"about:blank\",\"title\":\"Internal Server Error\","
                                     "\"status\":500,\"detail\":\"out of memory\"}";
    unsigned status = problem->status;
    json_t *document = problem_document(problem);
    char *text = document ? json_dumps(document, JSON_COMPACT) : NULL;
    json_decref(document);
    problem_deinit(problem);
    if (status == 401 && !http_has_header(request, MHD_HTTP_HEADER_WWW_AUTHENTICATE))
        http_set_header(request, MHD_HTTP_HEADER_WWW_AUTHENTICATE, "Bearer");
    if ((status == 429 || status == 503) && !http_has_header(request, MHD_HTTP_HEADER_RETRY_AFTER))
        http_set_header(request, MHD_HTTP_HEADER_RETRY_AFTER, RETRY_AFTER);
    if (text == NULL) {
        status = 500;
        text = strdup(last_words);
    }
    http_reply_bytes(request, status, "application/problem+json", text, text ? strlen(text) : 0);
}

void problem_reply_later(struct http_request *request, unsigned status, unsigned retry_after_s,
                         const char *format, ...)
{
    struct problem problem;
    char seconds[16];
    va_list args;
    va_start(args, format);
    init(&problem, status, format, args);
    va_end(args);
    snprintf(seconds, sizeof seconds, "%u", retry_after_s);
    http_set_header(request, MHD_HTTP_HEADER_RETRY_AFTER, seconds);
    problem_send(&problem, request);
}

void problem_reply(struct http_request *request, unsigned status, const char *format, ...)
{
    struct problem problem;
    va_list args;
    va_start(args, format);
    init(&problem, status, format, args);
    va_end(args);
    problem_send(&problem, request);
}

void problem_reply_error(struct http_request *request, const struct error *err)
{
    unsigned status = 500;
    if (err->retryable)
        status = 503;
    else if (err->code == ERROR_INPUT || err->code == ERROR_UNSAFE_PATH)
        status = 400;
    else if (err->code == ERROR_NOT_FOUND)
        status = 404;
    else if (err->code == ERROR_EXISTS || err->code == ERROR_CONFLICT || err->code == ERROR_UNSUPPORTED)
        status = 409;
    else if (err->code == ERROR_DENIED)
        status = 403;
    problem_reply(request, status, "%s", err->message);
}

void problem_reply_field(struct http_request *request, const char *field, const char *format, ...)
{
    struct problem problem;
    va_list args;
    problem_init(&problem, 422, "%s can't be taken as it is", field);
    va_start(args, format);
    add(&problem, field, format, args);
    va_end(args);
    problem_send(&problem, request);
}
