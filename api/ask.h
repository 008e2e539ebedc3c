/*
 * One question to PostgreSQL on behalf of an HTTP request: made, sent, and its failure answered in one way.
 * One question is one transaction.
 */
#pragma once

#include "api.h"
#include "http.h"
#include "loop/pg.h"

struct ask;

/* The transaction is committed; the reply must follow, now or after another question. */
typedef void (*ask_fn)(struct ask *ask, const struct pg_results *results);

struct ask {
    struct api *api;
    struct http_request *request;
    struct pg_request *question; /* to be filled before ask_send */
    ask_fn done;
    /* Instead of api_reply_pg_error, may be NULL: the reply must follow. */
    void (*failed)(struct ask *ask, const struct error *err);
    void *data;      /* the handler's */
    unsigned before; /* statements that stand before the handler's own: the actor's */
};

/* NULL: replied to with 503. */
struct ask *ask_new(struct api *api, struct http_request *request, ask_fn done, void *data);

/* For what may read much (api->search): the same. */
struct ask *ask_new_search(struct api *api, struct http_request *request, ask_fn done, void *data);

/* For what changes something: the same, with who acts as the first statement (store/audit.h). */
struct ask *ask_new_change(struct api *api, struct http_request *request, ask_fn done, void *data);

/* Takes over ask, which is gone after done or failed has run. added: what the functions that filled the
 * question returned, 0 or -1 each, or'ed; -1 is answered with 503. */
void ask_send(struct ask *ask, int added);
/* One that is not to be sent. */
void ask_free(struct ask *ask);

/* The n-th statement of the handler's own. */
const PGresult *ask_result(const struct ask *ask, const struct pg_results *results, unsigned n);

/* 404, or the first row. */
void ask_reply_row(struct ask *ask, const PGresult *result, unsigned status, const char *what);
