/*
 * What people configure, over HTTP: lists, rows, their creation, change and removal are the same for every
 * kind of store/catalog.h. A kind is one struct catalog_resource and handlers of one line each.
 *
 *   GET    PATH[?limit=&after=&filters]   {"<plural>": [...], "next_after": id or null}
 *   GET    PATH/{id}
 *   POST   PATH                           201 and Location
 *   PATCH  PATH/{id}                      what is not written stays, null clears
 *   DELETE PATH/{id}                      204; 409 says what needs it
 *
 * If-Match with PATCH and DELETE: the ETag of a GET; 412 when the row is another one by now. Without it, a
 * row that somebody else changes at the same moment gives 409.
 */
#pragma once

#include "api.h"
#include "ask.h"
#include "input.h"
#include "store/catalog.h"

enum catalog_filters {
    CATALOG_BY_TEXT = 1, /* q */
    CATALOG_BY_ACTIVE = 2,
    CATALOG_BY_ENABLED = 4,
    CATALOG_BY_DATABASE = 8,
    CATALOG_BY_DESTINATION = 16,
    CATALOG_BY_SCHEDULE = 32,
    CATALOG_BY_TYPE = 64, /* storage_type */
};

struct catalog_resource {
    enum catalog_kind kind;
    const char *path;   /* "/api/groups" */
    const char *plural; /* "groups" */
    unsigned filters;   /* enum catalog_filters */

    /* Of bodies. The first n_change are those that PATCH takes, none of which is required there. Texts,
     * numbers, switches and choices are columns of that name; the others are `complete`'s. */
    const struct input_field *fields;
    size_t n_fields, n_change;

    /*
     * May be NULL. What else becomes of the input: more columns in changes, or taken away. current: the row
     * as PostgreSQL gave it, NULL when it is a new one. ERROR_INPUT with *ret_field, and no secret in the
     * message.
     */
    int (*complete)(const struct api *api, const struct input *input, const PGresult *current,
                    json_t *changes, const char **ret_field, struct error *err);

    /* May be NULL: takes out of a row what only admins are shown. */
    void (*hide)(json_t *row);

    /* Both or neither: rows are shown in another form than catalog_add_one's. One statement (id 0: the row
     * that catalog_add_insert made); the first row, or NULL. */
    int (*add_shown)(struct pg_request *question, const struct http_request *request, int64_t id);
    json_t *(*read_shown)(const PGresult *result);
};

void catalog_list(struct api *api, struct http_request *request, const struct catalog_resource *resource);
void catalog_show(struct api *api, struct http_request *request, const struct catalog_resource *resource);
void catalog_create(struct api *api, struct http_request *request, const struct catalog_resource *resource);
void catalog_change(struct api *api, struct http_request *request, const struct catalog_resource *resource);
void catalog_remove(struct api *api, struct http_request *request, const struct catalog_resource *resource);

/* storage_type's choices. */
extern const char *const catalog_storage_types[];

/* -- between catalog.c and catalog_change.c */

/* The first row's first column; NULL when there is none. */
const char *catalog_first_text(const PGresult *result);

/* One statement: the row as it is shown. */
int catalog_add_shown(const struct catalog_resource *resource, struct pg_request *question,
                      const struct http_request *request, int64_t id);
/* NULL: there is none. */
json_t *catalog_read_shown(const struct catalog_resource *resource, const struct http_request *request,
                           const PGresult *result);
void catalog_reply_gone(struct http_request *request, const struct catalog_resource *resource);
/* False: the If-Match of the request is another row's; 412 has been replied. */
bool catalog_check_match(struct http_request *request, const struct catalog_resource *resource,
                         const json_t *shown);
/* 412 or 409: between our reading and our writing. */
void catalog_reply_changed(struct http_request *request, const struct catalog_resource *resource);
