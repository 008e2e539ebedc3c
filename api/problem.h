/*
 * Answers to what can't be done: RFC 9457 problem documents, application/problem+json.
 *
 *   {"type": "about:blank", "title": "Bad Request", "status": 400, "detail": "...",
 *    "errors": [{"field": "cron", "message": "..."}]}
 *
 * detail names the thing and the way out, for people; never a secret. errors: one for each field that must be
 * written differently, and how. title is the status' phrase.
 */
#pragma once

#include "http.h"

/* The reply. As with problem_send, 401 carries WWW-Authenticate: Bearer unless set; 429 and 503 Retry-After:
 * 5 unless set. */
void problem_reply(struct http_request *request, unsigned status, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

/* The same with Retry-After: for 429 and 503. */
void problem_reply_later(struct http_request *request, unsigned status, unsigned retry_after_s,
                         const char *format, ...) __attribute__((format(printf, 4, 5)));

/* 400 (ERROR_INPUT), 404, 409 (EXISTS, CONFLICT), 403, 503 with Retry-After (retryable), else 500; with err's
 * message as detail. Does not log. For errors of common/store; PostgreSQL's own go to api_reply_pg_error. */
void problem_reply_error(struct http_request *request, const struct error *err);

/* 422 with one field's error: what a table of fields can't say, such as "there is no destination 'nas'". */
void problem_reply_field(struct http_request *request, const char *field, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

/* -- several errors, or members of one's own */

struct problem {
    unsigned status;
    char detail[1200];
    json_t *errors;  /* NULL while there is none */
    json_t *members; /* more members of the document; NULL while there is none */
};

/* problem_send or problem_deinit must follow. */
void problem_init(struct problem *problem, unsigned status, const char *format, ...)
    __attribute__((format(printf, 3, 4)));
void problem_deinit(struct problem *problem);
/* At most 50; further ones are not told. */
void problem_add(struct problem *problem, const char *field, const char *format, ...)
    __attribute__((format(printf, 3, 4)));
/* Takes over value. */
void problem_set(struct problem *problem, const char *member, json_t *value);
bool problem_has_errors(const struct problem *problem);
/* The reply; deinits. */
void problem_send(struct problem *problem, struct http_request *request);
/* The document; NULL when memory is out. Does not deinit. */
json_t *problem_document(const struct problem *problem);

/* "Not Found" for 404; "Error" when unknown. */
const char *problem_title(unsigned status);
